"""Checkpoints are read back as they were written.

Damaged or foreign files get a one-line refusal.
"""

from __future__ import annotations

import copy
import itertools
import json
import math
import operator
import shutil
from collections.abc import Iterator
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lookout.models.checkpoint.file import (
    ITEMS,
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from lookout.models.checkpoint.header import (
    digest,
    find_checkpoints,
    read_header,
    stored_precision,
)
from lookout.models.checkpoint.import_mnad import convert, import_mnad
from lookout.models.errors import CheckpointError
from lookout.models.media.preprocess import Preprocess
from lookout.models.registry import MODELS, make_config
from lookout.models.scorer import Scorer
from lookout.models.scoring.calibration import Bounds
from lookout.service.core.settings import SHIPPED_MODELS
from tests.conftest import with_long_forms
from tests.tiny import TINY_OF, tiny_checkpoint, untrained


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, tiny_checkpoint(calibration=Bounds(30.0, 40.0, 1e-6, 2e-6, 50)))
    return path


def test_what_is_saved_comes_back(saved: Path) -> None:
    original, loaded = tiny_checkpoint(), load_checkpoint(saved)
    assert loaded.config == original.config
    assert loaded.preprocess == Preprocess(32, 32)
    assert loaded.calibration == Bounds(30.0, 40.0, 1e-6, 2e-6, 50)
    assert torch.equal(loaded.items, original.items)
    for name, tensor in original.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor), name
    assert not loaded.model.training


def test_the_header_reads_without_the_weights(saved: Path) -> None:
    header = read_header(saved)
    assert header.model == "mnad-pred"
    assert header.config["width"] == 4
    assert find_checkpoints(saved.parent) == {"tiny": saved}


def test_the_first_folder_that_has_a_name_wins(saved: Path) -> None:
    other = saved.parent / "other"
    other.mkdir()
    for name in ("tiny", "another"):
        shutil.copy(saved, other / f"{name}.safetensors")
    both = find_checkpoints(saved.parent, other)
    assert both == {"another": other / "another.safetensors", "tiny": saved}
    assert list(both) == ["another", "tiny"]
    assert find_checkpoints(other, saved.parent)["tiny"] == other / "tiny.safetensors"
    assert find_checkpoints(saved.parent / "none", other) == find_checkpoints(other)


@pytest.mark.parametrize("name", MODELS)
def test_the_header_tells_what_the_model_needs(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, untrained(TINY_OF[name]))
    assert read_header(path).input_spec == TINY_OF[name].input_spec


@pytest.mark.parametrize("shipped", ["square", "general", "ped2/compact", "ped2/std"])
def test_a_checkpoint_keeps_its_digest_when_it_is_saved_again(tmp_path: Path, shipped: str) -> None:
    path = SHIPPED_MODELS / f"{shipped}.safetensors"
    again = tmp_path / "again.safetensors"
    dtype = getattr(torch, stored_precision(path))
    save_checkpoint(again, load_checkpoint(path), dtype)
    assert read_header(again).content_sha256 == read_header(path).content_sha256


def test_the_header_keeps_the_keys_of_earlier_versions(saved: Path) -> None:
    with safe_open(saved, framework="numpy") as file:
        stored = json.loads(file.metadata()["lookout"])
    assert stored["needs"]["frames"] == 5
    assert stored["config"]["lambda_"] == 0.6


def test_half_precision_halves_the_file_and_keeps_the_items(tmp_path: Path, saved: Path) -> None:
    half = tmp_path / "half.safetensors"
    save_checkpoint(half, tiny_checkpoint(), torch.float16)
    assert half.stat().st_size < 0.7 * saved.stat().st_size
    loaded = load_checkpoint(half)
    assert torch.equal(loaded.items, tiny_checkpoint().items)
    assert all(p.dtype == torch.float32 for p in loaded.model.parameters())


