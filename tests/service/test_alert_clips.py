"""What alerting asks of ingest, what the API shows of it, and how long clips are kept."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.service.alerting.evidence import EvidenceAsker
from lookout.service.core.evidence import NO_CLIP, ClipRecord, EvidenceRequest, oldest_beyond
from lookout.service.core.messages import Alert, AlertAnswer, AlertEvent, AlertState
from lookout.service.core.settings import Settings
from lookout.service.storage import clips
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.bus.evidence import MOST_REQUESTS
from lookout.service.storage.clips import DAY_S, MB, ClipFile
from lookout.service.storage.pictures import drop_evidence, keep, picture_path
from lookout.service.storage.redis import keys
from lookout.service.storage.store.store import Store
from tests.conftest import Urls
from tests.service.api_server import Api, api, camera, is_problem, one_api, settings_for

__all__ = ["api", "one_api"]

NOW = 1_000 * DAY_S


@pytest.fixture
def settings(urls: Urls, tmp_path: Path) -> Settings:
    return settings_for(urls, tmp_path, clips_free_mb=0)


@pytest.fixture
def asker(settings: Settings, bus: Bus, store: Store) -> EvidenceAsker:
    store.add_camera(camera("gate"))
    return EvidenceAsker(settings, bus, store)


def an_alert(seq: int = 5, closed_at: float | None = None, opened_at: float = 1000.0) -> Alert:
    state: AlertState = "open" if closed_at is None else "closed"
    return Alert(f"gate:1000-{seq}", "gate", state, opened_at, closed_at, 0.5, 0.9, opened_at + 0.5)


def add(store: Store, alert: Alert) -> None:
    epoch = store.begin_alerting("gate")
    store.save_alerting("gate", epoch, {}, [AlertEvent("new", alert)])


def record_of(store: Store, alert: Alert) -> ClipRecord:
    (record,) = store.alert_clips("gate", [alert.id])
    return record


# What is asked for


def test_the_request_follows_the_alert(asker: EvidenceAsker, bus: Bus, store: Store) -> None:
    asker.ask(AlertEvent("new", an_alert()))
    (first,) = bus.evidence_requests("gate")
    assert (first.begins_at, first.ends_at, first.is_over) == (995.0, 1015.0, False)
    assert record_of(store, an_alert()).state == "pending"
    asker.ask(AlertEvent("end", an_alert(closed_at=1003.0)))
    (last,) = bus.evidence_requests("gate")
    assert (last.begins_at, last.ends_at, last.is_over) == (995.0, 1008.0, True)
    assert last.asked_at == first.asked_at


def test_an_alert_that_lasts_has_a_clip_of_bounded_length(asker: EvidenceAsker, bus: Bus) -> None:
    asker.ask(AlertEvent("end", an_alert(closed_at=5000.0)))
    (request,) = bus.evidence_requests("gate")
    assert request.ends_at - request.begins_at == asker.settings.clip_most_s


def test_requests_are_bounded_and_the_oldest_are_counted(asker: EvidenceAsker, bus: Bus) -> None:
    for seq in range(MOST_REQUESTS + 3):
        asker.ask(AlertEvent("new", an_alert(seq)))
    requests = bus.evidence_requests("gate")
    assert {request.alert for request in requests} == {
        f"gate:1000-{seq}" for seq in range(3, MOST_REQUESTS + 3)
    }
    assert bus.counters("gate")["clips_dropped"] == 3


def test_a_request_that_cannot_be_read_is_removed(asker: EvidenceAsker, bus: Bus) -> None:
    bus._redis.hset(keys.evidence("gate"), "x", "{")
    asker.ask(AlertEvent("new", an_alert()))
    assert [request.alert for request in bus.evidence_requests("gate")] == ["gate:1000-5"]
    assert bus._redis.hlen(keys.evidence("gate")) == 1


def test_without_clips_nothing_is_asked_for(settings: Settings, bus: Bus, store: Store) -> None:
    without = settings.model_copy(update={"clip_camera_mb": 0})
    EvidenceAsker(without, bus, store).ask(AlertEvent("new", an_alert()))
    assert bus.evidence_requests("gate") == []
    assert record_of(store, an_alert()) == NO_CLIP


def test_a_full_disk_is_said_once_and_stops_no_alert(
    settings: Settings, bus: Bus, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    asker = EvidenceAsker(settings.model_copy(update={"clips_free_mb": 2**40}), bus, store)
    for seq in range(3):
        asker.ask(AlertEvent("new", an_alert(seq)))
    assert caplog.text.count("alerts open without clips") == 1
    record = record_of(store, an_alert(2))
    assert record.state == "failed"
    assert "LOOKOUT_CLIPS_FREE_MB" in record.error


@given(
    st.floats(0, 1e9),
    st.one_of(st.none(), st.floats(0, 1e4)),
    st.floats(0, 60),
    st.floats(0, 60),
    st.floats(1, 120),
)
def test_a_clip_is_never_longer_than_asked(
    opened_at: float, lasted: float | None, before_s: float, after_s: float, most_s: float
) -> None:
    closed_at = None if lasted is None else opened_at + lasted
    alert = an_alert(closed_at=closed_at, opened_at=opened_at)
    request = EvidenceRequest.of(alert, before_s, after_s, most_s, 0.0)
    assert request.ends_at - request.begins_at <= most_s + 1e-6
    assert request.begins_at <= request.opened_at
    dropped = oldest_beyond([request] * 5, 3)
    assert len(dropped) == 2


# What is shown


def ready(api: Api, store: Store, content: bytes = bytes(range(256)) * 10) -> Alert:
    alert = an_alert(closed_at=1001.0)
    add(store, alert)
    store.begin_clip("gate", alert.id, ClipRecord("pending", due_at=time.time() + 60))
    digest = clips.keep_clip(clips.clip_path(api.settings.data_dir, alert.id), content)
    record = ClipRecord(
        "ready", begins_at=995.0, seconds=9.5, size_bytes=len(content), sha256=digest
    )
    store.end_clip("gate", alert.id, record)
    return alert


def test_a_clip_is_had_whole_and_in_parts(api: Api, store: Store) -> None:
    alert = ready(api, store)
    shown = api.get(f"/alerts/{alert.id}").json()["clip"]
    whole = api.get(f"/alerts/{alert.id}/clip")
    assert (whole.status_code, whole.headers["content-type"]) == (200, "video/mp4")
    assert shown == {
        "state": "ready",
        "begins_at": 995.0,
        "seconds": 9.5,
        "bytes": len(whole.content),
        "sha256": hashlib.sha256(whole.content).hexdigest(),
        "error": None,
    }
    part = api.http.get(f"/api/v1/alerts/{alert.id}/clip", headers={"Range": "bytes=256-511"})
    assert part.status_code == 206
    assert part.content == bytes(range(256))
    assert part.headers["content-range"] == f"bytes 256-511/{len(whole.content)}"
    beyond = api.http.get(f"/api/v1/alerts/{alert.id}/clip", headers={"Range": "bytes=9999-"})
    assert beyond.status_code == 416
    (listed,) = api.get("/alerts").json()["items"]
    assert listed["clip"] == shown


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (None, "none was asked for"),
        (ClipRecord("pending", due_at=4e9), "it is not written yet"),
        (ClipRecord("pending", due_at=1.0), "ingest has not written it in time"),
        (ClipRecord("failed", error="the file is cut off"), "the file is cut off"),
        (ClipRecord("ready", sha256="00"), "its file is not here"),
    ],
)
def test_a_clip_that_is_not_there_says_why(
    api: Api, store: Store, record: ClipRecord | None, reason: str
) -> None:
    alert = an_alert(77)
    add(store, alert)
    if record is not None:
        store.begin_clip("gate", alert.id, record)
    assert reason in is_problem(api.get(f"/alerts/{alert.id}/clip"), 404)


def test_a_clean_picture_is_had_by_its_name(api: Api, store: Store) -> None:
    alert = an_alert()
    add(store, alert)
    keep(picture_path(api.settings.data_dir, alert.id, "peak"), b"a jpeg")
    assert api.get(f"/alerts/{alert.id}/picture", which="peak").content == b"a jpeg"
    assert "no picture" in is_problem(api.get(f"/alerts/{alert.id}/picture", which="open"), 404)
    assert is_problem(api.get(f"/alerts/{alert.id}/picture", which="other"), 422)


def test_a_record_that_cannot_be_read_is_none(store: Store) -> None:
    store._redis.hset(keys.alert_clips("gate"), "gate:1000-5", "{")
    assert record_of(store, an_alert()) == NO_CLIP


def test_a_clip_goes_with_its_alert(settings: Settings, store: Store) -> None:
    alert = an_alert(closed_at=1001.0)
    add(store, alert)
    store.begin_clip("gate", alert.id, ClipRecord("ready"))
    path = clips.clip_path(settings.data_dir, alert.id)
    clips.keep_clip(path, b"mp4")
    for gone in store.drop_expired_alerts("gate", 2000.0):
        drop_evidence(settings.data_dir, gone)
    assert record_of(store, alert) == NO_CLIP
    assert list(path.parent.iterdir()) == []


# How long it is kept


def write(settings: Settings, store: Store, seq: int, age_days: float, size: int = 10) -> Path:
    alert = an_alert(seq, closed_at=1001.0)
    add(store, alert)
    store.begin_clip("gate", alert.id, ClipRecord("ready"))
    path = clips.clip_path(settings.data_dir, alert.id)
    clips.keep_clip(path, bytes(size))
    os.utime(path, (NOW - age_days * DAY_S, NOW - age_days * DAY_S))
    return path


def answer(store: Store, seq: int, *, keep: bool = False) -> None:
    store.answer_alert(
        "gate", f"gate:1000-{seq}", lambda _: AlertAnswer(acknowledged_at=1.0, keep=keep)
    )


def test_old_clips_go_but_of_alerts_that_are_kept_or_not_acknowledged(
    settings: Settings, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [write(settings, store, seq, age_days=31) for seq in range(3)]
    young = write(settings, store, 3, age_days=29)
    for seq in (0, 3):
        answer(store, seq)
    answer(store, 1, keep=True)
    assert clips.drop_surplus(store, settings, NOW) == 1
    assert [path.exists() for path in [*paths, young]] == [False, True, True, True]
    assert not clips.hash_path(paths[0]).exists()
    assert record_of(store, an_alert(0)).state == "failed"
    assert not caplog.text


def test_what_is_wanted_goes_for_want_of_room_alone_and_that_is_said(
    settings: Settings, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    small = settings.model_copy(update={"clips_total_mb": 1})
    paths = [write(small, store, seq, age_days=5 - seq, size=MB // 2) for seq in range(4)]
    answer(store, 0, keep=True)
    answer(store, 2)
    assert clips.drop_surplus(store, small, NOW) == 2
    assert [path.exists() for path in paths] == [True, False, False, True]
    assert "want of room" in caplog.text
    assert "gate:1000-1" in caplog.text


def test_what_a_killed_process_left_goes(settings: Settings, store: Store) -> None:
    path = write(settings, store, 1, age_days=1)
    left = [path.with_name(".gate:1000-2.77.mp4"), path.with_name("gate:1000-3.mp4.sha256")]
    for one in left:
        one.write_bytes(b"half")
        os.utime(one, (NOW - DAY_S, NOW - DAY_S))
    assert clips.drop_surplus(store, settings, NOW) == 0
    assert [one.exists() for one in left] == [False, False]
    assert path.exists()
    assert clips.hash_path(path).exists()


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(1, 50), st.integers(0, 2)), max_size=20),
    st.integers(0, 500),
)
def test_the_bound_holds_and_the_least_wanted_go_first(
    made: list[tuple[int, int, int]], most_bytes: int
) -> None:
    files = [
        ClipFile(Path(f"{number}.mp4"), float(at), size)
        for number, (at, size, _) in enumerate(sorted(made))
    ]
    wanted = {str(number): want for number, (_, _, want) in enumerate(sorted(made))}
    going = {file.path for file in clips.surplus(files, wanted, 50.0, most_bytes)}
    staying = [file for file in files if file.path not in going]
    assert sum(file.size for file in staying) <= most_bytes
    expired = {file.path for file in files if file.written_at < 50 and not wanted[file.alert_id]}
    assert expired <= going
    forced = [wanted[file.alert_id] for file in files if file.path in going - expired]
    least_kept = min((wanted[file.alert_id] for file in staying), default=2)
    assert max(forced, default=0) <= least_kept
