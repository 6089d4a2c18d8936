"""Alerts follow from the scores and the producers' reports, never from when alerting reads them."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lookout.models.scoring.alert_policy import AlertPolicy
from lookout.service.alerting.alert_pictures import AlertPictures
from lookout.service.alerting.camera_policy import CameraAlerts
from lookout.service.alerting.silence import ABANDONED_AFTER, LONGEST_LOOK_S
from lookout.service.alerting.worker import AlertingWorker
from lookout.service.core.messages import AlertEvent, InferenceReport, IngestReport, Score
from lookout.service.core.settings import Settings
from lookout.service.ownership.assignment import Assignment
from lookout.service.ownership.leases import open_leases
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis import keys
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.store.store import Store
from tests.conftest import Urls
from tests.owning import add_scores
from tests.service.api_server import camera, heat, score, settings_for, show

POLICY = AlertPolicy()
STREAM_STATES = ("reconnecting", "stalled", "failed", "ended")

Told = tuple[str, float, float | None, float, float]  # id, opened, closed, peak and its time


class Reader:
    """An alerting worker with a clock of its own, which may be frozen and replaced."""

    def __init__(self, settings: Settings, bus: Bus, store: Store) -> None:
        self.bus = bus
        self.store = store
        self.settings = settings
        self.now = 1000.0
        self.worker = self.start()

    def start(self) -> AlertingWorker:
        assignment = Assignment("alerting", self.bus, open_leases(self.settings, "alerting"))
        pictures = AlertPictures(self.settings.data_dir, self.bus)
        cameras = self.store.cameras
        return AlertingWorker(self.settings, self.bus, self.store, assignment, cameras, pictures)

    def replace(self, *, killed: bool) -> None:
        """Hand over to another worker."""
        if not killed:
            self.worker.end()
        self.bus._redis.delete(keys.lease("alerting", "gate"), keys.workers("alerting"))
        self.worker = self.start()

    def read(self, after_s: float = 1.0) -> None:
        """Take one turn, `after_s` after the last, and read all that waits."""
        self.now += after_s
        while self.worker.turn(self.now):
            pass

    def told(self) -> list[Told]:
        found = self.store.alerts("gate", before=None, limit=1000)
        return sorted(
            (one.id, one.opened_at, one.closed_at, one.peak_value, one.peak_at)
            for one in found
            if one.kind == "anomaly"
        )


@pytest.fixture
def settings(urls: Urls, tmp_path: Path) -> Settings:
    return settings_for(urls, tmp_path)


@pytest.fixture
def reader(settings: Settings, bus: Bus, store: Store) -> Reader:
    store.add_camera(camera("gate"))
    return Reader(settings, bus, store)


def write(bus: Bus, scores: Sequence[Score]) -> None:
    pairs = [(one, replace(heat("gate", one.seq), session=one.session)) for one in scores]
    add_scores(bus, pairs)


def burst(bus: Bus, first: int, values: Sequence[float], session: int = 1000) -> None:
    for seq, value in enumerate(values, first):
        show(bus, "gate", seq, value, session=session)


def report_ingest(bus: Bus, state: str, *, session: int, last_seq: int) -> None:
    """Report as ingest does, long ago: the age of a report decides nothing."""
    report = IngestReport(state, 1.0, 1, session=session, last_seq=last_seq)  # type: ignore[arg-type]
    bus.report_ingest("gate", report)


def random_series(chance: random.Random) -> list[Score]:
    """Return scores with rises, lulls, lost frames, long gaps, clock steps and new sessions."""
    scores: list[Score] = []
    session, seq, at, level = 1000, 0, time.time(), 0.5  # old alerts are dropped
    for _ in range(chance.randint(150, 300)):
        level = min(1.0, max(0.0, level + chance.uniform(-0.3, 0.3)))
        scores.append(score("gate", seq, level, session=session, at=at))
        seq += 1 + chance.randint(0, 9) * (chance.random() < 0.03)
        step_s = 0.1
        if chance.random() < 0.05:
            step_s = chance.choice([0.0, 1.0, 14.9, 15.2, 40.0, -30.0])
        at += step_s
        if chance.random() < 0.01:
            session, seq = session + chance.randint(1, 5000), 0
    return scores


def demanded(scores: Sequence[Score]) -> list[Told]:
    """Return the alerts of the scores, the last of which is the camera's last."""
    state = CameraAlerts()
    events: list[AlertEvent] = []
    for one in scores:
        state, more = state.step(POLICY, one)
        events += more
    events += state.close(POLICY)[1]
    ends = [event.alert for event in events if event.event == "end"]
    return sorted(
        (one.id, one.opened_at, one.closed_at, one.peak_value, one.peak_at) for one in ends
    )


