"""Learning from a named recording: what is taken of it, and one line for what cannot be."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lookout.models.arrays import Pixels
from lookout.models.checkpoint.header import read_header
from lookout.models.errors import VideoError
from lookout.models.media.lossless_clip import write_lossless
from lookout.service.core import jobs
from lookout.service.core.errors import FootageError
from lookout.service.learning.footage import read_segments
from lookout.service.learning.recording import covered_s, read
from lookout.service.learning.recording_files import RecordingFiles, RecordingRequest
from lookout.service.learning.reports import TrainingReport
from lookout.service.learning.worker import run
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests import stage
from tests.conftest import Urls, with_wide_forms
from tests.service.test_learning import (
    TRAINED_S,
    await_reason,
    film,
    new_job,
    settings_for,
    trainers,
    trains,
    watch,
)
from tests.tiny import street, write_tiny
from tests.waiting import wait_until

FPS = 10


def pictures(count: int, side_px: int = 32, *, moves: bool = True) -> list[Pixels]:
    return [street(number if moves else 0, side_px) for number in range(count)]


def write(path: Path, frames: Sequence[Pixels], fps: float = FPS) -> Path:
    path.parent.mkdir(exist_ok=True)
    write_lossless(path, np.stack(frames), fps)
    return path


def reading(
    folder: Path, path: Path, *, view: Pixels | None = None, footage_s: float = 9.0
) -> tuple[RecordingFiles, TrainingReport | None]:
    """Read a recording as the process does; the camera is scored at FPS."""
    files = RecordingFiles(folder / "reading")
    request = RecordingRequest(
        "gate", str(path), 32, 32, fps=FPS, footage_s=footage_s, limit_bytes=2**28, free_mb=0
    )
    files.ask(request, view)
    return files, read(files, lambda: False, lambda _: None)


def test_a_recording_becomes_what_the_recorder_would_have_kept(tmp_path: Path) -> None:
    """Of any size, and at twice the rate: every second frame."""
    path = write(tmp_path / "monday.mkv", pictures(240, side_px=64), fps=2 * FPS)
    files, report = reading(tmp_path, path)
    assert report == TrainingReport(progress=1.0, left_s=0.0)
    segments = read_segments(files.segments)
    assert len(segments) == 5
    assert {(one.width_px, one.height_px) for one in segments} == {(32, 32)}
    assert [one.seconds for one in segments] == pytest.approx([2.1] * 5, abs=0.11)


def two_views() -> list[Pixels]:
    """Three changes of the whole view within a minute."""
    other = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    part = pictures(150)
    return [*part, *[other] * 150, *part, *[other] * 150]


REFUSED: dict[str, tuple[list[Pixels], float, str]] = {
    "slow": (pictures(120), 4, "it has 4 frames a second, and the camera is scored at 10"),
    "short": (pictures(60), FPS, "it holds 6 s of normal footage, and 9 are asked for"),
    "one frame": (pictures(1), FPS, "it holds 0 s of normal footage"),
    "empty": (pictures(600, moves=False), FPS, "nothing moves: 0 of 3 segments"),
    "moving": (two_views(), FPS, "the camera moves: 3 scene changes in 1 minutes of recording"),
}


@pytest.mark.parametrize("case", with_wide_forms(REFUSED, {"slow", "short", "one frame"}))
def test_what_cannot_be_learned_from_is_one_line_with_its_name(tmp_path: Path, case: str) -> None:
    frames, fps, reason = REFUSED[case]
    path = write(tmp_path / "monday.mkv", frames, fps)
    with pytest.raises(FootageError) as refused:
        reading(tmp_path, path)
    assert str(refused.value).startswith(f"monday.mkv: {reason}")
    assert "\n" not in str(refused.value)


def test_another_view_than_the_cameras_is_refused(tmp_path: Path) -> None:
    """By any of its segments: a person before the lens is no other view."""
    path = write(tmp_path / "monday.mkv", pictures(200, side_px=64))
    other = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    with pytest.raises(FootageError, match="another view than the camera does now"):
        reading(tmp_path, path, view=other)
    assert reading(tmp_path, path, view=street(300, 64))[1] is not None


def test_a_missing_cut_or_foreign_file_is_one_line(tmp_path: Path) -> None:
    whole = write(tmp_path / "monday.mkv", pictures(120))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[:-4000])
    for name, reason in {
        "cut.mkv": "the file is cut off",
        "notes.txt": "cannot be opened as a video",
        "empty.mp4": "cannot be opened as a video",
        "gone.mkv": "there is no such file",
    }.items():
        if name == "notes.txt":
            (tmp_path / name).write_text("no video")
        if name == "empty.mp4":
            (tmp_path / name).touch()
        with pytest.raises((FootageError, VideoError)) as refused:
            reading(tmp_path, tmp_path / name)
        assert str(refused.value).startswith(name)
        assert reason in str(refused.value)
        assert "\n" not in str(refused.value)


def test_a_full_disk_ends_the_reading(tmp_path: Path) -> None:
    path = write(tmp_path / "monday.mkv", pictures(120))
    files = RecordingFiles(tmp_path / "reading")
    files.ask(RecordingRequest("gate", str(path), 32, 32, None, 9.0, 2**28, free_mb=2**40), None)
    with pytest.raises(FootageError, match=r"MB are free in .*, and nothing is recorded"):
        read(files, lambda: False, lambda _: None)


def test_a_reading_that_is_stopped_says_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "monday.mkv", pictures(120))
    files = RecordingFiles(tmp_path / "reading")
    files.ask(RecordingRequest("gate", str(path), 32, 32, None, 9.0, 2**28, free_mb=0), None)
    assert read(files, lambda: True, lambda _: None) is None


def test_periods_that_overlap_count_once() -> None:
    assert covered_s([(5.0, 15.0), (-5.0, 2.0), (10.0, 12.0), (90.0, 200.0)], 0.0, 100.0) == 22.0
    assert covered_s([], 0.0, 100.0) == 0.0


@pytest.mark.wide  # make test reads a recording, and trains on what was recorded
@trains
def test_a_camera_learns_from_a_recording_at_full_pace(
    urls: Urls, tmp_path: Path, bus: Bus, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a frame of its own; a kill of the reading begins it again."""
    monkeypatch.setattr(jobs, "AUC_TOLERANCE", 100.0)
    write_tiny(tmp_path / "models", "tiny")
    write(tmp_path / "media" / "monday.mkv", pictures(240))
    watch(store)
    job = store.add_job(new_job(recording="monday.mkv", footage_s=20.0))
    with stage.working(run, settings_for(urls, tmp_path)):
        wait_until(lambda: not store.job(job.id).is_active, "a job that is over", TRAINED_S)
    done = store.job(job.id)
    assert (done.state, done.reason) == ("promoted", "")
    assert done.recorded_s == pytest.approx(23.1, abs=2.2)
    assert read_header(tmp_path / "models" / "gate-1.safetensors").learned_camera == "gate"
    assert store.camera("gate").model == "gate-1"
    assert not list((tmp_path / "learning" / "gate" / "jobs").iterdir())


