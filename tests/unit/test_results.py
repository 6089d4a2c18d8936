"""`make results`: a row for each checkpoint, with figures where there is footage."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from contrib import recipe
from tests.clips import write_clip
from tests.tiny import write_tiny
from tools import results


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Return a folder of checkpoints, one of them in a subfolder."""
    (tmp_path / "models" / "more").mkdir(parents=True)
    write_tiny(tmp_path / "models")
    write_tiny(tmp_path / "models" / "more", "second")
    return tmp_path / "models"


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """Return a data set of one labelled clip with masks."""
    folder = tmp_path / "set"
    (folder / "test").mkdir(parents=True)
    write_clip(folder / "test" / "01.mp4", range(24), size_px=(64, 48))
    mask = np.zeros((24, 48, 64), bool)
    mask[12:, 8:24, 16:40] = True
    np.savez(folder / "test" / "01_mask.npz", mask=np.packbits(mask, -1), shape=mask.shape)
    label = {"frames": 24, "anomalous_first_last_0based_inclusive": [[12, 23]]}
    (folder / "labels.json").write_text(json.dumps({"test": {"01": label}}))
    return folder


def test_without_footage_nothing_is_run(models: Path) -> None:
    found = list(results.rows(models, None, "cpu"))
    assert [row[0] for row in found] == ["second", "tiny"]
    for row in found:
        assert len(row) == len(results.HEAD)
        assert row[1] == "mnad-pred"
        assert row[3] == "0 frames"
        assert set(row[4:]) == {results.NOT_RUN}


def test_with_footage_each_row_has_an_auc_for_each_way(
    models: Path, footage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "SCORING_PROBE_S", 0.05)
    for row in results.rows(models, footage, "cpu"):
        assert len(row) == len(results.HEAD)
        by_way = dict(zip(results.HEAD, row, strict=True))
        # These bounds hold none of the local score, and the clip is too short to learn them.
        assert by_way.pop("local") == "no AUC"
        figures = [
            by_way[way]
            for way in (*results.WAYS.values(), *results.COPIES.values())
            if way in by_way
        ]
        assert all(0 <= float(cell) <= 100 for cell in figures), figures
        assert by_way["events"].endswith("of 1")
        assert all(0 <= float(by_way[name]) <= 100 for name in results.REGIONS)
        assert float(by_way["frames/s"]) > 0


def test_without_masks_there_are_no_regions() -> None:
    assert results.region_figures(None) == ["no masks"] * len(results.REGIONS)


def test_the_table_is_printed_and_bad_footage_is_one_line(
    models: Path, footage: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "SHIPPED", models)
    assert results.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "footage: not run" in lines[0]
    assert [line.count("|") for line in lines[2:]] == [len(results.HEAD) + 1] * 4
    assert results.main([str(footage / "none")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    (footage / "labels.json").unlink()
    (footage / "test" / "01_mask.npz").unlink()
    assert results.main([str(footage)]) == 1
    assert "has no labels" in capsys.readouterr().err
