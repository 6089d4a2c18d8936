"""The daily self-test: an anomaly made into a copy of a camera's frames must open an alert."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookout.models.arrays import Pixels
from lookout.models.errors import DataError
from lookout.models.media.lossless_clip import write_lossless
from lookout.service.core.camera import Camera
from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.messages import Frame, InferenceReport, IngestReport
from lookout.service.core.replay import ReplayOptions
from lookout.service.core.self_test import DAY_S, RETRY_S, SelfTest
from lookout.service.core.settings import SHIPPED_MODELS, Settings
from lookout.service.inference.snapshots import snapshot_state
from lookout.service.learning import self_tests
from lookout.service.learning.self_tests import SelfTests, recent, write_frames
from lookout.service.learning.worker import LearningWorker, run
from lookout.service.ownership.assignment import Assignment
from lookout.service.ownership.camera_watcher import CameraWatcher
from lookout.service.ownership.leases import open_leases
from lookout.service.replay.replay import Replay, task_scorer
from lookout.service.replay.self_test import frames_of, noticed
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.camera_copy import copy_camera
from lookout.service.storage.replay_files import ReplayTask
from lookout.service.storage.store.store import Store
from tests import stage
from tests.conftest import Urls
from tests.owning import add_frames
from tests.service.api_server import Api, api, one_api
from tests.tiny import street, write_tiny
from tests.waiting import wait_until

__all__ = ["api", "one_api"]

TESTED_S = 90.0


@pytest.fixture
def settings(urls: Urls, tmp_path: Path) -> Settings:
    write_tiny(tmp_path / "models")
    return Settings(
        bus_url=urls.bus,
        store_url=urls.store,
        data_dir=tmp_path,
        models_dir=tmp_path / "models",
        device="cpu",
        precision="fp32",
        lease_s=1.0,
    )


def watched(store: Store, bus: Bus, name: str = "gate", **changes: Any) -> Camera:
    """Add a camera whose bounds are its model's, and report that it is scored."""
    fields = {
        "id": name,
        "url": "rtsp://user:hunter2@10.0.0.7/x",
        "model": "tiny",
        "fps": None,
        "score": "paper",
        "calibration": "model",
        "created_at": 1.0,
        "revision": 1,
        "alert": {"threshold": 0.01, "min_duration_s": 0.0},
    }
    camera = Camera.model_validate(fields | changes)
    store.add_camera(camera)
    report(bus, name)
    return camera


def report(bus: Bus, name: str) -> None:
    now = time.time()
    bus.report_ingest(name, IngestReport("online", now, 1, fps=10.0, frame_age_s=0.1))
    bus.report_inference(name, InferenceReport("online", now, 1, score_age_s=0.1))


def film(bus: Bus, name: str = "gate", count: int = 40) -> None:
    began_s = time.time() - 10
    session = int(began_s * 1000)
    for seq in range(count):
        add_frames(bus, Frame(name, session, seq, began_s + seq / 10, street(seq)))


def task_of(settings: Settings, bus: Bus, store: Store, frames: list[Pixels]) -> ReplayTask:
    clip = settings.data_dir / "clip.mkv"
    write_lossless(clip, np.stack(frames), 10)
    return ReplayTask.of(settings, clip, copy_camera(settings, bus, store, "gate"))


def test_a_camera_that_cannot_open_an_alert_is_blind(
    settings: Settings, bus: Bus, store: Store
) -> None:
    """It opens none at a threshold that no value reaches."""
    watched(store, bus, alert={"threshold": 0.999})
    task = task_of(settings, bus, store, [street(number) for number in range(40)])
    result = noticed(task, lambda: False, 0.0)
    assert result is not None
    assert (result.made, result.noticed, result.threshold) == (4, 0, 0.999)
    assert result.is_blind
    assert 0 < result.peak < 0.999
    assert "4 were made into a copy of its frames" in result.sentence
    assert noticed(task, lambda: True, 0.0) is None


def room(number: int) -> Pixels:
    """Return a picture of 256x256 in which something faint goes to and fro."""
    ramp = np.linspace(40, 200, 256).astype(np.uint8)
    picture = np.broadcast_to(ramp[None, :, None], (256, 256, 3)).copy()
    left = 20 + int(60 * (1 + np.sin(number / 8)))
    picture[150:170, left : left + 12] += 12
    return picture


def test_a_camera_that_has_learned_notices_what_is_made(
    settings: Settings, bus: Bus, store: Store
) -> None:
    """Frames with an alert of their own say nothing, and neither does a camera that learns."""
    settings = settings.model_copy(update={"learn_frames": 40, "models_dir": SHIPPED_MODELS})
    watched(store, bus, model="places", score="local", calibration="learn", alert={})
    new = task_of(settings, bus, store, [room(number) for number in range(100, 140)])
    with pytest.raises(DataError, match="still learning"):
        noticed(new, lambda: False, 0.0)
    copy = new.camera_copy()
    run = Replay(copy, ReplayOptions(), settings, task_scorer(new))
    seen = np.stack([room(number) for number in range(100)])
    assert list(run.steps_of(frames_of(run, seen, 10)))
    state = snapshot_state(copy.identity, copy.view, run.line.state, run.line.watch)
    cursor = str(run.line.frames.accounted_id)
    learned = copy.model_copy(update={"cursor": cursor, "state": state})
    task = replace(new, copy=learned.model_dump_json())
    result = noticed(task, lambda: False, 0.0)
    assert result is not None
    assert (result.noticed, result.threshold, result.reason) == (1, 0.5, "")
    assert result.peak >= 0.5
    assert not result.is_blind
    low = learned.camera | {"alert": {"threshold": 0.2, "min_duration_s": 0.0}}
    task = replace(new, copy=learned.model_copy(update={"camera": low}).model_dump_json())
    with pytest.raises(DataError, match="an anomaly of their own"):
        noticed(task, lambda: False, 0.0)