def test_a_recording_that_is_refused_ends_the_job_and_nothing_else(
    urls: Urls, tmp_path: Path, bus: Bus, store: Store
) -> None:
    write_tiny(tmp_path / "models", "tiny")
    media = tmp_path / "media"
    write(media / "short.mkv", pictures(60))
    before = watch(store)
    watch(store, "yard")
    film(bus, "yard", range(30), time.time() - 30)
    with stage.working(run, settings_for(urls, tmp_path)):
        for name, reason in {
            "short.mkv": "short.mkv: it holds 6 s",
            "gone.mkv": "gone.mkv: there is no such file in the media folder",
            "../models/tiny.safetensors": "the file is not below the media folder",
        }.items():
            failed = await_reason(store, store.add_job(new_job(recording=name)), reason, 30)
            assert failed.state == "failed"
    assert store.camera("gate") == before
    assert not list((tmp_path / "learning" / "gate" / "jobs").iterdir())


@pytest.mark.long
def test_a_reading_that_is_killed_begins_again(
    urls: Urls, tmp_path: Path, bus: Bus, store: Store
) -> None:
    write_tiny(tmp_path / "models", "tiny")
    write(tmp_path / "media" / "long.mkv", pictures(600))
    watch(store)
    job = store.add_job(new_job(recording="long.mkv", limit_s=600.0))
    with stage.working(run, settings_for(urls, tmp_path)):
        (first,) = wait_until(lambda: trainers("recording"), "a process that reads", 30)
        first.kill()
        wait_until(lambda: trainers("recording") not in ([], [first]), "another one", 30)
        (trainer,) = wait_until(trainers, "a training", 90)
        before = store.job(job.id)
        assert store.save_job(before, replace(before, state="cancelled"))
        wait_until(lambda: not trainer.is_running(), "its end")
