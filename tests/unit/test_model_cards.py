"""Check models/README.md against the registry and the shipped checkpoints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lookout.models.checkpoint import file as checkpoint
from lookout.models.checkpoint.header import digest, find_checkpoints, read_header
from lookout.models.registry import MODELS, make_config, make_model

CARDS = (Path(__file__).parents[2] / "models" / "README.md").read_text()
FOLDER = Path(__file__).parents[2] / "models" / "checkpoints"
SHIPPED = find_checkpoints(FOLDER) | find_checkpoints(FOLDER / "ped2")
SECTIONS = ("Ours on Ped2", "memae-table", "Shipped checkpoints")
"""Of the page, beside the cards of models of footage."""
MOST_BYTES = 10_000_000
FIELDS = [
    "source",
    "input",
    "state",
    "AUC, published",
    "AUC, by others",
    "AUC, ours",
    "speed",
    "size",
    "Caveats:",
]


def cards() -> dict[str, str]:
    """Return the text of each card by the name of its model, in the order of the page."""
    parts = re.split(r"^## (.+)$", CARDS, flags=re.M)[1:]
    return {
        name: text
        for name, text in zip(parts[::2], parts[1::2], strict=True)
        if name not in SECTIONS
    }


def test_every_model_has_a_card_and_no_other() -> None:
    assert list(cards()) == list(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_a_card_tells_everything_and_agrees_with_the_model(name: str) -> None:
    card, spec = cards()[name], make_config(name, {}).input_spec
    assert not [field for field in FIELDS if field not in card]
    assert f"| input | {spec.frames} frame" in card
    adapts = spec.memory == "adapts"
    assert ("adapt" in card) == adapts
    if adapts:
        assert f"{spec.items[0]} items of {spec.items[1]}" in card
    if spec.scored not in (0, spec.frames - 1):
        assert f"index {spec.scored}" in card
    with torch.device("meta"):
        state = make_model(name, make_config(name, {}))
    parameters = sum(tensor.numel() for tensor in state.parameters())
    assert f"{parameters / 1e6:.1f} million parameters, {2 * parameters / 1e6:.1f} MB" in card


def test_every_shipped_checkpoint_is_named_small_and_in_half_precision() -> None:
    table = CARDS[CARDS.index("## Shipped checkpoints") :]
    assert set(re.findall(r"^\| `(\w[^`]*)\.safetensors`", table, flags=re.M)) == set(SHIPPED)
    for path in SHIPPED.values():
        header, size_bytes = read_header(path), path.stat().st_size
        assert size_bytes <= MOST_BYTES
        (row,) = [line for line in table.splitlines() if f"`{path.name}`" in line]
        size = f"width {header.config['width']}" if "width" in header.config else "no weights"
        assert f"| `{header.model}`, {size} |" in row
        assert f"| {size_bytes / 1e6:.1f} MB | {digest(path)} |" in row
        assert digest(path) in path.with_name("README.md").read_text()
        assert header.input_spec == make_config(header.model, header.config).input_spec
        tensors = load_file(path)
        del tensors[checkpoint.ITEMS]
        assert {tensor.dtype for tensor in tensors.values()} <= {torch.float16, torch.int64}
