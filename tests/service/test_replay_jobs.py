"""Replays as jobs: through the learning stage, and asked for by the API."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from lookout.service.core.camera import Camera
from lookout.service.core.clock import Moment
from lookout.service.core.replay import ReplayJob, ReplayOptions
from lookout.service.core.settings import Settings
from lookout.service.inference.scorers import Scorers
from lookout.service.learning import live_load, replay_job
from lookout.service.learning.footage import footage_folder
from lookout.service.learning.replay_job import ReplayRun
from lookout.service.learning.worker import run
from lookout.service.replay.files import scored_to_the_end
from lookout.service.replay.kept_frames import KeptFrames
from lookout.service.replay.process import replay
from lookout.service.replay.replay import Replay
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.camera_copy import copy_camera
from lookout.service.storage.replay_files import ReplayFiles, ReplayTask, replays_folder
from lookout.service.storage.store.replays import REPLAYS_KEPT
from lookout.service.storage.store.store import Store
from tests import stage
from tests.conftest import Urls
from tests.kept_footage import film, keep, write_source
from tests.processes import children
from tests.service.api_server import Api, api, is_problem, one_api
from tests.tiny import write_tiny
from tests.waiting import wait_until

__all__ = ["api", "one_api"]

DONE_S = 90.0
LONG = 4000  # frames: a replay that is still there when a test looks


def gate(**changes: Any) -> Camera:
    fields = {
        "id": "gate",
        "url": "rtsp://user:hunter2@10.0.0.7/x",
        "model": "tiny",
        "fps": None,
        "score": "paper",
        "calibration": "model",
        "created_at": 1.0,
        "revision": 1,
    }
    return Camera.model_validate(fields | changes)


@pytest.fixture
def settings(urls: Urls, tmp_path: Path) -> Settings:
    write_tiny(tmp_path / "models")
    return Settings(
        bus_url=urls.bus,
        store_url=urls.store,
        data_dir=tmp_path,
        models_dir=tmp_path / "models",
        media_dir=tmp_path / "media",
        device="cpu",
        precision="fp32",
        lease_s=1.0,
        learning_free_mb=0,
    )


def add(
    store: Store, video: str, name: str = "gate", *, until: float | None = None, **options: Any
) -> ReplayJob:
    now = time.time()
    text = ReplayOptions(**options).model_dump_json()
    return store.add_replay(ReplayJob(name, "queued", now, now, video, text, until=until))


def await_over(store: Store, job: ReplayJob) -> ReplayJob:
    wait_until(lambda: not store.replay(job.id).is_active, "a job that is over", DONE_S)
    return store.replay(job.id)


def is_gone(data_dir: Path, job: ReplayJob) -> bool:
    """Tell whether a job has no files."""
    return not ReplayFiles.of(data_dir, job).folder.exists()


def replayers() -> list[psutil.Process]:
    """The processes that replay, of this test."""
    return children("lookout.service.replay.process")


@pytest.mark.wide
@pytest.mark.timeout(240)
def test_a_job_finds_what_the_command_finds_and_bad_recordings_fail_in_one_line(
    settings: Settings, bus: Bus, store: Store, tmp_path: Path
) -> None:
    clip = film(settings.media_dir / "monday.mkv")
    (settings.media_dir / "text.mp4").write_text("no video")
    store.add_camera(gate())
    with stage.working(run, settings):
        done = await_over(store, add(store, "monday.mkv", threshold=0.4, began_at=1000.0))
        assert (done.state, done.progress, done.reason) == ("done", 1.0, "")
        for video, words in {
            "gone.mkv": "there is no such file in the media folder",
            "../models/tiny.safetensors": "is not below the media folder",
            "text.mp4": "text.mp4 cannot be opened as a video",
        }.items():
            failed = await_over(store, add(store, video))
            assert failed.state == "failed"
            assert words in failed.reason
            assert "\n" not in failed.reason
            assert failed.reason_code
            wait_until(partial(is_gone, tmp_path, failed), "its files go")
    files = ReplayFiles.of(tmp_path, done)
    report = files.report()
    assert report is not None
    scorer, _ = Scorers(settings.model_folders, "cpu", "fp32").get("tiny")
    copy = copy_camera(settings, bus, store, "gate")
    again = Replay(copy, ReplayOptions(threshold=0.4, began_at=1000.0), settings, scorer)
    assert scored_to_the_end(again, again.recording(clip), tmp_path / "again", copy.fps) == report
    for name in files.names():
        assert files.file(name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert files.task() is None  # it holds a copy of the camera


@pytest.mark.wide
@pytest.mark.timeout(240)
def test_a_job_scores_what_is_kept_of_a_period_and_says_how_much(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    now = time.time()
    kept = footage_folder(tmp_path, "gate")
    keep(kept, [now - 600, now - 300])
    write_source(kept.parent, gate().url)
    store.add_camera(gate(learning="off"))
    store.add_camera(gate(id="yard"))
    with stage.working(run, settings):
        done = await_over(store, add(store, "", until=now, began_at=now - 3600))
        assert (done.state, done.reason) == ("done", "")
        early = await_over(store, add(store, "", until=now - 1000, began_at=now - 3600))
        assert "kept are 4 s, from " in early.reason
        empty = await_over(store, add(store, "", "yard", until=now, began_at=now - 3600))
        assert "no footage of this camera is kept" in empty.reason
    report = ReplayFiles.of(tmp_path, done).report()
    assert report is not None
    assert (report.frames, report.scored, report.left_out) == (40, 32, {"window": 8})
    assert report.began_at == now - 3600
    assert report.kept is not None
    assert (report.kept.segments, round(report.kept.kept_s, 1)) == (2, 4.0)
    assert report.notes[-1].startswith("0.067 of 60 minutes are kept, in 2 segments")
    rows = (ReplayFiles.of(tmp_path, done).files / "scores.csv").read_text().splitlines()
    assert rows[0].startswith("at_s,captured_at,session")
    assert float(rows[1].split(",")[1]) == now - 600 + 0.4


def test_a_period_of_a_file_camera_is_what_it_played_of_its_file(
    settings: Settings, bus: Bus, store: Store, tmp_path: Path
) -> None:
    clip = film(settings.media_dir / "monday.mkv")
    store.add_camera(gate(url=str(clip)))
    store.begin_session("gate", 1000.0, 1, began=Moment(1000.0))
    job = add(store, "", until=1100.0, began_at=1002.0)
    run_of_job = ReplayRun(settings, bus, store, job)
    playing = run_of_job.playing()
    assert playing == (str(clip), 1000.0)
    copy = copy_camera(settings, bus, store, "gate")
    files = ReplayFiles(tmp_path / "job")
    files.ask(ReplayTask.of(settings, tmp_path / "none", copy, job.options, job.until, playing))
    assert replay(files, lambda: False, lambda _: None) is not None
    report = files.report()
    assert report is not None
    assert (report.recording, report.frames, report.scored) == ("monday.mkv", 20, 16)
    assert report.began_at == 1002.0
    store.begin_session("gate", 2000.0, 7, began=Moment(2000.0))  # of another configuration
    assert run_of_job.playing() == ("", 0.0)


def test_segments_that_are_removed_while_a_replay_runs_are_counted(
    settings: Settings, bus: Bus, store: Store, tmp_path: Path
) -> None:
    """Retention removes one, another is cut off: the others are scored."""
    store.add_camera(gate())
    footage = keep(tmp_path / "footage", [1000.0, 1010.0, 1020.0, 1030.0])
    scorer, _ = Scorers(settings.model_folders, "cpu", "fp32").get("tiny")
    copy = copy_camera(settings, bus, store, "gate")
    again = Replay(copy, ReplayOptions(began_at=1000.0), settings, scorer)
    size = scorer.checkpoint.preprocess
    period_s = (1000.0, 1032.0)
    source = KeptFrames.of(footage.folder, again.camera, size, period_s, datetime.UTC)
    torn = footage.segments[2].path
    torn.write_bytes(torn.read_bytes()[:5000])
    (footage.folder / ".half.mkv.1.mkv").write_text("the recorder writes it now")
    steps = again.steps(source)
    first = next(steps)
    footage.drop(footage.segments[1:2])
    seqs = [first.score.seq, *(step.score.seq for step in steps)]
    assert seqs == [*range(4, 20), *range(304, 320)]
    assert (source.part.vanished, source.part.segments) == (1, 2)
    words = " ".join(source.notes())
    assert "1 segments were removed while the replay ran" in words
    assert torn.name in words
    assert len(list(footage.folder.glob(".half*"))) == 1


@pytest.mark.wide  # at the lowest priority, it takes long beside other tests
@pytest.mark.timeout(240)
def test_a_replay_is_niced_paused_and_cancelled(
    settings: Settings, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suffers = False
    monkeypatch.setattr(live_load.LiveLoad, "suffers", lambda *_: suffers)
    film(settings.media_dir / "long.mkv", LONG)
    store.add_camera(gate())
    job = add(store, "long.mkv")
    with stage.working(run, settings):
        (process,) = wait_until(replayers, "a process", 30)
        assert process.nice() == 19
        wait_until(lambda: store.replay(job.id).progress > 0, "progress", 60)
        suffers = True
        wait_until(lambda: store.replay(job.id).paused, "it stands still")
        wait_until(lambda: process.status() == psutil.STATUS_STOPPED, "so does its process")
        suffers = False
        wait_until(lambda: not store.replay(job.id).paused, "it goes on")
        cancel(store, job)
        wait_until(lambda: not ReplayFiles.of(tmp_path, job).folder.exists(), "its files go")
        wait_until(lambda: not replayers(), "the end of its process")


@pytest.mark.wide
@pytest.mark.timeout(240)
def test_a_killed_replay_begins_again_and_that_of_another_camera_waits_for_its_turn(
    settings: Settings, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_load.LiveLoad, "suffers", lambda *_: False)
    monkeypatch.setattr(replay_job, "FIRST_BACKOFF_S", 0.1)
    film(settings.media_dir / "long.mkv", LONG)
    for name in ("gate", "yard"):
        store.add_camera(gate(id=name))
    first = add(store, "long.mkv")
    with stage.working(run, settings):
        (process,) = wait_until(replayers, "a process", 30)
        second = add(store, "long.mkv", "yard")
        wait_until(lambda: "another replay" in store.replay(second.id).reason, "one at a time")
        process.kill()
        wait_until(lambda: replayers() not in ([], [process]), "another one", 30)
        cancel(store, first)
        wait_until(lambda: not ReplayFiles.of(tmp_path, first).folder.exists(), "its files go")
        wait_until(lambda: store.replay(second.id).state == "running", "the other one's turn")
        store.remove_camera("yard")
        wait_until(lambda: not replayers(), "the end of that of a removed camera")
        wait_until(lambda: not ReplayFiles.of(tmp_path, second).folder.exists(), "its files go")


def test_a_full_disk_ends_a_replay_in_one_line(settings: Settings, bus: Bus, store: Store) -> None:
    full = settings.model_copy(update={"learning_free_mb": 2**40})
    store.add_camera(gate())
    job = add(store, "monday.mkv")
    ReplayRun(full, bus, store, job).step(may_start=True, pause=False)
    failed = store.replay(job.id)
    assert failed.state == "failed"
    assert "nothing is recorded or replayed below" in failed.reason


def cancel(store: Store, job: ReplayJob) -> None:
    """Cancel as the API does."""

    def is_cancelled() -> bool:
        before = store.replay(job.id)
        return store.save_replay(before, replace(before, state="cancelled")) is not None

    wait_until(is_cancelled, "it is cancelled")


def test_a_camera_keeps_its_last_replays_and_one_is_active(store: Store) -> None:
    jobs = []
    for _ in range(REPLAYS_KEPT + 3):
        job = add(store, "a.mkv")
        assert store.save_replay(job, replace(job, state="done"))
        jobs.append(job)
    kept = store.replays(["gate"])
    assert [one.number for one in kept] == [one.number for one in jobs[::-1]][:REPLAYS_KEPT]
    assert store.active_replays(["gate", "yard"]) == {}
    active = add(store, "b.mkv")
    assert store.active_replays(["gate", "yard"]) == {"gate": active}
    assert not store.save_replay(replace(active, state="running"), active)


@pytest.fixture
def ask(api: Api, store: Store) -> Callable[..., Any]:
    """Ask the API for a replay by `gate`, of a recording that is there."""
    film(api.settings.media_dir / "monday.mkv", 10)
    store.add_camera(gate(model="square"))

    def send(**body: Any) -> Any:
        given = {"kind": "replay", "camera": "gate", "video": "monday.mkv"}
        return api.post("/jobs", given | body)

    return send


def test_a_replay_is_asked_for_shown_and_cancelled(
    api: Api, bus: Bus, store: Store, ask: Callable[..., Any]
) -> None:
    made = ask(threshold=0.7)
    assert made.status_code == 202
    job = made.json()
    assert (job["id"], job["kind"], job["state"], job["options"]["threshold"]) == (
        "gate:replay-1",
        "replay",
        "queued",
        0.7,
    )
    assert job["reason"] == "no learning worker is running (LOOKOUT_LEARNING_WORKERS)"
    assert "of this camera is not over yet" in is_problem(ask(), 409)
    assert api.get("/jobs").json()["items"] == []
    listed = api.get("/jobs", kind="replay", camera="gate", latest=True).json()["items"]
    assert [one["id"] for one in listed] == ["gate:replay-1"]
    assert api.get("/jobs/gate:replay-1").json()["state"] == "queued"
    assert "no files" in is_problem(api.get("/jobs/gate:replay-1/files/report.json"), 404)
    assert api.delete("/jobs/gate:replay-1").json()["state"] == "cancelled"
    assert "is over: cancelled" in is_problem(api.delete("/jobs/gate:replay-1"), 409)
    period = ask(**{"video": None, "from": 1000.0, "to": 4600.0}).json()
    assert (period["video"], period["until"], period["options"]["began_at"]) == ("", 4600.0, 1000.0)
    for gone in ("gate:replay-9", "gate:replay-x", "yard:replay-1", "gate:replay-"):
        is_problem(api.get(f"/jobs/{gone}"), 404)
    is_problem(api.post("/jobs/gate:replay-1/promote", {}), 404)


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"video": "gone.mkv"}, 422, "no such file in the media folder"),
        ({"video": "../x"}, 422, "not below the media folder"),
        ({"video": ""}, 422, "video"),
        ({"video": None}, 422, "name a recording, or a period"),
        ({"from": 1.0, "to": 2.0}, 422, "either a recording, or a period"),
        ({"video": None, "from": 1.0}, 422, "name a recording, or a period"),
        ({"video": None, "from": 2.0, "to": 2.0}, 422, "`from` must come before `to`"),
        ({"video": None, "from": 1.0, "to": 32e9}, 422, "`to` is in the future"),
        ({"video": None, "from": "2026-07-01T22:00", "to": 2.0}, 422, "from"),
        ({"video": None, "from": 1.0, "to": 2.0, "began_at": 1.0}, 422, "a period begins at"),
        ({"video": None, "from": 1.0, "to": 2.0, "camera": "yard"}, 404, "no camera 'yard'"),
        ({"camera": "yard"}, 404, "no camera 'yard'"),
        ({"kind": "learning"}, 422, "kind"),
        ({"threshold": 0}, 422, "threshold"),
        ({"threshold": 1.5}, 422, "threshold"),
        ({"began_at": -1}, 422, "began_at"),
        ({"zones": [{"name": "a", "kind": "watch", "points": [[0, 0], [1, 1]]}]}, 422, "zones"),
        (
            {"zones": [{"name": "a", "kind": "watch", "points": [[0, 0], [1, 1], [1, 0], [0, 1]]}]},
            422,
            "crosses or touches itself",
        ),
        ({"other": 1}, 422, "other"),
    ],
)
def test_a_wrong_request_is_refused_and_adds_no_replay(
    store: Store, ask: Callable[..., Any], change: dict[str, Any], status: int, words: str
) -> None:
    assert words in is_problem(ask(**change), status)
    assert store.replays(["gate"]) == []


def test_files_of_a_replay_are_behind_the_door_by_their_names(
    api: Api, store: Store, ask: Callable[..., Any]
) -> None:
    ask()
    job = store.replay("gate:replay-1")
    files = ReplayFiles.of(api.settings.data_dir, job)
    files.files.mkdir(parents=True)
    (files.files / "scores.csv").write_text("at_s\n")
    (files.files / "report.json").write_text(json.dumps({"broken": True}))
    (files.files / "minute-01.jpg").write_bytes(b"\xff\xd8")
    (files.folder / "secret.json").write_text("{}")
    assert store.save_replay(job, replace(job, state="done"))
    shown = api.get("/jobs/gate:replay-1").json()
    assert shown["files"] == ["minute-01.jpg", "report.json", "scores.csv"]
    assert shown["report"] is None
    got = api.get("/jobs/gate:replay-1/files/scores.csv")
    assert (got.text, got.headers["content-type"]) == ("at_s\n", "text/csv; charset=utf-8")
    picture = api.get("/jobs/gate:replay-1/files/minute-01.jpg")
    assert picture.headers["content-type"] == "image/jpeg"
    for name in ("secret.json", "..%2Fsecret.json", "gone.csv", "%00.csv", ".csv"):
        assert api.get(f"/jobs/gate:replay-1/files/{name}").status_code in (404, 405), name
    assert replays_folder(api.settings.data_dir, "gate").is_dir()
