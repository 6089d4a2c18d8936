"""The learning stage: from frames on the bus to a promoted checkpoint, with real Redis."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]
import pytest
from safetensors.numpy import save_file

from lookout.models.checkpoint.header import Header, read_header
from lookout.models.errors import CheckpointError
from lookout.models.media.preprocess import Preprocess
from lookout.models.training.selection import MIN_CLIPS
from lookout.service.core import jobs
from lookout.service.core.camera import Camera, CameraChange
from lookout.service.core.drift import BINS, HOURS, DriftState
from lookout.service.core.jobs import HeldOut, LearningJob, LeftOut, Promotion
from lookout.service.core.messages import (
    Alert,
    AlertEvent,
    CameraEvent,
    Frame,
    InferenceReport,
    IngestReport,
)
from lookout.service.core.settings import Settings
from lookout.service.learning import live_load, worker
from lookout.service.learning.checkpoints import (
    install,
    learned_checkpoints,
    start_checkpoints,
)
from lookout.service.learning.drift_watch import DriftWatch
from lookout.service.learning.footage import FootageFolder
from lookout.service.learning.job import CameraJob
from lookout.service.learning.reports import TrainingReport
from lookout.service.learning.training_files import TrainingFiles
from lookout.service.learning.worker import run
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.pictures import left_out_folder, left_out_picture_path
from lookout.service.storage.store.store import Store
from tests import stage
from tests.conftest import Urls, with_long_forms
from tests.owning import add_frames
from tests.processes import children
from tests.service.api_server import camera
from tests.tiny import street, write_tiny
from tests.waiting import wait_until

FPS = 10
TRAINED_S = 200.0
"""Longest wait for a process that trains: it has the lowest priority and gives way to others."""

trains = pytest.mark.timeout(3 * TRAINED_S)


def settings_for(urls: Urls, folder: Path, **more: Any) -> Settings:
    return Settings(
        bus_url=urls.bus,
        store_url=urls.store,
        data_dir=folder,
        **{"lease_s": 1.0, "learning_free_mb": 0, **more},
    )


@pytest.fixture
def settings(urls: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with a tiny model, whose AUC of made anomalies after a second says nothing."""
    monkeypatch.setattr(jobs, "AUC_TOLERANCE", 100.0)
    write_tiny(tmp_path / "models", "tiny")
    return settings_for(urls, tmp_path)


def watch(store: Store, name: str = "gate", **more: Any) -> Camera:
    made = camera(name, **{"model": "tiny", **more})
    store.add_camera(made)
    return made


def film(bus: Bus, name: str, seqs: range, began_s: float, side_px: int = 32) -> None:
    """Put frames on the bus, FPS a second of captured time."""
    session = int(began_s * 1000)
    for seq in seqs:
        add_frames(bus, Frame(name, session, seq, began_s + seq / FPS, street(seq, side_px)))


def new_job(name: str = "gate", **more: Any) -> LearningJob:
    now = time.time()
    given: dict[str, Any] = {"footage_s": 9.0, "limit_s": 1.0, "promote": "rule"}
    return LearningJob(name, "queued", now, now, **{**given, **more})


def await_reason(store: Store, job: LearningJob, words: str, limit_s: float = 15.0) -> LearningJob:
    """Return the job once its reason holds the words, in one line."""
    wait_until(lambda: words in store.job(job.id).reason, f"the reason {words!r}", limit_s)
    now = store.job(job.id)
    assert "\n" not in now.reason
    assert now.reason_code  # for readers of other languages
    return now


def trainers(module: str = "trainer") -> list[psutil.Process]:
    """The processes that train, of this test and its children, or others of their room."""
    return children(f"lookout.service.learning.{module}")


def open_alert(store: Store, opened_at: float) -> None:
    alert = Alert("gate:1-1", "gate", "open", opened_at, None, 0.5, 0.9, opened_at)
    store.save_alerting("gate", 0, {}, [AlertEvent("new", alert)])


@pytest.fixture
def began_s() -> Iterator[float]:
    yield time.time() - 30