@pytest.mark.parametrize("seed", range(12))
def test_alerts_are_those_of_the_scores_whenever_and_whoever_reads_them(
    reader: Reader, bus: Bus, seed: int
) -> None:
    """The reader is frozen, killed, and replaced, at any place."""
    chance = random.Random(seed)
    scores = random_series(chance)
    waiting = list(scores)
    while waiting:
        count = chance.choice([1, 1, 3, 20, 120])
        write(bus, waiting[:count])
        del waiting[:count]
        for _ in range(chance.randint(0, 3)):
            reader.read(after_s=chance.choice([0.01, 0.6, 10.0, 18.0, 3600.0]))
        if chance.random() < 0.1:
            reader.replace(killed=chance.random() < 0.5)
    last = scores[-1]
    report_ingest(bus, "reconnecting", session=last.session, last_seq=last.seq)
    reader.read()
    reader.read()  # reports are read of cameras that had an open alert before
    assert reader.told() == demanded(scores)
    assert len(reader.told()) > 0


def test_a_reader_that_was_frozen_reads_what_waits_before_it_judges(
    reader: Reader, bus: Bus
) -> None:
    """An event of two seconds waits while alerting is frozen, around the middle of another."""
    burst(bus, 0, [0.9] * 10)
    reader.read()
    burst(bus, 10, [0.9] * 10 + [0.1] * 25 + [0.9] * 20 + [0.1] * 25)
    reader.read(after_s=18.0)
    assert [told[:3] for told in reader.told()] == [
        ("gate:1000-5", 1000.5, 1004.0),
        ("gate:1000-50", 1005.0, 1008.5),
    ]


def test_a_rise_is_not_forgotten_while_the_reader_is_frozen(reader: Reader, bus: Bus) -> None:
    burst(bus, 0, [0.1, 0.9, 0.9, 0.9])
    reader.read()
    reader.read(after_s=18.0)
    burst(bus, 4, [0.9] * 3)
    reader.read(after_s=18.0)
    assert [told[:3] for told in reader.told()] == [("gate:1000-6", 1000.6, None)]


@pytest.mark.parametrize("state", STREAM_STATES)
def test_a_stream_that_broke_off_closes_once_all_of_it_is_scored(
    reader: Reader, bus: Bus, state: str
) -> None:
    burst(bus, 0, [0.9] * 8)
    reader.read()
    write(bus, [])
    report_ingest(bus, "online", session=1000, last_seq=7)
    reader.read()
    assert reader.told()[0][2] is None
    report_ingest(bus, state, session=1000, last_seq=7)
    reader.read()
    assert [told[:3] for told in reader.told()] == [("gate:1000-5", 1000.5, 1000.7)]


@pytest.mark.parametrize("state", [*STREAM_STATES, "starting"])
def test_a_file_is_at_its_end_only_when_it_was_read_and_scored_to_its_end(
    settings: Settings, bus: Bus, store: Store, state: str
) -> None:
    """After a break a file goes on with its session; a frame that is not scored yet counts."""
    store.add_camera(camera("gate", url="/clip.mp4"))
    reader = Reader(settings, bus, store)
    burst(bus, 0, [0.9] * 8)
    report_ingest(bus, state, session=1000, last_seq=8)
    reader.read()
    reader.read(after_s=60.0)
    assert reader.told()[0][2] is None
    burst(bus, 8, [0.9])
    reader.read()
    closed_at = 1000.8 if state in ("ended", "failed") else None
    assert [told[:3] for told in reader.told()] == [("gate:1000-5", 1000.5, closed_at)]


def test_a_report_on_another_session_ends_nothing(reader: Reader, bus: Bus) -> None:
    burst(bus, 0, [0.9] * 8)
    report_ingest(bus, "stalled", session=900, last_seq=3)
    reader.read()
    assert reader.told()[0][2] is None


def test_inference_that_has_left_the_next_session_behind_closes(reader: Reader, bus: Bus) -> None:
    burst(bus, 0, [0.9] * 8)
    reader.read()
    bus._redis.set(keys.cursor("gate"), "2000-3")
    reader.read()
    assert [told[2] for told in reader.told()] == [1000.7]


