"""What a checkpoint says beside its weights: its frame rate, and how much places count."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lookout.models.checkpoint.file import load_checkpoint, save_checkpoint
from lookout.models.checkpoint.header import (
    METADATA_KEY,
    Header,
    find_checkpoints,
    parse_header,
    read_header,
)
from lookout.models.data.clips import common_fps
from lookout.models.errors import CheckpointError
from lookout.models.media.preprocess import Preprocess
from lookout.service.core.messages import FrameId
from lookout.service.core.settings import SHIPPED_MODELS
from lookout.service.inference.outbox import LEAST_RATE_FRAMES, CaptureRate
from tests.clips import write_clip
from tests.tiny import tiny_checkpoint


def test_it_is_kept_and_decides_no_score(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, replace(tiny_checkpoint(), fps=12.5))
    assert load_checkpoint(path).fps == read_header(path).fps == 12.5
    digest = read_header(path).content_sha256
    save_checkpoint(path, tiny_checkpoint())
    assert load_checkpoint(path).fps is None
    assert read_header(path).content_sha256 == digest


def test_the_checkpoints_that_come_with_lookout_have_one() -> None:
    shipped = find_checkpoints(SHIPPED_MODELS, SHIPPED_MODELS / "ped2")
    assert {name: read_header(path).fps for name, path in shipped.items()} == {
        "square": 10.0,
        "general": 10.0,
        "std": 10.0,
        "compact": 10.0,
        "places": None,  # it was trained on nothing
    }


def written(folder: Path, fps: object) -> Path:
    """Return a checkpoint whose header says `fps`."""
    data = json.loads(Header("mnad-pred", {}, Preprocess(8, 8)).metadata()[METADATA_KEY])
    path = folder / "made.safetensors"
    metadata = {METADATA_KEY: json.dumps(data | {"fps": fps})}
    save_file({"nothing": np.zeros(1, np.float32)}, path, metadata)
    return path


@pytest.mark.parametrize("fps", [0, -1, float("inf"), float("nan"), "fast", [10]])
def test_a_rate_that_is_none_is_a_damaged_header(tmp_path: Path, fps: object) -> None:
    with pytest.raises(CheckpointError, match="damaged header"):
        read_header(written(tmp_path, fps))


def test_a_header_of_an_older_version_says_none(tmp_path: Path) -> None:
    data = json.loads(Header("mnad-pred", {}, Preprocess(8, 8)).metadata()[METADATA_KEY])
    del data["fps"]
    path = tmp_path / "old.safetensors"
    save_file({"nothing": np.zeros(1, np.float32)}, path, {METADATA_KEY: json.dumps(data)})
    assert read_header(path).fps is None


def test_the_weight_of_places_is_kept_and_decides_a_score(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, tiny_checkpoint())
    digest = read_header(path).content_sha256
    assert load_checkpoint(path).place_weight == 0.5
    save_checkpoint(path, replace(tiny_checkpoint(), place_weight=0.2))
    assert load_checkpoint(path).place_weight == read_header(path).place_weight == 0.2
    assert read_header(path).content_sha256 != digest


def test_a_header_of_an_older_version_weighs_both_parts_alike() -> None:
    data = json.loads(Header("mnad-pred", {}, Preprocess(8, 8)).metadata()[METADATA_KEY])
    assert "place_weight" not in data
    header = parse_header(Path("old.safetensors"), json.dumps(data))
    assert header.place_weight == 0.5
    assert "place_weight" not in header.deciding()


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan"), "much", [0.5], None])
def test_a_weight_that_is_no_share_is_a_damaged_header(weight: object) -> None:
    data = json.loads(Header("mnad-pred", {}, Preprocess(8, 8)).metadata()[METADATA_KEY])
    with pytest.raises(CheckpointError, match="damaged header"):
        parse_header(Path("made.safetensors"), json.dumps(data | {"place_weight": weight}))


def test_clips_have_a_common_rate_or_none(tmp_path: Path) -> None:
    at_10 = [write_clip(tmp_path / f"{name}.mp4", range(20)) for name in "ab"]
    at_25 = write_clip(tmp_path / "c.mp4", range(20), fps=25)
    assert common_fps(at_10) == 10
    assert common_fps([*at_10, at_25]) is None
    assert common_fps([*at_10, at_25], sample_fps=10) == 10
    assert common_fps([at_25], sample_fps=50) == 25
    assert common_fps([at_25], unstated_fps=10) == 25


def test_the_rate_of_a_camera_is_by_the_times_at_which_its_frames_were_filmed() -> None:
    rate = CaptureRate()
    for seq in range(0, 3 * LEAST_RATE_FRAMES, 3):  # of three, two are left out
        assert rate.fps is None
        rate.add(FrameId(7, seq), 100 + seq / 10)
    assert rate.fps == pytest.approx(10)
    rate.add(FrameId(8, 0), 900.0)  # another session
    assert rate.fps is None
    for seq in range(1, 200):
        rate.add(FrameId(8, seq), 900.0)
    assert rate.fps is None
