"""Segments of footage: their names, which of them stay, and what the recorder keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.models.media.clip_reader import read_clip
from lookout.models.media.preprocess import Preprocess
from lookout.service.core.messages import Alert, CameraEvent, Frame, FrameId
from lookout.service.learning.footage import (
    FootageFolder,
    Segment,
    least_diverse,
    parse_segment,
    read_segments,
)
from lookout.service.learning.normality import Normality, alert_periods, tampered_periods
from lookout.service.learning.recorder import MOVING_SHARE, Recorder, Taken, motion_share
from lookout.service.learning.training_files import MAX_FRAMES, MAX_HELD_OUT, split_segments
from tests.conftest import examples
from tests.tiny import street

BEGAN_S = 1_785_000_000.0


def frames_of(
    seqs: range, *, fps: float = 10.0, session: int = 1000, moves: bool = True, **more: Any
) -> list[Frame]:
    began_s = more.get("began_s", BEGAN_S)
    side_px = more.get("side_px", 32)
    return [
        Frame("gate", session, seq, began_s + seq / fps, street(seq if moves else 0, side_px))
        for seq in seqs
    ]


def segment(begins_s: float, *, motion: float = 0.5, size: int = 100, frames: int = 20) -> Segment:
    begins_ms = round(begins_s * 1000)
    path = Path(f"{begins_ms}.mkv")
    first = FrameId(begins_ms, 0)
    return Segment(path, first, frames, begins_ms, begins_ms + 2000, motion, 32, 32, size)


def test_what_is_recorded_is_what_the_model_saw(tmp_path: Path) -> None:
    footage = FootageFolder(tmp_path / "footage")
    recorder = Recorder(footage)
    frames = frames_of(range(44))
    assert recorder.take(frames, [], may_write=True) == Taken(recorded=42)
    read = [read_clip(one.path, Preprocess(32, 32)) for one in footage.segments]
    seen = np.stack([frame.pixels for frame in frames[:42]])
    assert np.array_equal(np.concatenate(read), seen)
    assert read_segments(tmp_path / "footage") == footage.segments
    assert Recorder(FootageFolder(tmp_path / "footage")).cursor == frames[41].id


def test_a_kill_loses_the_open_segment_alone(tmp_path: Path) -> None:
    Recorder(FootageFolder(tmp_path)).take(frames_of(range(30)), [], may_write=True)
    (tmp_path / ".1000-21_x.4711.mkv").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("somebody else's")
    again = FootageFolder(tmp_path)
    assert [one.first.seq for one in again.segments] == [0]
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".mkv", ".txt"]
    recorder = Recorder(again)
    recorder.take(frames_of(range(21, 60)), [], may_write=True)
    assert [one.first.seq for one in again.segments] == [0, 21]


@pytest.mark.parametrize(
    "breaks",
    [
        [*frames_of(range(10)), *frames_of(range(11, 25))],  # a gap
        [*frames_of(range(10)), *frames_of(range(10, 25), session=2000)],
        [*frames_of(range(10)), *frames_of(range(10, 25), side_px=40)],
        [*frames_of(range(10)), *frames_of(range(10, 25), began_s=BEGAN_S - 50)],
    ],
    ids=["gap", "session", "size", "clock"],
)
def test_a_segment_never_reaches_across_a_break(tmp_path: Path, breaks: list[Frame]) -> None:
    footage = FootageFolder(tmp_path)
    Recorder(footage).take(breaks, [], may_write=True)
    assert footage.segments == []


def test_frames_that_left_the_bus_are_counted_and_those_of_a_gap_are_not(tmp_path: Path) -> None:
    recorder = Recorder(FootageFolder(tmp_path))
    recorder.take(frames_of(range(5)), [], may_write=True)
    (late,) = frames_of(range(12, 13))
    assert recorder.take([late], [], may_write=True).missed == 7
    skipping = Frame("gate", 1000, 20, BEGAN_S + 2, street(0), skipped=7, skipped_for="lag")
    assert recorder.take([skipping], [], may_write=True).missed == 0


def test_a_frame_that_cannot_be_read_breaks_the_segment(tmp_path: Path) -> None:
    footage = FootageFolder(tmp_path)
    unreadable = Frame("gate", 1000, 10, float("nan"), np.empty((0, 0, 3), np.uint8))
    frames = [*frames_of(range(10)), unreadable, *frames_of(range(11, 25))]
    Recorder(footage).take(frames, [], may_write=True)
    assert footage.segments == []


def test_nothing_is_kept_of_an_excluded_period_or_a_full_disk(tmp_path: Path) -> None:
    footage = FootageFolder(tmp_path)
    excluded = [(BEGAN_S + 1, BEGAN_S + 1.5)]
    taken = Recorder(footage).take(frames_of(range(42)), excluded, may_write=True)
    assert (taken.excluded, taken.recorded) == (21, 21)
    taken = Recorder(FootageFolder(tmp_path / "other")).take(
        frames_of(range(42)), [], may_write=False
    )
    assert (taken.recorded, taken.thinned) == (0, 42)


def test_still_footage_is_thinned_and_moving_footage_is_not(tmp_path: Path) -> None:
    still = Recorder(FootageFolder(tmp_path / "still"))
    taken = still.take(frames_of(range(600), moves=False), [], may_write=True)
    assert taken.recorded <= 3 * 21  # one in 20 s of a minute
    moving = Recorder(FootageFolder(tmp_path / "moving"))
    assert moving.take(frames_of(range(600)), [], may_write=True).recorded >= 560


def test_motion_is_told_from_noise() -> None:
    rng = np.random.default_rng(0)
    street_256 = rng.integers(60, 200, (256, 256, 3)).astype(np.uint8)
    noisy = np.stack(
        [np.clip(street_256 + rng.normal(0, 4, street_256.shape), 0, 255) for _ in range(8)]
    ).astype(np.uint8)
    assert motion_share(noisy) < MOVING_SHARE
    noisy[5, 100:116, 50:56] = 255
    assert motion_share(noisy) >= MOVING_SHARE


@given(
    begins=st.lists(st.integers(0, 100_000), min_size=1, max_size=60, unique=True),
    limit=st.integers(0, 4000),
    motions=st.randoms(use_true_random=False),
)
def test_what_stays_fits_and_is_spread_over_the_time(
    begins: list[int], limit: int, motions: Any
) -> None:
    segments = [segment(float(at), motion=motions.random()) for at in sorted(begins)]
    gone = least_diverse(segments, limit)
    kept = [one for one in segments if one not in gone]
    assert sum(one.size_bytes for one in kept) <= limit
    assert len(gone) == max(0, len(segments) - limit // 100)


def test_of_a_busy_hour_and_a_quiet_day_both_stay() -> None:
    day = [segment(600.0 * number) for number in range(144)]
    hour = [segment(50_000.0 + 4 * number) for number in range(900)]
    segments = sorted([*day, *hour], key=lambda one: one.begins_ms)
    kept = set(segments) - set(least_diverse(segments, 200 * 100))
    assert len(kept & set(day)) > 130
    assert len(kept & set(hour)) > 0


@examples(200)
@given(st.text(max_size=80))
def test_any_other_file_is_no_segment(name: str) -> None:
    assert parse_segment(Path("x") / name.replace("/", "_"), 1) is None


@examples(60)
@given(count=st.integers(2, 400), frames=st.integers(16, 48))
def test_training_and_held_out_segments_never_meet(count: int, frames: int) -> None:
    segments = [segment(10.0 * number, frames=frames) for number in range(count)]
    train, held_out = split_segments(segments)
    assert train
    assert 1 <= len(held_out) <= MAX_HELD_OUT
    assert not set(train) & set(held_out)
    assert sum(one.frames for one in [*train, *held_out]) <= max(MAX_FRAMES, 2 * frames)
    if count >= 10:
        span = segments[-1].begins_ms - segments[0].begins_ms
        used = sorted(one.begins_ms for one in [*train, *held_out])
        assert used[-1] - used[0] >= 0.9 * span


def test_periods_of_alerts_and_tampering_are_left_out() -> None:
    closed = Alert("a", "gate", "closed", 100.0, 110.0, 0.5, 0.9, 105.0)
    opened = Alert("b", "gate", "open", 200.0, None, 0.5, 0.9, 205.0)
    assert alert_periods([closed, opened], 300.0) == [(95.0, 115.0), (195.0, 305.0)]
    assert alert_periods([replace(opened, kind="unwatched")], 300.0) == []

    def event(kind: Any, at: float) -> CameraEvent:
        return CameraEvent(kind, "gate", 1, 1, at, "")

    events = [event("tampered", 10), event("scene_change", 20), event("restored", 30)]
    assert tampered_periods(events, 99.0) == [(5.0, 35.0)]
    assert tampered_periods(events[:1], 99.0) == [(5.0, 104.0)]
    normality = Normality([(100.0, 110.0)])
    kept = normality.normal([segment(90.0), segment(98.5), segment(105.0), segment(111.0)])
    assert [one.begins_ms for one in kept] == [90_000, 111_000]


def test_a_camera_moves_where_its_scene_changes_again_and_again() -> None:
    often = Normality([], tuple(range(0, 600, 60)))
    assert "the camera moves: 10 scene changes in 10 minutes" in often.movement(0, 600)
    day_and_night = Normality([], (0, 40_000, 80_000))
    assert day_and_night.movement(0, 86_400) == ""
    assert Normality([], (1, 2)).movement(0, 60) == ""