def damaged(path: Path, how: str) -> Path:
    data = path.read_bytes()
    match how:
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("these are no weights\n" * 100)
        case "truncated":
            path.write_bytes(data[: len(data) // 2])
        case "foreign":
            save_file({"w": torch.zeros(2)}, path)
        case "missing":
            path.unlink()
        case "folder":
            path.unlink()
            path.mkdir()
    return path


@pytest.mark.parametrize("how", ["empty", "text", "truncated", "foreign", "missing", "folder"])
def test_a_damaged_or_foreign_file_is_refused_in_one_line(saved: Path, how: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(damaged(saved, how))
    assert "tiny.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "nobody"},
        {"format": 99},
        {"preprocess": {"version": 99}},
        {"preprocess": {"height_px": 40}},
        {"config": {"width": -1}},
        {"config": {"colour": "red"}},
        {"config": {"height_px": 100}},
        {"config": {"width": 8}},
        {"calibration": {"psnr": 1}},
        {"needs": {"memory": "wanders"}},
        {"needs": {"scored": 5}},
        {"needs": {"frames": "many"}},
        {"needs": {"other": 1}},
    ],
)
def test_a_header_that_does_not_fit_is_refused_in_one_line(
    saved: Path, change: dict[str, object]
) -> None:
    tensors = load_file(saved)
    header = json.loads(read_header(saved).metadata()["lookout"])
    for key, value in change.items():
        header[key] = {**header[key], **value} if isinstance(value, dict) and header[key] else value
    save_file(tensors, saved, metadata={"lookout": json.dumps(header)})
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(saved)
    assert "\n" not in str(caught.value)


def test_numbers_that_are_not_finite_are_neither_written_nor_read(saved: Path) -> None:
    before = digest(saved)
    broken: Checkpoint = tiny_checkpoint()
    broken.items[0, 0] = torch.nan
    with pytest.raises(CheckpointError, match="not finite"):
        save_checkpoint(saved, broken)
    large = tiny_checkpoint()
    next(large.model.parameters()).data[0] = 1e5  # an ordinary float32, infinite in float16
    with pytest.raises(CheckpointError, match=r"not finite in torch\.float16"):
        save_checkpoint(saved, large, torch.float16)
    assert digest(saved) == before
    tensors, metadata = load_file(saved), read_header(saved).metadata()
    tensors[ITEMS][0, 0] = torch.nan
    save_file(tensors, saved, metadata=metadata)
    with pytest.raises(CheckpointError, match="not finite"):
        load_checkpoint(saved)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_changed_number_is_noticed(saved: Path, dtype: torch.dtype) -> None:
    save_checkpoint(saved, tiny_checkpoint(), dtype)
    whole = bytearray(saved.read_bytes())
    whole[-2] ^= 1  # in the last tensor; still a finite number
    saved.write_bytes(whole)
    with pytest.raises(CheckpointError, match=r"tiny\.safetensors is not what was written"):
        load_checkpoint(saved)


def edited(path: Path, change: dict[str, object]) -> Path:
    """Rewrite a checkpoint with another header over the same numbers."""
    header = json.loads(read_header(path).metadata()["lookout"]) | change
    save_file(load_file(path), path, metadata={"lookout": json.dumps(header)})
    return path


def test_an_edited_header_is_noticed_where_it_decides_a_score(saved: Path) -> None:
    bounds = json.loads(read_header(saved).metadata()["lookout"])["calibration"]
    with pytest.raises(CheckpointError, match="is not what was written"):
        load_checkpoint(edited(saved, {"calibration": bounds | {"psnr_low_db": 20.0}}))
    load_checkpoint(edited(saved, {"calibration": bounds, "provenance": {"note": "mine"}}))


def test_a_checkpoint_from_before_there_was_a_digest_loads(saved: Path) -> None:
    loaded = load_checkpoint(edited(saved, {"content_sha256": None}))
    assert torch.equal(loaded.items, tiny_checkpoint().items)


NONSENSE: tuple[object, ...] = ("x", None, -1, 1.5, [], {}, [1], {"a": 1}, True, math.inf, 10**30)


def places(value: object, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Return the path of each entry of a header, however deep, but for its origin."""
    if isinstance(value, dict):
        for key in value.keys() - {"provenance"}:
            yield (*at, key)
            yield from places(value[key], (*at, key))


@pytest.mark.parametrize("every", with_long_forms([1, 7], {7}))
def test_no_nonsense_in_a_header_ends_in_anything_but_a_line(
    saved: Path, tmp_path: Path, every: int
) -> None:
    """Put each nonsense in each place; or every seventh pair of them."""
    whole = json.loads(read_header(saved).metadata()["lookout"]) | {
        "content_sha256": None
    }  # it would notice first
    tensors, path = load_file(saved), tmp_path / "nonsense.safetensors"
    pairs = list(itertools.product(sorted(places(whole)), NONSENSE))
    for (*folders, name), nonsense in pairs[::every]:
        header = copy.deepcopy(whole)
        reduce(operator.getitem, folders, header)[name] = nonsense
        save_file(tensors, path, metadata={"lookout": json.dumps(header)})
        try:
            scorer = Scorer(load_checkpoint(path))
        except CheckpointError as error:
            assert "\n" not in str(error)
        else:  # what was changed has no part in this
            scorer.step([np.zeros((5, 32, 32, 3), np.uint8)], scorer.fresh_items()[None])


def test_an_interrupted_write_leaves_the_former_file(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digest(saved)

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lookout.models.checkpoint.file.save_file", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(saved, tiny_checkpoint())
    assert digest(saved) == before
    assert list(saved.parent.iterdir()) == [saved]


def test_the_authors_layout_is_imported_with_sizes_read_off_the_tensors(tmp_path: Path) -> None:
    tiny = tiny_checkpoint()
    authors = {
        **tiny.model.state_dict(),
        "m_items": tiny.items,
        "encoder.moduleBatchNorm.weight": torch.ones(16),
    }
    save_file(authors, tmp_path / "authors.safetensors")
    imported = import_mnad(tmp_path / "authors.safetensors")
    assert imported.config == make_config("mnad-pred", {"width": 4, "dim": 16, "items": 4})
    assert imported.preprocess.channel_order == "bgr"


def test_what_is_not_mnad_is_not_imported(tmp_path: Path) -> None:
    tiny = tiny_checkpoint()
    state = tiny.model.state_dict()
    with pytest.raises(CheckpointError, match="m_items"):
        convert(dict(state), "x", {})
    with pytest.raises(CheckpointError, match="does not fit"):
        convert({**state, "m_items": torch.zeros(4, 99)}, "x", {})
    with pytest.raises(CheckpointError, match="does not hold MNAD's weights"):
        convert(
            {**state, "m_items": tiny.items, "encoder.moduleConv1.0.weight": torch.zeros(4)},
            "x",
            {},
        )
    (tmp_path / "w.safetensors").write_text("no")
    with pytest.raises(CheckpointError, match=r"w\.safetensors"):
        import_mnad(tmp_path / "w.safetensors")
