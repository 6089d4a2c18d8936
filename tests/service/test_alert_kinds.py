"""Alerts about a camera itself: tampering, and a camera that is not being watched."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.service.alerting.alert_pictures import AlertPictures
from lookout.service.alerting.conditions import CameraConditions
from lookout.service.alerting.worker import AlertingWorker
from lookout.service.core.messages import (
    UNFRAMED,
    Alert,
    AlertEvent,
    CameraEvent,
    FrameId,
    InferenceReport,
    IngestReport,
)
from lookout.service.core.settings import Settings
from lookout.service.core.sinks import SinkRecord, choose
from lookout.service.ownership.assignment import Assignment
from lookout.service.ownership.leases import open_leases
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis import keys
from lookout.service.storage.store.store import Store
from tests.conftest import Urls
from tests.service.api_server import camera, report_online, settings_for, show

EventKind = Literal["scene_change", "tampered", "restored"]


@pytest.fixture
def settings(urls: Urls, tmp_path: Path) -> Settings:
    return settings_for(
        urls, tmp_path, unwatched_after_s=10.0, unwatched_learning_s=20.0, clips_free_mb=0
    )


class Clockwork:
    """A worker that is driven a second at a time; another takes over after `killed`."""

    def __init__(self, settings: Settings, bus: Bus, store: Store) -> None:
        self.settings = settings
        self.bus = bus
        self.store = store
        self.now = time.monotonic()
        self.worker = self.successor()

    def successor(self) -> AlertingWorker:
        """A worker that comes after the former one was killed and its leases ran out."""
        self.bus._redis.delete(keys.lease("alerting", "gate"), keys.workers("alerting"))
        assignment = Assignment("alerting", self.bus, open_leases(self.settings, "alerting"))
        pictures = AlertPictures(self.settings.data_dir, self.bus)
        cameras = self.store.cameras
        return AlertingWorker(self.settings, self.bus, self.store, assignment, cameras, pictures)

    def killed(self) -> None:
        self.worker = self.successor()

    def pass_s(self, seconds: int, step_s: float = 1.0) -> None:
        for _ in range(seconds):
            self.now += step_s
            self.worker.turn(self.now)

    def alerts(self, kind: str) -> list[Alert]:
        found = self.store.alerts("gate", before=None, limit=100)
        return [alert for alert in found if alert.kind == kind]

    def log(self) -> list[tuple[str, str]]:
        events = self.store.alert_events_after({"gate": None}, 1000).get("gate", [])
        return [(event.event, event.alert.kind) for _, event in events]


@pytest.fixture
def clockwork(settings: Settings, bus: Bus, store: Store) -> Iterator[Clockwork]:
    store.add_camera(camera("gate"))
    made = Clockwork(settings, bus, store)
    made.pass_s(2)
    yield made
    made.worker.end()


def an_event(seq: int, kind: EventKind) -> CameraEvent:
    return CameraEvent(kind, "gate", 1000, seq, 1000 + seq / 10, "the picture became dark")


def test_a_test_alert_is_listed_over_at_once_and_survives_a_kill(
    clockwork: Clockwork, store: Store
) -> None:
    store.add_camera_event(CameraEvent("test", "gate", 5_000_000, UNFRAMED, 5000.0, "asked for"))
    clockwork.pass_s(2)
    clockwork.killed()
    clockwork.pass_s(4)
    (made,) = clockwork.alerts("test")
    assert (made.state, made.opened_at, made.closed_at) == ("closed", 5000.0, 5000.0)
    assert (made.id, made.detail) == (f"gate:5000000-{UNFRAMED}", "asked for")
    assert clockwork.log() == [("new", "test"), ("end", "test")]
    sink = SinkRecord(id="pager", url="https://hooks.example/x", created_at=1.0)
    assert choose(sink, AlertEvent("end", made), None) is None  # it is sent by itself


# Tampering


def test_a_covered_camera_is_an_alert_until_it_is_restored(
    clockwork: Clockwork, store: Store
) -> None:
    store.add_camera_event(an_event(50, "scene_change"))
    store.add_camera_event(an_event(52, "tampered"))
    clockwork.pass_s(2)
    (covered, moved) = clockwork.alerts("tampering")
    assert (moved.id, moved.state, moved.closed_at) == ("gate:1000-50", "closed", 1005.0)
    assert (covered.id, covered.state, covered.opened_at) == ("gate:1000-52", "open", 1005.2)
    assert covered.detail == "the picture became dark"
    store.add_camera_event(an_event(90, "restored"))
    clockwork.pass_s(2)
    (covered, _) = clockwork.alerts("tampering")
    assert (covered.state, covered.closed_at) == ("closed", 1009.0)


def test_killed_between_its_events_it_tells_each_alert_once(
    clockwork: Clockwork, store: Store
) -> None:
    for seq, kind in ((50, "tampered"), (60, "restored"), (70, "scene_change")):
        store.add_camera_event(an_event(seq, kind))  # type: ignore[arg-type]
        clockwork.pass_s(2)
        clockwork.killed()
        clockwork.pass_s(2)
    assert clockwork.log() == [("new", "tampering"), ("end", "tampering")] * 2


def test_events_from_before_alerting_knew_the_camera_are_left_out(
    settings: Settings, bus: Bus, store: Store
) -> None:
    store.add_camera(camera("gate"))
    store.add_camera_event(an_event(50, "tampered"))
    clockwork = Clockwork(settings, bus, store)
    clockwork.pass_s(2)
    assert clockwork.log() == []


@given(st.lists(st.sampled_from(["scene_change", "tampered", "restored"]), max_size=30))
def test_whatever_the_events_alerts_open_and_close_in_turn(kinds: list[EventKind]) -> None:
    conditions = CameraConditions()
    made = []
    for seq, kind in enumerate(kinds):
        made += conditions.take_events([(FrameId(1, seq), an_event(seq, kind))])
        conditions = CameraConditions.from_json(conditions.as_json())
    told = [event.event for event in made]
    assert told == ["new", "end"] * (len(told) // 2) + ["new"] * (len(told) % 2)
    assert len({event.alert.id for event in made}) == (len(told) + 1) // 2
    assert ("tampering" in conditions.open) == bool(len(told) % 2)


# Not watched


def score_for(clockwork: Clockwork, seconds: int, first: int, value: float | None = 0.3) -> int:
    """A score a second."""
    for seq in range(first, first + seconds):
        show(clockwork.bus, "gate", seq, value)
        clockwork.pass_s(1)
    return first + seconds


def test_a_camera_without_a_score_is_an_alert_that_says_why(clockwork: Clockwork) -> None:
    following = score_for(clockwork, 5, 0)
    clockwork.bus.report_ingest("gate", IngestReport("reconnecting", time.time(), 1, "no answer"))
    clockwork.pass_s(8)
    assert clockwork.alerts("unwatched") == []
    clockwork.pass_s(4)
    (alert,) = clockwork.alerts("unwatched")
    assert alert.state == "open"
    assert alert.detail == "no score for 10 s: its source is reconnecting (no answer)"
    assert alert.id.endswith(f"-{UNFRAMED}")
    score_for(clockwork, 2, following)
    (alert,) = clockwork.alerts("unwatched")
    assert alert.state == "closed"
    assert clockwork.log() == [("new", "unwatched"), ("end", "unwatched")]


def test_another_worker_keeps_the_alert_open(clockwork: Clockwork) -> None:
    clockwork.pass_s(15)
    clockwork.killed()
    clockwork.pass_s(15)
    assert clockwork.log() == [("new", "unwatched")]


def test_a_reader_that_was_frozen_has_seen_nothing(clockwork: Clockwork) -> None:
    score_for(clockwork, 2, 0)
    clockwork.pass_s(5, step_s=1000.0)
    assert clockwork.log() == []


def test_a_file_that_has_ended_is_not_missed(clockwork: Clockwork) -> None:
    clockwork.bus.report_ingest("gate", IngestReport("ended", time.time(), 1))
    clockwork.pass_s(30)
    assert clockwork.log() == []


def test_a_camera_that_learns_for_too_long_is_an_alert(clockwork: Clockwork) -> None:
    clockwork.bus.report_inference("gate", InferenceReport("learning", time.time(), 1))
    following = score_for(clockwork, 25, 0, None)
    (alert,) = clockwork.alerts("unwatched")
    assert alert.detail == "it has been learning for 20 s"
    report_online(clockwork.bus, "gate")
    score_for(clockwork, 3, following)
    assert [alert.state for alert in clockwork.alerts("unwatched")] == ["closed"]


def test_a_camera_most_of_whose_frames_are_left_out_is_an_alert(clockwork: Clockwork) -> None:
    report_online(clockwork.bus, "gate")
    for seq in range(130):
        if seq < 65:
            clockwork.bus.count("gate", "dropped_lag", 9)
        score_for(clockwork, 1, seq)
    (alert,) = clockwork.alerts("unwatched")
    assert alert.detail == "90 % of its frames are left out for lag"
    assert alert.state == "closed"


@pytest.mark.parametrize("removed", [True, False])
def test_a_camera_that_goes_takes_its_alerts_with_it(
    clockwork: Clockwork, store: Store, removed: bool
) -> None:
    store.add_camera_event(an_event(50, "tampered"))
    clockwork.pass_s(15)
    assert len(store.open_alerts("gate")) == 2
    if removed:
        store.remove_camera("gate")
    else:
        now = store.camera("gate")
        disabled = now.model_copy(update={"enabled": False, "revision": now.revision + 1})
        store.replace_camera(disabled, now)
    clockwork.pass_s(3)
    assert store.open_alerts("gate") == []
    assert sorted(clockwork.log()) == [
        ("end", "tampering"),
        ("end", "unwatched"),
        ("new", "tampering"),
        ("new", "unwatched"),
    ]


def test_a_state_that_cannot_be_read_counts_as_none(clockwork: Clockwork, store: Store) -> None:
    epoch = store.begin_alerting("gate")
    store.save_alerting("gate", epoch, {"cursor": None, "conditions": {"open": [5]}}, [])
    clockwork.killed()
    store.add_camera_event(an_event(50, "tampered"))
    clockwork.pass_s(2)
    store.add_camera_event(an_event(60, "tampered"))
    clockwork.pass_s(2)
    assert len(clockwork.alerts("tampering")) == 1
