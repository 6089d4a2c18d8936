"""Recordings as footage: at a camera's rate, within memory, and cut where they are damaged."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from lookout.models.arrays import Pixels
from lookout.models.data import clips as footage
from lookout.models.data.clips import MemoryLimit, Reading, clip_parts, frames_expected, whole_clip
from lookout.models.data.footage import Footage
from lookout.models.errors import DataError, VideoError
from lookout.models.evaluation.calibrate import calibrate
from lookout.models.media.clip_reader import read_parts
from lookout.models.media.preprocess import Preprocess
from lookout.models.media.timeline import Sampler, Timeline
from lookout.models.training.validation import split
from tests.clips import damage, number_in, write_clip
from tests.sets import write_images
from tests.tiny import tiny_checkpoint

SIZE = Preprocess(height_px=48, width_px=64)
FRAME_BYTES = 48 * 64 * 3
GROUPS = {"bf": "0", "g": "10", "sc_threshold": "0"}  # a keyframe every ten frames


@dataclass
class Listener:
    """Collects the lines that an operator would read."""

    lines: list[str] = field(default_factory=list)

    def __call__(self, line: str) -> None:
        self.lines.append(line)


def numbers(clip: Pixels) -> list[int]:
    return [number_in(frame) for frame in clip]


def room_for(frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose memory holds so many frames of footage."""
    monkeypatch.setattr(
        footage, "memory_bytes", lambda: frames * FRAME_BYTES / footage.MEMORY_SHARE
    )


@pytest.mark.parametrize("name", ["camera.mp4", "camera.mkv", "camera.ts"])
def test_a_recording_of_25_a_second_is_kept_at_10(tmp_path: Path, name: str) -> None:
    path = write_clip(tmp_path / name, range(13), fps=25, size_px=(64, 48))
    (kept,) = clip_parts(path, SIZE, 2, Reading(sample_fps=10))
    assert numbers(kept) == [0, 3, 5, 8, 10]
    (every,) = clip_parts(path, SIZE, 2)
    assert numbers(every) == list(range(13))


def test_a_recording_is_sampled_by_its_times_as_a_cameras_line_samples(tmp_path: Path) -> None:
    times_s = np.cumsum(np.random.default_rng(0).choice([0.02, 0.04, 0.15, 0.3], 60)).tolist()
    path = write_clip(tmp_path / "camera.mkv", range(60), fps=25, size_px=(64, 48), times_s=times_s)
    timeline, sampler = Timeline(1 / 25), Sampler(5)
    live = [
        number for number, at_s in enumerate(times_s) if sampler.keeps(timeline.at(round(at_s, 3)))
    ]
    (kept,) = clip_parts(path, SIZE, 2, Reading(sample_fps=5))
    assert numbers(kept) == live
    assert len(live) < 60


def test_sampled_a_recording_is_cut_where_its_clock_jumps(tmp_path: Path) -> None:
    times_s = [index / 10 + (3600 if index >= 20 else 0) for index in range(30)]
    path = write_clip(tmp_path / "camera.mkv", range(30), size_px=(64, 48), times_s=times_s)
    assert [numbers(part)[0] for part in clip_parts(path, SIZE, 5, Reading(sample_fps=10))] == [
        0,
        20,
    ]
    assert len(clip_parts(path, SIZE, 5)) == 1


def test_images_have_no_rate_that_could_be_sampled(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "01", [f"{number}.png" for number in range(9)])
    with pytest.raises(
        DataError,
        match="01: images do not say how fast they follow each other, as --sample-fps needs",
    ):
        Footage.load([folder], SIZE, 5, Reading(sample_fps=10))


@pytest.mark.parametrize("name", ["camera.mp4", "camera.mkv", "camera.ts"])
def test_what_is_expected_of_a_recording_is_what_it_gives(tmp_path: Path, name: str) -> None:
    path = write_clip(tmp_path / name, range(50), fps=25, size_px=(64, 48))
    assert frames_expected(path) == 50
    assert frames_expected(path, 10) == 20
    assert frames_expected(path, 100) == 50