@trains
def test_a_camera_learns_its_own_network_and_takes_it(
    settings: Settings, bus: Bus, store: Store, began_s: float
) -> None:
    before = watch(store)
    film(bus, "gate", range(120), began_s)
    job = store.add_job(new_job())
    with stage.working(run, settings):
        wait_until(lambda: not store.job(job.id).is_active, "a job that is over", TRAINED_S)
    done = store.job(job.id)
    assert (done.state, done.reason) == ("promoted", "")
    assert done.before is not None
    assert done.after is not None
    assert done.after.psnr_db > done.before.psnr_db
    assert done.started_from in ("tiny", "square")
    assert done.recorded_s >= 9.0
    after = store.camera("gate")
    assert (after.model, after.calibration) == ("gate-1", "model")
    assert after.revision == before.revision + 1
    header = read_header(settings.model_folders[0] / "gate-1.safetensors")
    assert header.learned_camera == "gate"
    assert header.calibration is not None
    assert header.fps == pytest.approx(FPS, rel=0.05)
    assert not (settings.data_dir / "learning" / "gate" / "jobs" / "1").exists()


@pytest.mark.long
@trains
def test_killed_in_each_stage_a_job_goes_on_and_the_present_model_stays_until_then(
    settings: Settings, bus: Bus, store: Store, began_s: float
) -> None:
    """kill -9 of the stage while it records and while it trains, and of the training process."""
    watch(store)
    job = store.add_job(new_job(limit_s=2.0))
    environment = {
        **os.environ,
        "LOOKOUT_BUS_URL": str(settings.bus_url),
        "LOOKOUT_STORE_URL": str(settings.store_url),
        "LOOKOUT_DATA_DIR": str(settings.data_dir),
        "LOOKOUT_LEASE_S": "1",
        "LOOKOUT_LEARNING_FREE_MB": "0",
    }

    def start_stage() -> subprocess.Popen[bytes]:
        words = [sys.executable, "-P", "-m", "lookout", "learning"]
        return subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL)

    with start_stage() as recording:
        film(bus, "gate", range(45), began_s)
        wait_until(lambda: store.job(job.id).recorded_s >= 4, "some footage", 30)
        recording.kill()
    assert store.job(job.id).state == "recording"
    with start_stage() as training:
        film(bus, "gate", range(45, 120), began_s)
        wait_until(lambda: store.job(job.id).before is not None, "figures of the start", TRAINED_S)
        (trainer,) = trainers()
        assert (trainer.nice(), trainer.num_threads() < 20) == (19, True)
        training.kill()
        wait_until(lambda: not trainer.is_running(), "the trainer dies with its stage")
    assert store.job(job.id).state == "training"
    assert store.camera("gate").model == "tiny"
    with stage.working(run, settings):
        (trainer,) = wait_until(trainers, "the training goes on", 30)
        trainer.send_signal(signal.SIGKILL)
        wait_until(lambda: not store.job(job.id).is_active, "a job that is over", TRAINED_S)
    done = store.job(job.id)
    assert (done.state, done.reason) == ("promoted", "")
    assert store.camera("gate").model == "gate-1"


def test_a_cancelled_training_ends_its_process_and_leaves_no_file(
    settings: Settings, bus: Bus, store: Store, began_s: float
) -> None:
    watch(store)
    film(bus, "gate", range(120), began_s)
    job = store.add_job(new_job(limit_s=600.0))
    with stage.working(run, settings):
        (trainer,) = wait_until(trainers, "a training", 30)
        (thread,) = [one for one in threading.enumerate() if one.name == run.__module__]
        assert os.getpriority(os.PRIO_PROCESS, thread.native_id or 0) == worker.RECORDING_NICE
        before = store.job(job.id)
        assert store.save_job(before, replace(before, state="cancelled"))
        wait_until(lambda: not trainer.is_running(), "its end")
        folder = settings.data_dir / "learning" / "gate" / "jobs" / "1"
        wait_until(lambda: not folder.exists(), "its files are gone")
    assert store.camera("gate").model == "tiny"