def test_results_are_due_again_by_their_kind() -> None:
    done = SelfTest(1000.0, 1, made=1, noticed=1)
    assert not done.is_due_again(1000.0 + DAY_S - 1, DAY_S, 1)
    assert done.is_due_again(1000.0 + DAY_S, DAY_S, 1)
    assert done.is_due_again(900.0, DAY_S, 1)  # the clock was set back
    assert done.is_due_again(1000.0 + RETRY_S, DAY_S, 2)  # the camera was changed
    failed = SelfTest(1000.0, 1, reason="it is still learning")
    assert not failed.is_due_again(1000.0 + RETRY_S - 1, DAY_S, 1)
    assert failed.is_due_again(1000.0 + RETRY_S, DAY_S, 1)
    assert not failed.is_blind


def test_recent_frames_end_at_a_break() -> None:
    frames = [Frame("a", 1, seq, seq / 10, street(seq)) for seq in (0, 1, 2, 4, 5)]
    assert [frame.seq for frame in recent(frames)] == [4, 5]
    empty = Frame("a", 1, 6, 0.6, street(0)[:0])
    with pytest.raises(ValueError, match="no recent frames"):
        recent([*frames, empty])
    with pytest.raises(ValueError, match="no recent frames"):
        recent([])


def test_only_some_live_cameras_that_are_scored_are_due_at_once(
    settings: Settings, bus: Bus, store: Store
) -> None:
    for name in ("a", "b", "c"):
        watched(store, bus, name)
    watched(store, bus, "file", url="/x.mkv", pace="fast")
    watched(store, bus, "off", enabled=False)
    watched(store, bus, "new", created_at=time.time())
    store.save_self_test("a", SelfTest(time.time() - 2 * DAY_S, 1, made=1, noticed=1))
    cameras = store.cameras()
    assert SelfTests(settings, bus, store).due(cameras) == {"b", "c"}
    store.save_self_test("b", SelfTest(time.time(), 1, made=1, noticed=1))
    assert SelfTests(settings, bus, store).due(cameras) == {"a", "c"}
    never = settings.model_copy(update={"self_test_every_h": 0.0})
    assert SelfTests(never, bus, store).due(cameras) == set()


@pytest.mark.wide  # make test tests a camera in this process
@pytest.mark.timeout(240)
def test_the_learning_stage_tests_a_camera_and_tells_nobody(
    settings: Settings, bus: Bus, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_tests, "LOOK_EVERY_S", 0.2)
    watched(store, bus, alert={"threshold": 0.999})
    watched(store, bus, "still")
    film(bus)

    def results() -> dict[str, SelfTest]:
        for name in ("gate", "still"):
            report(bus, name)
        return store.self_tests(["gate", "still"])

    with stage.working(run, settings):
        wait_until(lambda: len(results()) == 2, "both have a result", TESTED_S)
    assert results()["gate"].is_blind
    assert results()["still"].reason == "there are no recent frames"
    assert not list((settings.data_dir / "learning" / "gate").glob("self-test*"))
    assert store.alerts("gate", before=None, limit=10) == []


def test_cameras_that_are_only_tested_take_no_part_of_the_disk(
    settings: Settings, bus: Bus, store: Store
) -> None:
    own = settings.model_copy(update={"learning_camera_mb": 100, "learning_total_mb": 100})
    (own.data_dir / "learning" / "gate" / "footage").mkdir(parents=True)
    (own.data_dir / "learning" / "yard").mkdir()
    with open_leases(own, "learning") as leases:
        assignment = Assignment("learning", bus, leases)
        worker = LearningWorker(own, bus, store, assignment, CameraWatcher(store))
        assert worker.limit_bytes() == 100 * 2**20


def test_a_blind_camera_has_a_warning_and_a_metric(api: Api, bus: Bus, store: Store) -> None:
    watched(store, bus, model="square")
    line = 'lookout_camera_self_test_passed{camera="gate"}'
    assert line not in api.http.get("/metrics").text
    store.save_self_test("gate", SelfTest(time.time(), 1, 4, 0, 0.41, 0.5))
    warnings = api.get("/cameras/gate").json()["warnings"]
    assert any("would not notice an anomaly" in text for text in warnings)
    assert f"{line} 0" in api.http.get("/metrics").text
    store.save_self_test("gate", SelfTest(time.time(), 1, 1, 1, 0.91, 0.5))
    assert not any("notice" in text for text in api.get("/cameras/gate").json()["warnings"])
    assert f"{line} 1" in api.http.get("/metrics").text
    store.save_self_test("gate", SelfTest(time.time(), 7, 4, 0, 0.41, 0.5))  # of another revision
    assert not any("notice" in text for text in api.get("/cameras/gate").json()["warnings"])
    store.remove_camera("gate")
    assert store.self_tests(["gate"]) == {}


def test_frames_without_times_are_no_clip(tmp_path: Path) -> None:
    same = [Frame("a", 1, seq, 5.0, street(seq)) for seq in range(3)]
    with pytest.raises(BrokenMessageError, match="do not ascend"):
        write_frames(tmp_path / "a.mkv", same)
