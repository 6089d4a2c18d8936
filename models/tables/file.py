"""A trained `memae-table` as one safetensors file: weights, encoding, configuration, provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lookout.models.checkpoint.file import different_size, first_line, first_not_finite
from lookout.models.checkpoint.header import (
    TABLE_KEY,
    TABLE_MODEL,
    check_depth,
    opened,
    stored_sizes,
)
from lookout.models.errors import CheckpointError
from lookout.models.media.atomic_file import replacing
from lookout.models.memae_table import MemAETable, MemAETableConfig
from lookout.models.tables.encoding import parse_encoding
from lookout.models.tables.training import TableModel

FORMAT = 1
MEAN_ROW = "mean_row"


def save_table_model(path: Path, model: TableModel, provenance: Mapping[str, object]) -> None:
    """Write atomically: the file is there whole or not at all.

    Raises CheckpointError where a number is not finite, and CheckpointError or OSError where the
    file cannot be written.
    """
    tensors = {name: tensor.contiguous() for name, tensor in model.network.state_dict().items()}
    tensors[MEAN_ROW] = torch.from_numpy(model.mean_row)
    if broken := first_not_finite(tensors):
        raise CheckpointError(f"{path.name} is not written: {broken} has numbers not finite")
    header = {
        "format": FORMAT,
        "model": TABLE_MODEL,
        "config": asdict(model.network.config),
        "encoding": asdict(model.encoding),
        "seed": model.seed,
        "provenance": dict(provenance),
    }
    try:
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata={TABLE_KEY: json.dumps(header, sort_keys=True)})
            temporary.chmod(0o644)  # as a checkpoint's
    except SafetensorError as error:
        raise CheckpointError(f"{path} cannot be written: {error}") from None


def load_table_model(path: Path) -> TableModel:
    """Read a model of tables.

    Raises CheckpointError, in one line, for a file that is damaged or does not fit its header.
    """
    with opened(path) as file:
        text = (file.metadata() or {}).get(TABLE_KEY, "")
    try:
        header: dict[str, Any] = json.loads(text)
        check_depth(header)
        if header["format"] != FORMAT or header["model"] != TABLE_MODEL:
            raise CheckpointError(f"{path.name} was written by another version of Lookout")
        config = MemAETableConfig(**header["config"])
        encoding = parse_encoding(**header["encoding"])
        seed = int(header["seed"])
        with torch.device("meta"):  # however large the header says it is, this takes no memory
            expected = MemAETable(config).state_dict()
    except (RecursionError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = repr(error)[:200]
        raise CheckpointError(f"{path.name} has a damaged header: {reason}") from None
    shapes = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    shapes[MEAN_ROW] = (encoding.inputs,)
    found = {name: shape for name, (_, shape) in stored_sizes(path).items()}
    if difference := different_size(found, shapes):
        raise CheckpointError(f"{path.name} does not hold the weights it names: {difference}")
    if encoding.inputs != config.columns:
        raise CheckpointError(f"{path.name}: its encoding gives another number of columns")
    try:
        tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
        if broken := first_not_finite(tensors):
            raise CheckpointError(f"{path.name} holds numbers that are not finite: {broken}")
        mean_row = tensors.pop(MEAN_ROW).numpy().astype(np.float32)
        network = MemAETable(config)
        network.load_state_dict(tensors)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{path.name} cannot be read: {first_line(error)}") from None
    return TableModel(network.eval(), encoding, mean_row, seed)