@pytest.mark.parametrize(("silence_s", "closes"), [(14.9, False), (15.2, True)])
def test_frames_that_came_and_got_no_score_close_by_their_times(
    reader: Reader, bus: Bus, silence_s: float, closes: bool
) -> None:
    burst(bus, 0, [0.9] * 8)
    reader.read()
    at = 1000.7 + silence_s
    report = InferenceReport("online", 1.0, 1, session=1000, last_seq=99, last_captured_at=at)
    bus.report_inference("gate", report)
    reader.read()
    assert reader.told()[0][2] is None, "a score before it may still be on its way"
    bus._redis.set(keys.cursor("gate"), "1000-99")
    reader.read()
    assert (reader.told()[0][2] == 1000.7) is closes


def test_a_live_camera_that_nobody_deals_with_closes_after_a_while_that_was_seen(
    reader: Reader, bus: Bus
) -> None:
    """Looks that are far apart count little: a frozen reader has seen nothing in between."""
    burst(bus, 0, [0.9] * 8)
    looks = int(ABANDONED_AFTER * POLICY.quiet_after_s / LONGEST_LOOK_S)
    for _ in range(looks):
        reader.read(after_s=600.0)
    assert reader.told()[0][2] is None
    burst(bus, 8, [0.9])
    for _ in range(looks):
        reader.read(after_s=1.0)
    assert reader.told()[0][2] is None
    for _ in range(3):
        reader.read(after_s=1.0)
    assert [told[2] for told in reader.told()] == [1000.8]


def test_a_file_at_full_pace_that_waits_keeps_its_alert_open(
    settings: Settings, bus: Bus, store: Store
) -> None:
    store.add_camera(camera("gate", url="/clip.mp4", pace="fast"))
    reader = Reader(settings, bus, store)
    burst(bus, 0, [0.9] * 8)
    for _ in range(2 * int(ABANDONED_AFTER * POLICY.quiet_after_s)):
        reader.read()
    burst(bus, 8, [0.9] * 2 + [0.1] * 25)
    reader.read()
    assert [told[:3] for told in reader.told()] == [("gate:1000-5", 1000.5, 1003.0)]


def test_a_disabled_camera_closes_when_inference_has_let_go_of_it(
    reader: Reader, bus: Bus, store: Store
) -> None:
    bus.heartbeat("inference", "a worker")
    burst(bus, 0, [0.9] * 8)
    reader.read()
    now = store.camera("gate")
    changes = {"enabled": False, "revision": now.revision + 1}
    store.replace_camera(now.model_copy(update=changes), now)
    reader.read()
    burst(bus, 8, [0.9] * 2)
    reader.read()
    assert [told[2] for told in reader.told()] == [None]
    bus._redis.delete(keys.lease("inference", "gate"))
    reader.read()
    assert [told[:3] for told in reader.told()] == [("gate:1000-5", 1000.5, 1000.9)]


def test_scores_that_the_stream_dropped_unread_are_counted(
    settings: Settings, store: Store, urls: Urls, caplog: pytest.LogCaptureFixture
) -> None:
    """The alert that was open is judged by the times of what is left."""
    client = connect(urls.bus)
    bus = Bus(client, frames_kept=16, scores_kept=300, heats_kept=16)
    store.add_camera(camera("gate"))
    reader = Reader(settings, bus, store)
    write(bus, [score("gate", seq, 0.9) for seq in range(10)])
    reader.read()
    write(bus, [score("gate", seq, 0.9) for seq in range(10, 360)])
    write(bus, [score("gate", seq, 0.1) for seq in range(360, 400)])
    reader.read(after_s=18.0)
    assert bus.counters("gate")["unread"] == 90
    assert "90 scores left the bus before alerting read them" in caplog.text
    assert [told[:3] for told in reader.told()] == [("gate:1000-5", 1000.5, 1038.0)]
    client.close()


def test_what_is_read_in_time_is_not_counted_as_unread(
    reader: Reader, bus: Bus, urls: Urls
) -> None:
    burst(bus, 0, [0.2] * 5)
    reader.read()
    burst(bus, 9, [0.2] * 5)
    burst(bus, 3, [0.2] * 5, session=2000)
    reader.read()
    with connect(urls.bus) as client:
        client.flushall()
    burst(bus, 20, [0.2] * 5, session=2000)
    reader.read()
    assert "unread" not in bus.counters("gate")


def test_the_reader_s_wall_clock_decides_nothing(
    reader: Reader, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    burst(bus, 0, [0.9] * 8)
    reader.read()
    real = time.time
    for step_s in (3600.0, -3600.0):
        monkeypatch.setattr(time, "time", lambda by=step_s: real() + by)
        reader.read()
        assert [told[2] for told in reader.told()] == [None]
