"""Replays: the live line's own scores on the same frames, what is found, and bad recordings."""

from __future__ import annotations

import csv
import datetime
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookout.models.media.lossless_clip import write_lossless
from lookout.models.media.preprocess import Preprocess
from lookout.service.core.camera import Camera
from lookout.service.core.messages import Score
from lookout.service.core.replay import CameraCopy, ReplayOptions, ReplayReport
from lookout.service.core.settings import Settings
from lookout.service.inference.scorers import Scorers
from lookout.service.inference.worker import run
from lookout.service.learning.footage import FootageFolder
from lookout.service.replay.files import scored_to_the_end
from lookout.service.replay.kept_frames import KeptFrames
from lookout.service.replay.played_frames import PlayedFrames
from lookout.service.replay.recording import RecordedFrame, RecordedFrames
from lookout.service.replay.replay import Replay, ReplayStep
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.camera_copy import copy_camera
from lookout.service.storage.store.store import Store
from tests import stage
from tests.cli import lookout
from tests.conftest import Urls, with_wide_forms
from tests.owning import add_frames
from tests.service.api_server import Api, api, is_problem, one_api
from tests.tiny import street, write_tiny
from tests.waiting import wait_until

__all__ = ["api", "one_api"]

FRAMES = 90
DOOR = {
    "name": "door",
    "kind": "watch",
    "points": [[0.0, 0.0], [0.6, 0.0], [0.6, 0.6], [0.0, 0.6]],
    "alert": {"threshold": 0.05, "min_duration_s": 0.0},
}
TREE = {"name": "tree", "kind": "ignore", "points": [[0.7, 0.7], [1.0, 0.7], [1.0, 1.0]]}
working = partial(stage.working, run)


@pytest.fixture
def settings(urls: Urls, tmp_path: Path) -> Settings:
    models = tmp_path / "models"
    models.mkdir()
    write_tiny(models)
    return Settings(
        bus_url=urls.bus,
        store_url=urls.store,
        models_dir=models,
        device="cpu",
        precision="fp32",
        learn_frames=40,
    )


def film(path: Path) -> Path:
    """Write a street; for a second its upper half is noise."""
    frames = np.stack([street(number) for number in range(FRAMES)])
    noise = np.random.default_rng(1).integers(0, 256, (12, 16, 32, 3), dtype=np.uint8)
    frames[60:72, :16] = noise
    write_lossless(path, frames, 10)
    return path


def calm(path: Path, count: int = 20, fps: float = 10, factor: int = 1) -> Path:
    """Write a street in which nothing else happens, enlarged."""
    frames = np.stack([street(number) for number in range(count)])
    write_lossless(path, frames.repeat(factor, axis=1).repeat(factor, axis=2), fps)
    return path


def gate(**changes: Any) -> Camera:
    fields = {
        "id": "gate",
        "url": "rtsp://user:hunter2@10.0.0.7/x",
        "model": "tiny",
        "fps": None,
        "score": "local",
        "created_at": 1.0,
        "revision": 1,
        "zones": [DOOR, TREE],
        "alert": {"threshold": 0.3, "min_duration_s": 0.1, "clear_after_s": 0.5},
    }
    return Camera.model_validate(fields | changes)


def score_live(
    bus: Bus, store: Store, settings: Settings, clip: Path, session: int
) -> Iterator[Score]:
    """Score a clip as one session of the camera, by the inference worker."""
    record = store.camera("gate")
    size = Preprocess(32, 32)
    frames = [
        one.frame
        for one in RecordedFrames(clip, record, size, session / 1000).frames_after(session)
    ]
    add_frames(bus, *frames)
    with working(settings):
        wait_until(lambda: bus.cursor("gate") == frames[-1].id, "every frame is dealt with")
    for score in bus.newest_scores("gate", 1000):
        if score.session == session:
            yield score


def replay_of(copy: CameraCopy, settings: Settings, **options: Any) -> Replay:
    scorer, content = Scorers(settings.model_folders, "cpu", "fp32").get("tiny")
    assert content == copy.checkpoint
    return Replay(copy, ReplayOptions.model_validate(options), settings, scorer)


def replayed(
    copy: CameraCopy, settings: Settings, clip: Path, out: Path, **options: Any
) -> ReplayReport:
    run_again = replay_of(copy, settings, **options)
    return scored_to_the_end(run_again, run_again.recording(clip), out, copy.fps)


