"""One safetensors file a trained model.

It holds weights, memory items, configuration, calibration and provenance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lookout.models.base import AnyModel, Config
from lookout.models.checkpoint.header import Header, digest, read_header, stored_sizes
from lookout.models.errors import CheckpointError
from lookout.models.media.atomic_file import replacing
from lookout.models.media.preprocess import Preprocess
from lookout.models.registry import make_config, make_model, stored_options
from lookout.models.scoring.calibration import PLACE_WEIGHT, Bounds

ITEMS = "memory.items"
DTYPES = ("F16", "BF16", "F32", "F64", "I32", "I64")
"""Kinds of numbers that are read, as safetensors names them."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A trained model as it lies on disk, ready to use."""

    name: str  # the model's name in the registry
    model: AnyModel  # in eval mode, float32, on the CPU
    items: Tensor  # (M, D) float32; (0, 0) without a memory that adapts
    config: Config
    preprocess: Preprocess
    calibration: Bounds | None
    provenance: dict[str, Any]
    fps: float | None = None  # frames a second of the footage that it was trained on; None: unknown
    place_weight: float = PLACE_WEIGHT  # share of a memory of places in a fused value, 0 to 1


def save_checkpoint(path: Path, checkpoint: Checkpoint, dtype: torch.dtype = torch.float32) -> None:
    """Write atomically: the file is there whole or not at all.

    dtype: of the weights on disk; the items stay float32. float16 halves the file. Raises
    CheckpointError where a number is not finite in it, and CheckpointError or OSError where the
    file cannot be written; what was there before is still there then.
    """
    header = Header(
        model=checkpoint.name,
        config=stored_options(checkpoint.config),
        preprocess=checkpoint.preprocess,
        calibration=checkpoint.calibration,
        provenance=checkpoint.provenance,
        input_spec=checkpoint.config.input_spec,
        fps=checkpoint.fps,
        place_weight=checkpoint.place_weight,
    )
    state = with_dtype(checkpoint.model.state_dict(), dtype)
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    tensors[ITEMS] = checkpoint.items.float().contiguous()
    if broken := first_not_finite(tensors):
        raise CheckpointError(
            f"{path.name} is not written: {broken} has numbers that are not finite in {dtype}"
        )
    header = replace(header, content_sha256=content_digest(header, tensors))
    try:
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata=header.metadata())
            # safetensors makes it private; another user's service reads it too.
            temporary.chmod(0o644)
    except SafetensorError as error:
        raise CheckpointError(f"{path} cannot be written: {error}") from None


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises CheckpointError, in one line, for a file that is missing, damaged, foreign or does not
    fit its config.
    """
    header = read_header(path)
    config = make_config(header.model, header.config)
    check_sizes(path, header.model, config)
    try:
        stored = load_file(path)
        tensors = with_dtype(stored, torch.float32)
        items = tensors.pop(ITEMS)
        model = make_model(header.model, config)
        model.load_state_dict(tensors)
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"{path.name} does not hold the weights it names: {first_line(error)}"
        ) from None
    sides = (header.preprocess.height_px, header.preprocess.width_px)
    taken = (config.height_px, config.width_px)
    if sides != taken:
        raise CheckpointError(
            f"{path.name}: frames of {sides[1]}x{sides[0]}, the model takes {taken[1]}x{taken[0]}"
        )
    if broken := first_not_finite(stored):
        raise CheckpointError(f"{path.name} holds numbers that are not finite: {broken}")
    if header.content_sha256 not in (None, content_digest(header, stored)):
        raise CheckpointError(
            f"{path.name} is not what was written: "
            "its content has another digest than its header says"
        )
    model.eval().requires_grad_(False)
    return Checkpoint(
        header.model,
        model,
        items,
        config,
        header.preprocess,
        header.calibration,
        header.provenance,
        header.fps,
        header.place_weight,
    )


def check_sizes(path: Path, name: str, config: Config) -> None:
    """Compare the tensors of a file with those of a model, before any is read or made.

    Raises CheckpointError for the first that is missing, of another size or kind, or unknown.
    """
    stored = stored_sizes(path)
    for key, (dtype, _) in stored.items():
        if dtype not in DTYPES:
            raise CheckpointError(f"{path.name}: {key[:100]} is stored as {dtype[:20]}, not read")
    sizes = {key: shape for key, (_, shape) in stored.items()}
    expected = model_sizes(name, config) | {ITEMS: tuple(config.input_spec.items)}
    if difference := different_size(sizes, expected):
        raise CheckpointError(f"{path.name} does not hold the weights it names: {difference}")


def model_sizes(name: str, config: Config) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of a model, without making it.

    On torch's meta device a model takes no memory, however large its configuration says it is.
    Raises CheckpointError where torch cannot count so far.
    """
    try:
        with torch.device("meta"):
            state = make_model(name, config).state_dict()
    except (RuntimeError, ValueError, TypeError) as error:
        raise CheckpointError(f"{name} cannot be made: {first_line(error)}") from None
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def different_size(
    found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]
) -> str | None:
    """Return the first difference between two lists of tensors, as a message says it; or None."""
    for key, shape in sorted(expected.items()):
        if key not in found:
            return f"no {key}"
        if found[key] != shape:
            return f"{key} is of {found[key]}, the model's of {shape}"
    unknown = sorted(found.keys() - expected.keys())
    if unknown:
        return f"{unknown[0][:100]!r} is not the model's"
    return None


def describe_file(path: Path) -> str:
    """Return the path of a file with its size and digest, for a message to the user."""
    return f"{path} ({path.stat().st_size / 1e6:.1f} MB, sha256 {digest(path)})"


def content_digest(header: Header, tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of all that decides a score.

    That is the header but for provenance, and every number as it is stored.
    """
    found = sha256(header.deciding().encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def with_dtype(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the tensors, those of floating-point numbers in `dtype`; counters stay as they are."""
    return {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first tensor with an infinity or nan; None where there is none."""
    for name, tensor in sorted(tensors.items()):
        if not torch.isfinite(tensor).all():
            return name
    return None


def first_line(error: Exception) -> str:
    """Return the first line of an exception's text; its type's name where it has none."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0]
