"""The short form of `make bench`: it runs, and gives every row that the long form gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lookout.models.registry import MODELS
from tests.bench import decode, engine, line, messages, still
from tests.bench.table import Row, write

LOWER = Row("step (ms)", 30.0, "make bench", 20.0, 1.8)
HIGHER = Row("rate (frames/s)", 30.0, "make bench", 40.0, 0.85, "higher")
ALONE = Row("memory (MB)", 70.0, "make bench", to_reach=60.0)
NOT_RUN = Row("cameras", None, "make load", None, 8.0, "higher")


def test_a_bound_is_of_the_ratio_or_of_the_figure() -> None:
    assert [row.ratio for row in (LOWER, HIGHER, ALONE, NOT_RUN)] == [1.5, 0.75, None, None]
    assert [row.reached for row in (LOWER, HIGHER, ALONE, NOT_RUN)] == [True, False, False, None]
    assert Row("messages (µs)", 3.0, "make bench").reached is None


def test_the_file_holds_what_the_table_shows(tmp_path: Path) -> None:
    write(tmp_path / "bench.json", [LOWER, NOT_RUN])
    found = json.loads((tmp_path / "bench.json").read_text())
    assert found["rows"][0] == {
        "what": "step (ms)",
        "measured": 30.0,
        "limit": 20.0,
        "ratio": 1.5,
        "to_reach": 1.8,
        "reached": True,
        "command": "make bench",
    }
    assert (found["rows"][1]["measured"], found["rows"][1]["reached"]) == (None, None)
    assert LOWER.line().split()[-5:] == ["20", "1.5", "<=", "1.8", "reached"]
    assert NOT_RUN.line().endswith("not run")


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.timeout(600)
def test_every_row_is_given(tmp_path: Path) -> None:
    rows = [
        *decode.report(tmp_path, seconds=2, repeats=1),
        *engine.report(tmp_path, repeats=1, batch=2),
        *messages.report(tmp_path, times=10),
        *line.report(tmp_path, seconds=3, live_s=3, published=False),
        *still.report(tmp_path, frames=60, scenes=("corridor",), learned=20, repeats=1),
    ]
    slow = {f"{name} as published (frames/s)" for name in engine.TOO_SLOW}
    aucs = {row.what for row in rows if row.what.startswith("AUC")}  # too short for an anomaly
    assert {row.what for row in rows if row.measured is None} == slow | aucs
    assert all(row.measured is None or row.measured > 0 for row in rows)
    said = [row.what for row in rows]
    for words in (
        "decode, RGB and resize of 360p",
        "decode, RGB and resize of 1080p",
        "compact step",
        "full step",
        "2 cameras at once, compact",
        *(f"{name} as published" for name in MODELS),
        *(f"{name} live" for name in engine.LIVE),
        "message: score, to write",
        "start:",
        "whole line, a file at full pace, compact",
        "capture to WebSocket",
        "the same, p99",
        "bytes in and out of the bus",
        "memory of a decoder",
        "still scenes",
        "AUC without still frames",
    ):
        assert any(text.startswith(words) for text in said), words
