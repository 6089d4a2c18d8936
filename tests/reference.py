"""The authors' figures of ../shared/reference.

Fill weights as the authors' run did, and compare a tensor with its figures.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lookout.models.media.clip_reader import read_clip
from lookout.models.media.preprocess import Preprocess
from tests.conftest import SHARED

ITEMS_TENSOR_NUMBER = 999


def figures(model: str) -> dict[str, Any]:
    """Return the content of `reference/<model>.json`."""
    found: dict[str, Any] = json.loads((SHARED / "reference" / f"{model}.json").read_text())
    return found


def hashed(count: int, tensor_number: int) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Return the 32-bit hash of each flat index, as the reference's README defines it."""
    mask = 0xFFFFFFFF
    h = (np.arange(count, dtype=np.uint64) + (tensor_number * 0x9E3779B9 & mask)) & mask
    h ^= h >> 16
    h = h * 0x85EBCA6B & mask
    h ^= h >> 13
    h = h * 0xC2B2AE35 & mask
    h ^= h >> 16
    return h.astype(np.uint32)


def _filled(name: str, shape: tuple[int, ...], number: int, gain: float) -> Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    s = (hashed(int(np.prod(shape)), number).astype(np.float64) / 2**31 - 1).reshape(shape)
    if name.endswith("running_var"):
        s = 1 + 0.2 * s
    elif len(shape) >= 2:
        s = s * np.sqrt(3 / np.prod(shape[1:])) * gain
    elif name.endswith("weight"):
        s = 1 + 0.1 * s
    else:
        s = 0.05 * s
    return torch.from_numpy(s.astype(np.float32))


def filled_weights(reference: dict[str, Any], network: str | None = None) -> dict[str, Tensor]:
    """Return every tensor of the authors' state dict, filled as in the reference.

    network: of a reference that holds several; each counts its tensors from 0.
    """
    shapes, gains = reference["state_dict_order_and_shapes"], reference["fill_gain"]
    if network is not None:
        shapes, gains = shapes[network], gains[network]
    return {
        name: _filled(name, tuple(shape), number, gains.get(name, 1.0))
        for number, (name, shape) in enumerate(shapes.items())
    }


def filled_items(items: int, dim: int) -> Tensor:
    """Return the reference's memory items, (M, D)."""
    h = hashed(items * dim, ITEMS_TENSOR_NUMBER).astype(np.float64) / 2**32
    return torch.nn.functional.normalize(
        torch.from_numpy(h.reshape(items, dim).astype(np.float32)), dim=1
    )


def picture(number: int, channels: int = 3, side_px: int = 64) -> NDArray[np.float32]:
    """Return picture `number` of the inpainting family's figures, (C, H, W), about [0, 1]."""
    return waves_and_noise(number, channels, side_px, down=3, across=5, noise=0.1)


def waves_and_noise(
    number: int, channels: int, side_px: int, *, down: int, across: int, noise: float
) -> NDArray[np.float32]:
    """Return a picture of two waves and noise, (C, H, W); down, across: waves a side."""
    c, y, x = np.meshgrid(
        np.arange(channels), np.arange(side_px), np.arange(side_px), indexing="ij"
    )
    hashes = hashed(channels * side_px**2, 777 + number).astype(np.float64)
    s = (hashes / 2**31 - 1).reshape(channels, side_px, side_px)
    waves = 0.5 + 0.2 * np.sin(2 * np.pi * (down * (y + 0.5) / side_px + c / 3 + number / 5))
    waves += 0.15 * np.cos(2 * np.pi * (across * (x + 0.5) / side_px - c / 7 + number / 3))
    return (waves + noise * s).astype(np.float32)


def with_defect(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the picture with a part of it negated."""
    damaged = pixels.copy()
    height_px, width_px = pixels.shape[1:]
    rows = slice(3 * height_px // 8, 5 * height_px // 8)
    columns = slice(width_px // 2, 3 * width_px // 4)
    damaged[:, rows, columns] = 1 - damaged[:, rows, columns]
    return damaged


@lru_cache(maxsize=2)
def whole_clip(name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return a Ped2 clip at 256x256, (N, 256, 256, 3) uint8; nobody may write into it."""
    frames = read_clip(SHARED / "data" / "ped2" / f"{name}.mp4", Preprocess())
    frames.setflags(write=False)
    return frames


def clip(name: str, first: int, length: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return a copy of frames of a Ped2 clip at 256x256, (length, 256, 256, 3) uint8."""
    return whole_clip(name)[first : first + length].copy()


def assert_tensor(tensor: Tensor, expected: dict[str, Any], tolerance: float = 1e-4) -> None:
    """Check shape, moments and samples, each to `tolerance` of the expected standard deviation."""
    assert list(tensor.shape) == expected["shape"]
    slack = tolerance * expected["std"]
    flat = tensor.double().flatten()
    moments = {
        "mean": flat.mean(),
        "std": flat.std(correction=0),
        "min": flat.min(),
        "max": flat.max(),
    }
    for name, moment in moments.items():
        assert abs(moment.item() - expected[name]) <= slack, name
    for index, value in expected["samples"].items():
        assert abs(flat[int(index)].item() - value) <= slack, f"sample {index}"