@pytest.mark.parametrize("score", with_wide_forms(["fused", "paper"], {"paper"}))
def test_a_replay_is_the_live_line_bit_for_bit(
    bus: Bus, store: Store, settings: Settings, tmp_path: Path, score: str
) -> None:
    clip = film(tmp_path / "clip.mkv")
    store.add_camera(gate(score=score, pace="fast", url="/x.mkv"))
    assert list(score_live(bus, store, settings, clip, 1_000_000))
    copy = copy_camera(settings, bus, store, "gate")
    assert copy.cursor == f"1000000-{FRAMES - 1}"
    live = list(score_live(bus, store, settings, clip, 2_000_000))
    run_again = replay_of(copy, settings, began_at=2000.0)
    assert run_again.goes_on
    steps = list(run_again.steps(run_again.recording(clip)))
    own = ("scored_at",)
    assert [without(step.score, own) for step in steps] == [without(one, own) for one in live]
    heats = bus.heat("gate", live[-1].id)
    assert heats is not None
    assert np.array_equal(steps[-1].cells, heats.cells)


def without(score: Score, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of a score but some."""
    return {name: getattr(score, name) for name in Score.__slots__ if name not in names}


@pytest.fixture
def learned(bus: Bus, store: Store, settings: Settings, tmp_path: Path) -> CameraCopy:
    """A copy of a camera that has seen the clip once."""
    store.add_camera(gate(pace="fast", url="/x.mkv"))
    list(score_live(bus, store, settings, film(tmp_path / "first.mkv"), 1_000_000))
    return copy_camera(settings, bus, store, "gate")


def test_a_replay_writes_alerts_minutes_thresholds_scores_and_pictures(
    learned: CameraCopy, settings: Settings, tmp_path: Path
) -> None:
    clip = film(tmp_path / "clip.mkv")
    out = tmp_path / "out"
    report = replayed(learned, settings, clip, out)
    assert (report.frames, report.scored, report.left_out) == (FRAMES, FRAMES - 4, {"window": 4})
    assert report.threshold == 0.3
    assert {alert.zone for alert in report.alerts} == {None, "door"}
    assert report.alerts_opened == len(report.alerts)
    whole = [alert for alert in report.alerts if alert.zone is None][-1]
    assert 6 < whole.opened_s < whole.closed_s <= 9
    with (out / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    values = [float(row["value"] or "0") for row in rows]
    assert len(rows) == report.scored
    assert report.minutes[0].peak_value == max(values)
    peak = rows[values.index(max(values))]
    assert report.minutes[0].peak_s == pytest.approx(float(peak["at_s"]), abs=1e-3)
    names = {alert.picture for alert in report.alerts} | {one.picture for one in report.minutes}
    assert {path.name for path in out.glob("*.jpg")} == names
    assert all((out / name).read_bytes()[:2] == b"\xff\xd8" for name in names)
    assert json.loads((out / "report.json").read_text()) == report.model_dump(mode="json")
    counts = [other.alerts for other in report.thresholds]
    assert report.thresholds[1].threshold == 0.3
    assert counts[1] == sum(alert.zone is None for alert in report.alerts)
    assert counts[-1] == 0


def test_another_threshold_and_other_zones_can_be_asked_for(
    learned: CameraCopy, settings: Settings, tmp_path: Path
) -> None:
    clip = film(tmp_path / "clip.mkv")
    high = replayed(learned, settings, clip, tmp_path / "high", threshold=0.99)
    assert (high.threshold, high.alerts) == (0.99, [])
    corner = {"name": "corner", "kind": "watch", "points": [[0.9, 0.9], [1.0, 0.9], [1.0, 1.0]]}
    report = replayed(learned, settings, clip, tmp_path / "zone", zones=[corner])
    assert "zone_corner" in (tmp_path / "zone" / "scores.csv").read_text().splitlines()[0]
    assert {alert.zone for alert in report.alerts} <= {None, "corner"}
    crossed = corner | {"points": [[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]}
    with pytest.raises(ValueError, match="crosses or touches itself"):
        replay_of(learned, settings, zones=[crossed])


@pytest.mark.wide
def test_a_schedule_holds_where_the_recording_says_when_it_began(
    learned: CameraCopy, settings: Settings, tmp_path: Path
) -> None:
    night = {"armed": [{"begin": "22:00", "end": "06:00"}]}
    copy = learned.model_copy(update={"camera": learned.camera | {"schedule": night}})
    clip = film(tmp_path / "clip.mkv")
    noon = 1_785_000_000.0 // 86_400 * 86_400 + 43_200
    assert replayed(copy, settings, clip, tmp_path / "1").alerts
    assert not replayed(copy, settings, clip, tmp_path / "2", began_at=noon).alerts
    assert replayed(copy, settings, clip, tmp_path / "3", began_at=noon + 43_200).alerts


def test_a_camera_that_has_learned_nothing_is_scored_as_one_that_begins(
    bus: Bus, store: Store, settings: Settings, tmp_path: Path
) -> None:
    store.add_camera(gate())
    copy = copy_camera(settings, bus, store, "gate")
    report = replayed(copy, settings, calm(tmp_path / "a.mkv"), tmp_path / "out")
    assert report.scored == 16
    assert not report.minutes
    assert "has learned nothing yet" in report.notes[0]
    assert "still learning (16 of 40 frames)" in report.notes[1]


def test_recordings_of_another_size_or_rate_are_scored_as_live_and_said(
    learned: CameraCopy, settings: Settings, tmp_path: Path
) -> None:
    copy = learned.model_copy(update={"fps": 25.0})
    slow = calm(tmp_path / "slow.mkv", fps=5, factor=2)
    report = replayed(copy, settings, slow, tmp_path / "out")
    assert report.scored == 16
    assert (
        "5 frames a second, and the camera is scored at 25: things move too fast"
        in (report.notes[-1])
    )
    few = calm(tmp_path / "few.mkv", 3)
    assert "3 frames, and none has a score" in " ".join(
        replayed(learned, settings, few, tmp_path / "few").notes
    )


@pytest.fixture
def reached(api: Api, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options with which the command reaches the API; its models are those of the API."""
    monkeypatch.setenv("LOOKOUT_MODELS_DIR", str(api.settings.model_folders[0]))
    monkeypatch.setenv("LOOKOUT_DEVICE", "cpu")
    write_tiny(api.settings.model_folders[0])
    return ["--camera", "gate", "--url", f"http://127.0.0.1:{api.port}"]


def test_the_command_replays_and_says_what_is_wrong_in_one_line(
    api: Api, store: Store, reached: list[str], tmp_path: Path
) -> None:
    clip = calm(tmp_path / "clip.mkv")
    assert "no camera 'gate'" in lookout("replay", clip, *reached, expect=1).one_line()
    store.add_camera(gate())
    said = lookout("replay", clip, *reached)
    assert "clip.mkv by camera gate (tiny): 16 of 20 frames scored" in said.out
    assert (tmp_path / "clip-replay" / "report.json").is_file()
    torn = tmp_path / "torn.mkv"
    torn.write_bytes(clip.read_bytes()[:200])
    line = lookout("replay", torn, *reached, expect=1).one_line()
    assert "torn.mkv cannot be opened as a video" in line
    assert not (tmp_path / "torn-replay" / "report.json").exists()
    when = lookout("replay", clip, *reached, "--began", "tomorrow", expect=1).one_line()
    assert "'tomorrow' is no time such as" in when
    refusals = {
        ("--from", "2026-07-01T22:00"): "name a recording, or a period",
        ("--from", "2026-07-01T22:00", "--to", "2026-07-01T21:00"): "`from` must come before `to`",
        ("--from", "2026-07-01T22:00", "--to", "2999-07-01T21:00"): "`to` is in the future",
        ("--from", "then", "--to", "2026-07-01"): "--from: 'then' is no time such as",
        (clip, "--from", "2026-07-01", "--to", "2026-07-02"): "either a recording, or a period",
        ("--from", "2026-07-01", "--to", "2026-07-02"): "no footage of this camera is kept",
    }
    for words, reason in refusals.items():
        assert reason in lookout("replay", *words, *reached, expect=1).one_line()
    nowhere = ["--camera", "gate", "--url", "http://127.0.0.1:1"]
    assert "no API at http://127.0.0.1:1" in lookout("replay", clip, *nowhere, expect=1).one_line()


def test_the_command_wants_the_checkpoint_of_the_service(
    api: Api, store: Store, reached: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add_camera(gate())
    other = tmp_path / "other"
    other.mkdir()
    write_tiny(other, gamma=0.5)
    monkeypatch.setenv("LOOKOUT_MODELS_DIR", str(other))
    clip = calm(tmp_path / "clip.mkv")
    assert "is another than the service's" in lookout("replay", clip, *reached, expect=1).one_line()


def test_a_copy_holds_no_password_and_needs_a_checkpoint(api: Api, store: Store) -> None:
    store.add_camera(gate(model="square", zones=[], score="paper"))
    copied = api.get("/cameras/gate/copy")
    assert copied.status_code == 200
    assert "hunter2" not in copied.text
    assert copied.json()["camera"]["url"] == "/recording"
    is_problem(api.get("/cameras/yard/copy"), 404)
    store.add_camera(gate(id="lost", model="gone"))
    assert "its checkpoint is gone" in is_problem(api.get("/cameras/lost/copy"), 422)


def test_a_replay_of_kept_footage_is_the_live_line_bit_for_bit(
    bus: Bus, store: Store, settings: Settings, learned: CameraCopy, tmp_path: Path
) -> None:
    """Live has the frames that are kept: 80 of 90, 20 at a time, of two sessions."""
    clip = film(tmp_path / "clip.mkv")
    began_s = time.time() - 3600
    of_file = replay_of(learned, settings).recording(clip)
    sessions = (int(began_s * 1000), int(began_s * 1000) + 1)
    frames = [
        replace(one.frame, session=sessions[number >= 70], captured_at=began_s + number / 10.3)
        for number, one in enumerate(of_file.frames_after(0))
    ]
    kept = [one for one in frames if not 40 <= one.seq < 50]
    footage = FootageFolder(tmp_path / "footage")
    for first in (0, 20, 40, 60):
        part = kept[first : first + 20]
        pixels = np.stack([one.pixels for one in part])
        footage.add(part[0].id, pixels, [one.captured_at for one in part], 0.5)
    add_frames(bus, *kept)
    with working(settings):
        wait_until(lambda: bus.cursor("gate") == kept[-1].id, "every frame is dealt with")
    live = [score for score in bus.newest_scores("gate", 1000) if score.session in sessions]
    source, steps = replayed_period(learned, settings, footage.folder, began_s, began_s + 60)
    own = ("scored_at", "session")
    assert [without(step.score, own) for step in steps] == [without(one, own) for one in live]
    assert len(steps) == 80 - 3 * 4
    assert [step.at_s for step in steps] == [one.captured_at - began_s for one in live]
    assert source.part.segments == 4
    assert "of 60 seconds are kept, in 4 segments" in source.notes()[0]


def test_a_period_of_a_file_camera_is_of_its_file_bit_for_bit(
    bus: Bus, store: Store, settings: Settings, learned: CameraCopy, tmp_path: Path
) -> None:
    """Live has the whole file, and the replay its last 30 frames with the numbers of then."""
    clip = film(tmp_path / "clip.mkv")
    run_again = replay_of(learned, settings, began_at=2006.0)
    whole = RecordedFrames(clip, gate(), Preprocess(32, 32), 2000.0)
    frames = [one.frame for one in whole.frames_after(0)]
    source = PlayedFrames(run_again.recording(clip, 2000.0), 2006.0, 2100.0)
    steps = list(run_again.steps(source))
    late = [one for one in frames if one.captured_at >= 2006.0]
    again = replay_of(learned, settings, began_at=2006.0)
    least = again.least_session
    alone = [
        replace(one, session=least + 1_000_000, skipped=one.seq * (one is late[0]), skipped_for="x")
        for one in late
    ]
    direct = list(again.steps_of(RecordedFrame(one, one.pixels) for one in alone))
    own = ("scored_at", "session")
    assert [without(one.score, own) for one in steps] == [without(one.score, own) for one in direct]
    assert [step.score.seq for step in steps] == list(range(64, 90))
    assert run_again.left_out["window"] == 4
    assert source.notes()[0] == "2.9 of 94 seconds were played by the camera from clip.mkv"


def replayed_period(
    copy: CameraCopy, settings: Settings, folder: Path, begins_s: float, ends_s: float
) -> tuple[KeptFrames, list[ReplayStep]]:
    run_again = replay_of(copy, settings, began_at=begins_s)
    source = KeptFrames.of(
        folder, run_again.camera, Preprocess(32, 32), (begins_s, ends_s), datetime.UTC
    )
    return source, list(run_again.steps(source))