def test_a_removed_camera_takes_its_footage_and_training_with_it(
    settings: Settings, bus: Bus, store: Store, began_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "SWEEP_EVERY_S", 0.2)
    monkeypatch.setattr(worker, "GONE_AFTER_S", 0.5)
    watch(store)
    film(bus, "gate", range(120), began_s)
    store.add_job(new_job(limit_s=600.0))
    with stage.working(run, settings):
        (trainer,) = wait_until(trainers, "a training", 30)
        store.remove_camera("gate")
        wait_until(lambda: not trainer.is_running(), "its end")
        wait_until(lambda: not (settings.data_dir / "learning" / "gate").exists(), "no footage")


def test_what_is_around_an_alert_is_not_learned_even_when_it_opens_later(
    settings: Settings, bus: Bus, store: Store, began_s: float
) -> None:
    watch(store, learning="record")
    film(bus, "gate", range(120), began_s)
    footage = settings.data_dir / "learning" / "gate" / "footage"
    with stage.working(run, settings):
        wait_until(lambda: footage.exists() and len(list(footage.iterdir())) == 5, "footage")
        open_alert(store, began_s + 1)
        wait_until(lambda: not list(footage.iterdir()), "the footage goes")
        job = store.add_job(new_job())
        reason = await_reason(store, job, "lies around alerts").reason
    assert reason.startswith("100 % of the footage")
    counters = bus.counters("gate")
    assert counters["learning_recorded"] == 105


def test_a_moving_camera_is_not_learned(
    settings: Settings, bus: Bus, store: Store, began_s: float
) -> None:
    watch(store)
    job = store.add_job(new_job())
    for number in range(3):
        at = time.time() + number / 100
        store.add_camera_event(CameraEvent("scene_change", "gate", 1, number, at, "it moved"))
    with stage.working(run, settings):
        failed = await_reason(store, job, "the camera moves: 3 scene changes")
    assert failed.state == "failed"
    assert store.camera("gate").model == "tiny"


def test_an_empty_scene_waits_and_then_fails(
    urls: Urls, tmp_path: Path, bus: Bus, store: Store, began_s: float
) -> None:
    write_tiny(tmp_path / "models", "tiny")
    watch(store)
    session = int(began_s * 1000)
    for seq in range(256):
        add_frames(bus, Frame("gate", session, seq, began_s + seq / FPS, street(0)))
    job = store.add_job(new_job(footage_s=3.0))
    with stage.working(run, settings_for(urls, tmp_path)):
        waiting = await_reason(store, job, "nothing moves: 0 of 2 segments")
    assert waiting.state == "recording"
    with stage.working(run, settings_for(urls, tmp_path, learning_wait_h=1e-9)):
        failed = await_reason(store, job, "not enough footage in 1e-09 h: nothing moves")
    assert failed.state == "failed"


def test_footage_of_another_size_is_said_and_recorded_anew(
    settings: Settings, bus: Bus, store: Store, began_s: float
) -> None:
    watch(store)
    film(bus, "gate", range(60), began_s, side_px=64)
    job = store.add_job(new_job(footage_s=3.0))
    with stage.working(run, settings):
        await_reason(store, job, "the footage is of 64x64, and the camera's model takes 32x32")


