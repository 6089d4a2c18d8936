"""Import a checkpoint of the MNAD authors' code.

It was converted to safetensors, with its memory as `m_items`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lookout.models.base import Config
from lookout.models.checkpoint.file import (
    Checkpoint,
    different_size,
    model_sizes,
    with_dtype,
)
from lookout.models.checkpoint.header import digest, stored_sizes
from lookout.models.errors import CheckpointError
from lookout.models.media.preprocess import Preprocess
from lookout.models.registry import make_config, make_model

UNUSED = "encoder.moduleBatchNorm."
"""Made by the authors' constructor, never called by their forward pass."""

_FIRST, _LAST_ENCODING = "encoder.moduleConv1.0.weight", "encoder.moduleConv4.3.weight"


def import_mnad(weights: Path) -> Checkpoint:
    """Read the authors' weights for prediction.

    Sizes are read off the tensors; inputs are B, G, R at 256x256.

    Raises CheckpointError where the file is damaged or its tensors are not MNAD's.
    """
    stored_sizes(weights)  # says what another file is
    try:
        tensors = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{weights.name} cannot be read as safetensors: {error}") from None
    return convert(
        tensors, weights.name, {"imported_from": weights.name, "source_sha256": digest(weights)}
    )


def convert(tensors: dict[str, Tensor], name: str, provenance: dict[str, str]) -> Checkpoint:
    """Return the authors' tensors as a checkpoint.

    tensors: names as in their state dict, plus `m_items` (M, D).
    """
    used = {key: tensor for key, tensor in tensors.items() if not key.startswith(UNUSED)}
    kept = with_dtype(used, torch.float32)
    items = kept.pop("m_items", None)
    first = kept.get(_FIRST)
    if (
        items is None
        or items.ndim != 2
        or first is None
        or first.ndim != 4
        or _LAST_ENCODING not in kept
    ):
        raise CheckpointError(f"{name} does not hold MNAD's weights and memory items (m_items)")
    config = config_of(kept, items)
    sizes = {key: tuple(tensor.shape) for key, tensor in kept.items()}
    if difference := different_size(sizes, model_sizes("mnad-pred", config)):
        raise CheckpointError(f"{name} does not fit MNAD, prediction: {difference}")
    model = make_model("mnad-pred", config)
    model.load_state_dict(kept)
    model.eval().requires_grad_(False)
    return Checkpoint(
        "mnad-pred", model, items, config, Preprocess(channel_order="bgr"), None, dict(provenance)
    )


def config_of(tensors: dict[str, Tensor], items: Tensor) -> Config:
    """Read the configuration off the tensors' sizes; items: (M, D). Raises CheckpointError."""
    width, channels_in = tensors[_FIRST].shape[:2]
    if channels_in % 3:
        raise CheckpointError(
            f"MNAD takes frames of 3 channels; these weights take {channels_in} channels"
        )
    options = {
        "width": width,
        "t_length": channels_in // 3 + 1,
        "items": items.shape[0],
        "dim": items.shape[1],
    }
    return make_config("mnad-pred", options)
