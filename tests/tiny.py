"""A model that a test can train and run: width 4, D 16, M 4, 32x32 pixels; and pictures for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from lookout.models.base import Config, initial_items
from lookout.models.checkpoint.file import Checkpoint, save_checkpoint
from lookout.models.media.preprocess import Preprocess
from lookout.models.mnad import MnadConfig
from lookout.models.registry import MODELS, make_model, name_of, sized
from lookout.models.scoring.calibration import Bounds
from lookout.models.vision.scene_signature import SceneSignature

TINY = MnadConfig(width=4, items=4, dim=16, height_px=32, width_px=32)

SMALL: dict[str, dict[str, int]] = {
    "intra": {"width": 16, "blocks": 3, "heads": 2, "patch_px": 8, "window": 3},
    "scadn": {"width": 6, "blocks": 1},
    "smai": {"width": 6, "step_px": 8},
}
"""Sizes of models that have others than a width and items."""

TINY_OF = {
    name: sized(
        name,
        height_px=32,
        width_px=32,
        **SMALL.get(
            name,
            {
                option: size
                for option, size in (("width", 6), ("items", 4))
                if hasattr(entry.config(), option)
            },
        ),
    )
    for name, entry in MODELS.items()
}
"""The settings of every model of the family, as small."""

TRAINED = sorted(MODELS.keys() - {"places"})
"""The models that have weights."""

EASY_BOUNDS = Bounds(
    psnr_low_db=10.0, psnr_high_db=40.0, distance_low=0.0, distance_high=1e-2, frames=100
)


def tiny_checkpoint(
    seed: int = 0,
    calibration: Bounds | None = None,
    gamma: float = 0.01,
    width: int = 4,
    dim: int = 16,
    side_px: int = 32,
) -> Checkpoint:
    """Random weights, the same for the same seed."""
    config = MnadConfig(
        width=width, items=4, dim=dim, height_px=side_px, width_px=side_px, gamma=gamma
    )
    return untrained(config, seed, calibration)


def untrained(config: Config, seed: int = 0, calibration: Bounds | None = None) -> Checkpoint:
    """Any model of the family with random weights, the same for the same seed."""
    name = name_of(config)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = make_model(name, config).eval().requires_grad_(False)
        items = initial_items(model)
    return Checkpoint(
        name, model, items, config, Preprocess(config.height_px, config.width_px), calibration, {}
    )


def write_tiny(
    folder: Path, name: str = "tiny", *, calibrated: bool = True, gamma: float = 0.01
) -> Path:
    """Write the tiny checkpoint to a file in a models folder."""
    path = folder / f"{name}.safetensors"
    save_checkpoint(
        path, tiny_checkpoint(calibration=EASY_BOUNDS if calibrated else None, gamma=gamma)
    )
    return path


def write_overflowing(folder: Path, name: str = "overflowing") -> Path:
    """Write a checkpoint whose weights are finite, and whose scores are not."""
    path, checkpoint = folder / f"{name}.safetensors", tiny_checkpoint(calibration=EASY_BOUNDS)
    for weights in checkpoint.model.parameters():
        weights.mul_(1e30)
    save_checkpoint(path, checkpoint)
    return path


def street(seq: int, side_px: int = 32) -> npt.NDArray[np.uint8]:
    """Return (side, side, 3) RGB: a fixed background, and something small that moves across it."""
    picture = np.random.default_rng(0).integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)
    size, left = side_px // 5, seq % (side_px - side_px // 5)
    picture[size : 2 * size, left : left + size] = (seq * 7) % 256
    return picture


def infrared(seq: int, side_px: int = 32) -> npt.NDArray[np.uint8]:
    """The street as infrared light shows it: without colours, and with other brightness."""
    gray = 40 + 0.5 * (255 - street(seq, side_px).mean(axis=2))
    return np.repeat(gray[..., None], 3, axis=2).astype(np.uint8)


def at_dusk() -> tuple[SceneSignature, SceneSignature]:
    """The street as it was last seen by colour, and by infrared light."""
    return SceneSignature.from_pixels(street(0)), SceneSignature.from_pixels(infrared(0))
