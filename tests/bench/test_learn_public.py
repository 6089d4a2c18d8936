"""The short forms of `tests.bench.learn_public` and `tests.bench.learn_in_place`: seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from lookout.models.checkpoint.file import save_checkpoint
from tests.bench import learn_in_place
from tests.bench.learn_public import report
from tests.cli import lookout
from tests.tiny import tiny_checkpoint


@pytest.mark.long
@pytest.mark.alone
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


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.timeout(900)
def test_a_camera_learns_in_a_whole_service(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = list(learn_in_place.report(tmp_path, footage_s=10.0, minutes=0.05, shadow_s=0.0))
    with capsys.disabled():
        print("", *lines, sep="\n")
    assert [line.split()[0] for line in lines[:4]] == ["online", "recorded", "trained", "over"]
    assert lines[4].split()[0] in ("promoted", "trained", "failed")
    assert lines[5].startswith("frames lost: ")
    assert "p99" in lines[6]
