"""The normal form of `make chaos`: every kind of fault once, on the whole service."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.recount import recount

REPOSITORY = Path(__file__).resolve().parents[2]
MUST_NOT_BE = (
    "doubles",
    "unexplained",
    "unread",
    "alerts_lost",
    "alerts_differing",
    "differing",
    "owned_late",
)


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.timeout(600)
def test_no_double_no_unexplained_gap_and_no_lost_alert(tmp_path: Path) -> None:
    out = tmp_path / "chaos.json"
    words = [sys.executable, "-m", "tests.chaos", "--out", str(out)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(words, cwd=REPOSITORY, **pipes) as chaos:
        try:
            told, _ = chaos.communicate(timeout=580)
        finally:
            chaos.terminate()  # it ends the service that it has started
    assert chaos.returncode == 0, told
    data = json.loads(out.read_text())
    assert data["verdict"]["complaints"] == []
    again = recount(data)
    assert {name: again[name] for name in MUST_NOT_BE} == dict.fromkeys(MUST_NOT_BE, 0)
    assert {one["stage"] for fault in data["faults"] for one in fault["takeovers"].values()} == {
        "inference",
        "ingest",
    }
    assert (
        sum(len(group["rows"]) for camera in data["cameras"].values() for group in camera["scores"])
        > 1000
    )