@pytest.mark.parametrize("trouble", ["full", "unusable"])
def test_a_disk_that_takes_nothing_is_one_line_and_the_job_waits(
    urls: Urls,
    tmp_path: Path,
    bus: Bus,
    store: Store,
    began_s: float,
    trouble: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_tiny(tmp_path / "models", "tiny")
    watch(store)
    job = store.add_job(new_job())
    more = {}
    if trouble == "full":
        more = {"learning_free_mb": 2**40}
    else:
        (tmp_path / "learning" / "gate").mkdir(parents=True)
        (tmp_path / "learning" / "gate" / "footage").write_text("a file in its place")
    with stage.working(run, settings_for(urls, tmp_path, **more)):
        for first in range(0, 240, 60):
            film(bus, "gate", range(first, first + 60), began_s)
        await_reason(store, job, "nothing is recorded: ")
    lines = [one for one in caplog.messages if "recorded" in one or "cannot be used" in one]
    assert len(lines) == 1, lines


def test_a_model_that_is_gone_or_damaged_ends_the_job(
    settings: Settings, bus: Bus, store: Store
) -> None:
    watch(store, "gate", model="nothing")
    watch(store, "yard", model="broken")
    (settings.model_folders[0] / "broken.safetensors").write_bytes(b"no checkpoint")
    jobs = [store.add_job(new_job(name)) for name in ("gate", "yard")]
    with stage.working(run, settings):
        for job in jobs:
            failed = await_reason(store, job, "the camera's model cannot be trained")
            assert failed.state == "failed"


def test_auto_asks_for_the_first_job_alone(
    settings: Settings, bus: Bus, store: Store, began_s: float
) -> None:
    watch(store, learning="auto")
    with stage.working(run, settings):
        wait_until(lambda: store.newest_job("gate"), "a job by itself")
        job = store.job("gate:1")
        assert store.save_job(job, replace(job, state="cancelled")) or store.save_job(
            store.job("gate:1"), replace(store.job("gate:1"), state="cancelled")
        )
        film(bus, "gate", range(60), began_s)
        wait_until(lambda: bus.counters("gate").get("learning_recorded"), "it is recorded")
    assert [one.id for one in store.jobs(["gate"])] == ["gate:1"]


def test_a_camera_is_learned_again_by_its_schedule(
    settings: Settings, bus: Bus, store: Store
) -> None:
    """From the end of the last job on; a camera that is only recorded is not."""
    hour_s = 3600.0
    cameras: dict[str, dict[str, Any]] = {
        "gate": {"relearn_every_h": 2.0},
        "yard": {"relearn_every_h": 4.0},
        "hall": {},
        "door": {"relearn_every_h": 2.0, "learning": "record"},
    }
    for name, more in cameras.items():
        watch(store, name, **{"learning": "auto", **more})
        job = store.add_job(new_job(name))
        ended = replace(job, state="promoted", changed_at=time.time() - 3 * hour_s)
        assert store.save_job(job, ended)
        monday = replace(ended, changed_at=time.time() - 3 * hour_s)
        assert store.save_job(ended, monday)  # without a change of state the time is as given
    with stage.working(run, settings):
        wait_until(lambda: store.active_jobs(["gate"]), "the next job")
        wait_until(lambda: bus.workers("learning"), "the stage")
    assert [one.id for one in store.jobs(["gate"])] == ["gate:2", "gate:1"]
    for name in ("yard", "hall", "door"):
        assert [one.id for one in store.jobs([name])] == [f"{name}:1"]


def drifted_state(revision: int) -> DriftState:
    """The counts of a camera whose values have risen."""
    low = [1000] + [0] * (BINS - 1)
    return DriftState(revision, low, HOURS, [low[::-1]] * HOURS)


def test_a_camera_is_learned_again_once_its_values_have_drifted(
    settings: Settings, bus: Bus, store: Store
) -> None:
    """At most once a day, where its settings say so, and by its present configuration alone."""
    cameras: dict[str, tuple[bool, float, int]] = {
        "gate": (True, 25, 0),
        "yard": (True, 23, 0),  # hours since the last job
        "hall": (False, 25, 0),
        "door": (True, 25, 1),  # the values are of another revision
    }
    for name, (on_drift, hours, older) in cameras.items():
        made = watch(store, name, learning="auto", relearn_on_drift=on_drift)
        job = store.add_job(new_job(name))
        done = replace(job, state="promoted")
        assert store.save_job(job, done)
        assert store.save_job(done, replace(done, changed_at=time.time() - 3600 * hours))
        state = drifted_state(made.revision - older)
        store.save_drift(name, state, state.drift())
        now = time.time()
        report = InferenceReport("online", now, made.revision, score=0.9, last_captured_at=now)
        bus.report_inference(name, report)
    with stage.working(run, settings):
        wait_until(lambda: store.active_jobs(["gate"]), "the next job")
    assert not store.active_jobs(["yard", "hall", "door"])


def test_values_are_counted_once_and_outlive_the_worker(bus: Bus, store: Store) -> None:
    made = watch(store)
    hour = 1_785_000_000 // 3600

    def see(at: float, score: float | None = 0.42, revision: int = made.revision) -> None:
        report = InferenceReport("online", at, revision, score=score, last_captured_at=at)
        bus.report_inference("gate", report)
        watching._due_at = 0.0
        watching.follow([made])

    watching = DriftWatch(bus, store)
    for at in (10.0, 10.0, 11.0):
        see(3600 * hour + at)
    see(3600 * hour + 12, score=None)
    see(3600 * hour + 13, revision=made.revision - 1)
    see(3600 * (hour + 1))
    state = store.drift_state("gate")
    assert state is not None
    assert (state.hour, sum(state.counts), state.learned_hours) == (hour + 1, 1, 0)
    watching = DriftWatch(bus, store)
    see(3600 * (hour + 1) + 1)
    assert watching._states["gate"].counts[8] == 2
    store.remove_camera("gate")
    assert store.drift_state("gate") is None


def test_the_newest_three_checkpoints_of_a_camera_stay_and_those_in_use(
    settings: Settings, tmp_path: Path
) -> None:
    folder = settings.model_folders[0]
    for number in range(1, 7):
        provenance = {"learned": {"camera": "gate"}}
        header = Header("mnad-pred", {}, Preprocess(32, 32), provenance=provenance)
        weights = {"x": np.full(1, number, np.float32)}
        save_file(weights, tmp_path / "new.safetensors", header.metadata())
        job = replace(new_job(), number=number)
        for _ in range(2):  # done again it changes nothing
            name = install(settings, tmp_path / "new.safetensors", job, {"gate-1", "square"})
            assert name == f"gate-{number}"
    assert sorted(path.stem for path in folder.glob("gate-*")) == [
        "gate-1",
        "gate-4",
        "gate-5",
        "gate-6",
    ]
    assert list(learned_checkpoints(settings, "gate"))[-3:] == ["gate-4", "gate-5", "gate-6"]


def test_training_stands_still_while_a_live_camera_is_scored_late(
    settings: Settings,
    bus: Bus,
    store: Store,
    began_s: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_load, "CALM_S", 0.3)
    watch(store)
    watch(store, "yard")
    film(bus, "gate", range(120), began_s)
    job = store.add_job(new_job(limit_s=600.0))

    def report(score_age_s: float) -> None:
        now = time.time()
        ingest = IngestReport("online", now, 1, fps=10.0, frame_age_s=0.1)
        bus.report_ingest("yard", ingest)
        bus.report_inference("yard", InferenceReport("online", now, 1, score_age_s=score_age_s))

    def is_paused(expected: bool) -> bool:
        (trainer,) = trainers()
        stopped = trainer.status() == psutil.STATUS_STOPPED
        return (stopped, store.job(job.id).paused) == (expected, expected)

    with stage.working(run, settings):
        wait_until(trainers, "a training", 30)
        report(0.2)
        wait_until(lambda: is_paused(False), "it trains")
        report(4.0)
        wait_until(lambda: is_paused(True), "it stands still")
        report(0.2)
        wait_until(lambda: is_paused(False), "it goes on")
    assert not trainers()


def test_training_may_start_from_every_general_checkpoint_like_the_cameras_own(
    tmp_path: Path,
) -> None:
    """A file in a models folder is a candidate without a line of code."""
    size = Preprocess(32, 32)
    for name, header in {
        "places": Header("places", {}, size),
        "gate-1": Header("mnad-pred", {}, size, provenance={"learned": {"camera": "gate"}}),
        "wide": Header("mnad-pred", {}, Preprocess(64, 64)),
        "other": Header("memae", {}, size),
    }.items():
        file = tmp_path / f"{name}.safetensors"
        save_file({"x": np.zeros(1, np.float32)}, file, header.metadata())
    (tmp_path / "other.safetensors").rename(tmp_path / "later")
    with pytest.raises(CheckpointError, match="no other checkpoint is of its size"):
        start_checkpoints([tmp_path], "places")
    (tmp_path / "later").rename(tmp_path / "other.safetensors")
    for name in ("any", "square"):
        write_tiny(tmp_path, name)
    (tmp_path / "any-2.safetensors").write_bytes(b"no checkpoint")
    assert list(start_checkpoints([tmp_path], "places")) == ["square", "any"]
    assert list(start_checkpoints([tmp_path], "any")) == ["any", "square"]
    assert list(start_checkpoints([tmp_path], "gate-1")) == ["gate-1"]  # of no known sizes
    with pytest.raises(CheckpointError, match="there is no model 'none'"):
        start_checkpoints([tmp_path], "none")


def test_a_worker_and_the_store_know_the_same_time_of_a_state(
    settings: Settings, bus: Bus, store: Store, tmp_path: Path
) -> None:
    """Else what is filmed once the store says `shadow` came too early for the worker."""
    watch(store)
    job = store.add_job(new_job())
    own = CameraJob(settings, bus, store, job, tmp_path / "jobs")
    assert own.save(state="recording")
    assert own.job == store.job(job.id)
    assert own.job.changed_at > job.changed_at
    assert store.save_job(job, replace(job, state="cancelled")) is None  # it is queued no more


@pytest.mark.wide  # make test has tests/unit/test_shadow.py
@trains
@pytest.mark.parametrize("promote", with_long_forms(["rule", "hand"], {"rule"}))
def test_old_and_new_are_compared_on_live_footage_before_the_promotion(
    settings: Settings, bus: Bus, store: Store, began_s: float, promote: Promotion
) -> None:
    """Live footage is that which was recorded after the training ended."""
    watch(store, score="local")
    film(bus, "gate", range(120), began_s)
    job = store.add_job(new_job(shadow_s=3.0, promote=promote))
    with stage.working(run, settings):
        wait_until(lambda: store.job(job.id).state == "shadow", "the shadow", TRAINED_S)
        assert store.camera("gate").model == "tiny"
        film(bus, "gate", range(40), time.time())
        wait_until(lambda: not store.job(job.id).is_active, "a job that is over", TRAINED_S)
    done = store.job(job.id)
    shadow = done.shadow
    assert shadow is not None, done.reason
    assert (shadow.made, shadow.frames) == (1, 21 - 4)
    assert 0 <= shadow.agreement_percent <= 100
    if promote == "hand":
        assert done.state == "trained"
    assert done.checkpoint == "gate-1"
    assert not (settings.data_dir / "learning" / "gate" / "jobs" / "1").exists()


@pytest.mark.long
@trains
def test_killed_in_the_shadow_a_job_compares_again_and_the_present_model_stays_until_then(
    settings: Settings, bus: Bus, store: Store, began_s: float
) -> None:
    """Kill the process that compares, and the stage before it begins."""
    watch(store, score="local")
    film(bus, "gate", range(120), began_s)
    job = store.add_job(new_job(shadow_s=3.0))
    with stage.working(run, settings):
        wait_until(lambda: store.job(job.id).state == "shadow", "the shadow", TRAINED_S)
        film(bus, "gate", range(40), time.time())
        folder = settings.data_dir / "learning" / "gate" / "jobs" / "1" / "shadow"
        wait_until(folder.is_dir, "live footage is kept")
    assert store.job(job.id).state == "shadow"
    with stage.working(run, settings):
        (first,) = wait_until(lambda: trainers("shadow"), "a process that compares", 30)
        assert store.camera("gate").model == "tiny"
        first.kill()
        wait_until(lambda: trainers("shadow") not in ([], [first]), "another one", 30)
        wait_until(lambda: not store.job(job.id).is_active, "a job that is over", TRAINED_S)
    assert store.job(job.id).shadow is not None
    assert store.job(job.id).checkpoint == "gate-1"


@pytest.mark.long
@trains
def test_without_live_footage_the_promotion_is_left_to_a_person(
    settings: Settings, bus: Bus, store: Store, began_s: float
) -> None:
    watch(store)
    film(bus, "gate", range(120), began_s)
    job = store.add_job(new_job(shadow_s=0.5))
    with stage.working(run, settings):
        waiting = await_reason(store, job, "no footage came to compare old and new on", TRAINED_S)
    assert (waiting.state, waiting.checkpoint) == ("trained", "gate-1")
    assert store.camera("gate").model == "tiny"


@pytest.mark.wide  # make test has tests/unit/test_selection.py
@trains
@pytest.mark.parametrize("trainings", [1, 2])
def test_what_was_left_out_is_shown_and_answers_hold_at_the_next_training(
    settings: Settings, bus: Bus, store: Store, began_s: float, trainings: int
) -> None:
    watch(store, learning="record")
    count = 2 * MIN_CLIPS
    footage = FootageFolder(settings.data_dir / "learning" / "gate" / "footage")
    jobs_folder = settings.data_dir / "learning" / "gate" / "jobs"

    def is_recorded(frames: int) -> bool:
        return bus.counters("gate").get("learning_recorded", 0) >= frames

    def learn() -> list[LeftOut]:
        """Run a job until it trains, and return what it left out."""
        job = store.add_job(new_job(limit_s=600.0))
        wait_until(lambda: store.job(job.id).left_out, "a choice", TRAINED_S)
        shown = [one for one in store.left_out("gate").values() if one.job == job.number]
        now = store.job(job.id)
        assert store.save_job(now, replace(now, state="cancelled"))
        wait_until(lambda: not (jobs_folder / str(job.number)).exists(), "its files are gone")
        return shown

    with stage.working(run, settings):
        for number in range(count):  # the bus holds fewer frames than that
            film(bus, "gate", range(21 * number, 21 * (number + 1)), began_s)
            wait_until(partial(is_recorded, 20 * number), "footage")
        first = learn()
        assert len(first) == 2
        for one in first:
            picture = left_out_picture_path(settings.data_dir, "gate", one.id)
            assert picture.read_bytes()[:2] == b"\xff\xd8"
            assert one.id in {str(segment.first) for segment in footage.segments}
        if trainings == 1:
            return
        store.answer_left_out("gate", first[0].id, "include")
        store.answer_left_out("gate", first[1].id, "drop")
        second = learn()
    assert not {one.id for one in first} & {one.id for one in second}
    answers = {one.id: one.answer for one in store.left_out("gate").values()}
    unanswered = {one.id: None for one in second}
    assert answers == {first[0].id: "include", first[1].id: "drop"} | unanswered
    pictures = {path.stem for path in left_out_folder(settings.data_dir, "gate").iterdir()}
    assert pictures == set(unanswered)


def test_what_is_no_better_than_its_start_is_not_offered(
    settings: Settings, bus: Bus, store: Store
) -> None:
    before = watch(store)
    job = store.add_job(new_job())
    training = replace(job, state="training", replaces="tiny")
    assert store.save_job(job, training)
    files = TrainingFiles(settings.data_dir / "learning" / "gate" / "jobs" / "1")
    files.folder.mkdir(parents=True)
    worse = TrainingReport(before=HeldOut(30.0, 90.0), after=HeldOut(30.0, 99.0))
    files.finish(replace(worse, started_from="tiny"))
    with stage.working(run, settings):
        failed = await_reason(store, job, "training made nothing better")
    assert (failed.state, failed.checkpoint) == ("failed", "")
    assert (failed.before, failed.after) == (worse.before, worse.after)
    assert store.camera("gate") == before


def test_another_address_is_another_recording_and_ends_the_job(
    settings: Settings, bus: Bus, store: Store, began_s: float
) -> None:
    before = watch(store, learning="record")
    film(bus, "gate", range(120), began_s)
    footage = settings.data_dir / "learning" / "gate" / "footage"
    with stage.working(run, settings):
        wait_until(lambda: footage.exists() and len(list(footage.iterdir())) == 5, "footage")
        same = before.changed(CameraChange(url="rtsp://user:another@camera.example/stream"))
        store.replace_camera(same, before)
        job = store.add_job(new_job(footage_s=600.0))
        wait_until(lambda: store.job(job.id).recorded_s > 9, "the footage counts", 20)
        other = same.changed(CameraChange(url="rtsp://camera.example/another"))
        store.replace_camera(other, same)
        failed = await_reason(store, job, "the camera's address was changed")
        assert failed.state == "failed"
        wait_until(lambda: not list(footage.iterdir()), "the footage goes")
    text = (settings.data_dir / "learning" / "gate" / "source").read_text()
    assert "another" not in text