@pytest.mark.parametrize("name", ["camera.mkv", "camera.ts"])
def test_a_recording_that_does_not_count_its_frames_is_refused_before_it_is_decoded(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_clip(tmp_path / name, range(50), size_px=(64, 48))
    room_for(50, monkeypatch)
    assert len(Footage.load([path], SIZE, 5).clips[0]) == 50
    assert len(whole_clip(path, SIZE, 5)) == 50
    room_for(49, monkeypatch)
    monkeypatch.setattr(footage, "read_parts", None)
    monkeypatch.setattr(footage, "read_clip", None)
    for load in (lambda: Footage.load([path], SIZE, 5), lambda: whole_clip(path, SIZE, 5)):
        with pytest.raises(
            DataError, match=r"about 50 frames of 64x48 are .* take fewer clips or shorter ones"
        ):
            load()


def test_a_recording_that_says_nothing_is_refused_as_soon_as_it_is_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, more = (
        write_clip(tmp_path / name, range(50), size_px=(64, 48)) for name in ("01.mkv", "02.mkv")
    )
    monkeypatch.setattr(footage, "frames_expected", lambda *_: 0)
    room_for(20, monkeypatch)
    for load in (lambda: Footage.load([path], SIZE, 5), lambda: whole_clip(path, SIZE, 5)):
        with pytest.raises(DataError, match="the first 21 frames of 64x48"):
            load()
    room_for(70, monkeypatch)
    with pytest.raises(DataError, match="the first 71 frames"):
        Footage.load([path, more], SIZE, 5)
    calibrate(tiny_checkpoint(), [path, more])  # one at a time


def test_clips_that_share_a_room_share_it_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = (
        write_clip(tmp_path / name, range(30), size_px=(64, 48)) for name in ("01.mkv", "02.mkv")
    )
    room_for(59, monkeypatch)
    with pytest.raises(DataError, match="about 60 frames"):
        MemoryLimit([path, other], SIZE)
    monkeypatch.setattr(footage, "frames_expected", lambda *_: 0)
    room = MemoryLimit([path, other], SIZE)
    Footage.load([path], SIZE, 5, memory=room)
    with pytest.raises(DataError, match="the first 60 frames"):
        Footage.load([other], SIZE, 5, memory=room)


@pytest.mark.parametrize("name", ["camera.mp4", "camera.mkv"])
def test_damage_is_passed_over_and_no_window_reaches_across(tmp_path: Path, name: str) -> None:
    path = damage(write_clip(tmp_path / name, range(40), size_px=(64, 48), options=GROUPS), [12])
    said = Listener()
    loaded = Footage.load([path], SIZE, 5, Reading(on_damage=said))
    assert [numbers(clip) for clip in loaded.clips] == [[*range(12)], [*range(20, 40)]]
    assert loaded.names == (name,)
    for index in range(len(loaded.windows)):
        shown = numbers(loaded.window(index))
        assert shown == list(range(shown[0], shown[0] + 5))
    assert said.lines == [f"{name}: 8 frames passed over for damage; 32 used, in 2 pieces"]
    with pytest.raises(VideoError, match="of its packets or pictures are damaged"):
        Footage.load([path], SIZE, 5)


@pytest.mark.parametrize("number", range(9, 22))
def test_every_part_is_whole_whichever_packet_is_damaged(tmp_path: Path, number: int) -> None:
    path = write_clip(
        tmp_path / "camera.mp4", range(60), size_px=(64, 48), options=GROUPS | {"bf": "3"}
    )
    found = read_parts(damage(path, [number]), SIZE)
    shown = [numbers(part) for part in found.parts]
    assert shown == [list(range(part[0], part[0] + len(part))) for part in shown]
    assert found.lost == 60 - sum(map(len, shown)) > 0


def test_a_piece_that_is_too_short_is_left_out_and_told(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "camera.mkv", range(40), size_px=(64, 48), options=GROUPS)
    path, said = damage(whole, [3]), Listener()
    assert [numbers(part)[0] for part in clip_parts(path, SIZE, 5, Reading(on_damage=said))] == [10]
    assert said.lines == [
        "camera.mkv: 7 frames passed over for damage, 3 more in pieces of less than 5; "
        "30 used, in 1 piece"
    ]
    with pytest.raises(DataError, match=r"camera\.mkv has 30 frames together; the model needs 31"):
        clip_parts(path, SIZE, 31, Reading(on_damage=said))


def test_calibration_passes_over_damage_too(tmp_path: Path) -> None:
    path = damage(
        write_clip(tmp_path / "camera.mkv", range(40), size_px=(64, 48), options=GROUPS), [12]
    )
    said = Listener()
    bounds = calibrate(tiny_checkpoint(), [path], reading=Reading(on_damage=said)).calibration
    assert bounds is not None
    assert bounds.frames == (12 - 4) + (20 - 4)
    assert len(said.lines) == 1
    with pytest.raises(VideoError, match="damaged"):
        calibrate(tiny_checkpoint(), [path])


def test_of_a_recording_in_pieces_the_end_is_held_out(tmp_path: Path) -> None:
    path = damage(
        write_clip(tmp_path / "camera.mkv", range(60), size_px=(64, 48), options=GROUPS), [12, 42]
    )
    loaded = Footage.load([path], SIZE, 5, Reading(on_damage=Listener()))
    kept, held = split(loaded, 0.4, seed=0)
    assert [(numbers(clip)[0], numbers(clip)[-1]) for clip in kept.clips] == [(0, 11), (20, 33)]
    assert [(numbers(clip)[0], numbers(clip)[-1]) for clip in held.clips] == [(34, 41), (50, 59)]
    other = write_clip(tmp_path / "other.mkv", range(20), size_px=(64, 48))
    both = Footage.load([path, other], SIZE, 5, Reading(on_damage=Listener()))
    kept, held = split(both, 0.5, seed=0)
    assert len(kept.names) == len(held.names) == 1
    assert set(kept.names) | set(held.names) == {"camera.mkv", "other.mkv"}
