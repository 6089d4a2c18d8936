"""The short form of `python -m tests.bench.learn_public`: a drawn scene, seconds, a small model."""

from __future__ import annotations

from pathlib import Path

import pytest

from lookout.models.checkpoint.file import save_checkpoint
from tests.bench.learn_public import report
from tests.cli import lookout
from tests.tiny import tiny_checkpoint


@pytest.mark.long
@pytest.mark.timeout(600)
def test_what_a_job_makes_of_a_scene_is_measured(tmp_path: Path) -> None:
    scene = tmp_path / "street"
    lookout("scene", "street", scene, "--minutes", "0.5", "--anomalies", "600")
    start = tmp_path / "small.safetensors"
    save_checkpoint(start, tiny_checkpoint(side_px=256))
    lines = "\n".join(report(scene, start, minutes=0.05)).splitlines()
    assert lines[0].startswith("street: 0.05 minutes from small")
    assert [line for line in lines if line.startswith("--")] == ["-- small", "-- learned"]
    for words in ("memory of places, causal", "local score, causal", "copy of the last frame"):
        assert sum(words in line for line in lines) >= 2, words
