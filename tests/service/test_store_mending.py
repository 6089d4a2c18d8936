"""A key of the store that holds something else stops nobody, marks its camera, and is kept."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from lookout.service.core.accounts import AuditLine
from lookout.service.core.camera import CameraChange
from lookout.service.core.evidence import ClipRecord
from lookout.service.core.jobs import FormerModel, LearningJob
from lookout.service.core.messages import Alert, AlertAnswer, AlertEvent, CameraEvent, FrameId
from lookout.service.core.replay import ReplayJob
from lookout.service.core.self_test import SelfTest
from lookout.service.core.sinks import SinkState
from lookout.service.storage.redis import codec, keys
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.store.alert_evidence import RegionRecord
from lookout.service.storage.store.kept_answers import KeptAnswer
from lookout.service.storage.store.mending import FORMS, SHARED_KEYS
from lookout.service.storage.store.snapshots import Snapshot
from lookout.service.storage.store.store import Store
from lookout.service.storage.store.suppressions import Suppression
from tests.conftest import Urls, examples
from tests.service.api_server import Api, api, camera, one_api

__all__ = ["api", "one_api"]

GARBAGE = st.sampled_from([b"", b"-1", b"1e300", b"nan", b"{", b"\xff\xfe", b"9" * 30])
WRITERS: dict[str, Callable[[redis.Redis, str], object]] = {
    "string": lambda client, key: client.set(key, "no such thing"),
    "list": lambda client, key: client.rpush(key, "no such thing"),
    "hash": lambda client, key: client.hset(key, "no", "such thing"),
    "set": lambda client, key: client.sadd(key, "no such thing"),
    "zset": lambda client, key: client.zadd(key, {"no such thing": 1.0}),
    "stream": lambda client, key: client.xadd(key, {"no": "such thing"}),
}
BAD_VALUES = [
    (key, field) for key, form in FORMS.items() for field in form.values if form.kind != "zset"
]


def an_alert(name: str, seq: int, **changes: Any) -> Alert:
    at = 1000.0 + seq
    return replace(Alert(f"{name}:1000-{seq}", name, "open", at, None, 0.5, 0.9, at), **changes)


def fill(store: Store, name: str) -> None:
    """Write one of everything that the store has of a camera."""
    store.add_camera(camera(name))
    store.begin_session(name, 1000.0, 1)
    epoch, _ = store.begin_ownership(name)
    store.save_snapshot(name, epoch, Snapshot(FrameId(1000, 1), {}))
    events = [AlertEvent("new", an_alert(name, 1)), AlertEvent("new", an_alert(name, 2))]
    store.save_alerting(name, store.begin_alerting(name), {"cursor": "1000-2"}, events)
    store.answer_alert(name, f"{name}:1000-1", lambda answer: replace(answer, keep=True))
    store.add_camera_event(CameraEvent("tampered", name, 1000, 1, 1000.1, "dark"))
    store.add_job(a_job(name))
    store.add_replay(ReplayJob(name, "queued", 1.0, 1.0, "a.mp4"))
    store.push_former_model(name, FormerModel("square", "learn"))


def a_job(name: str) -> LearningJob:
    return LearningJob(name, "queued", 1.0, 1.0, 300.0, 600.0, "rule")


def work(store: Store, name: str, seq: int) -> None:
    """Make every call that a stage makes of a camera; an exception fails the test."""
    store.cameras()
    store.camera(name)
    store.begin_session(name, 1000.0, 1)
    store.session(name)
    store.end_session(name, 1_000_000, 5)
    epoch, _ = store.begin_ownership(name)
    assert store.save_snapshot(name, epoch, Snapshot(FrameId(2000, seq), {"a": 1}))
    assert store.snapshot(name) == Snapshot(FrameId(2000, seq), {"a": 1})
    epoch = store.begin_alerting(name)
    new = AlertEvent("new", an_alert(name, seq))
    regions = {new.alert.id: RegionRecord()}
    assert store.save_alerting(name, epoch, {"cursor": f"1000-{seq}"}, [new], regions)
    assert store.alerting_state(name) == {"cursor": f"1000-{seq}"}
    assert store.alert(name, new.alert.id) == new.alert
    assert new.alert in store.alerts(name, before=None, limit=10)
    assert new.alert in store.open_alerts(name)
    assert name in store.alerted_cameras()
    store.drop_expired_alerts(name, 0.0)
    store.drop_old_alerts(name)
    store.add_camera_event(CameraEvent("tampered", name, 1000, seq, 1000.0 + seq, "dark"))
    assert store.camera_events(name, 10)
    store.note_peaks(name, {seq: 0.5})
    assert store.peaks(name, seq, 1) == pytest.approx([0.5], abs=0.01)
    both = ["a", "b"]
    assert new in [event for _, event in store.alert_events_after({name: None}, 100)[name]]
    store.newest_alert_event_id(name)
    assert store.alerting_overview(both)[name].opened > 0
    store.begin_delivery("sink")
    store.save_delivery("sink", name, FrameId(1, 1))
    look_at_jobs(store, name)
    store.answer_alert(name, new.alert.id, lambda answer: replace(answer, keep=True))
    assert store.alert_answers(name, [new.alert.id]) == [AlertAnswer(keep=True)]
    assert new.alert.id in store.kept_alerts(name)
    keep_evidence(store, name, new.alert.id)
    store.sinks()
    store.save_sink_state("sink", SinkState())
    store.sink_states()
    store.ended_logins()
    store.end_login("somebody", 2e9)
    store.accounts()
    store.drift_state(name)
    store.drifts(both)
    store.save_self_test(name, SelfTest(1.0, 1))
    assert store.self_tests(both)[name] == SelfTest(1.0, 1)
    store.left_out(name)
    store.login_key()
    store.push_key()
    keep_request(store, f"{name} {seq}")


def keep_request(store: Store, name: str) -> None:
    """Make the calls that keep a line on a request, and its answer."""
    store.add_audit_line(AuditLine(1.0, "anna", "admin", "DELETE /logins", "/", (), "10.0.0.9"))
    assert store.audit_lines(10)
    running = KeptAnswer("digest", name)
    assert store.begin_answer(name, running) == 0
    store.end_answer(name, running, replace(running, status=201))
    assert store.begin_answer(name, running) == replace(running, status=201)


def look_at_jobs(store: Store, name: str) -> None:
    """Make the calls that read the jobs of a camera."""
    both = ["a", "b"]
    store.active_jobs(both)
    store.jobs(both)
    store.newest_job(name)
    store.push_former_model(name, FormerModel("learned", "learn"))
    assert store.former_models(name)[0] == FormerModel("learned", "learn")
    store.active_replays(both)
    store.replays(both)


def keep_evidence(store: Store, name: str, alert_id: str) -> None:
    """Make the calls that keep the evidence of an alert."""
    store.begin_clip(name, alert_id, ClipRecord("pending"))
    store.end_clip(name, alert_id, ClipRecord("ready"))
    store.note_evidence(name, {"clips/a.mp4": "1-2"}, ["pictures/gone.jpg"])
    assert store.evidence_copies(name) == {"clips/a.mp4": "1-2"}
    assert store.alert_regions(name, [alert_id]) == [RegionRecord()]
    assert store.alert_clips(name, [alert_id]) == [ClipRecord("ready")]
    until = Suppression(alert_id, "anomaly", None, "false_alarm", 1.0, "anna", 4e9, [])
    store.suppress(name, until)
    assert store.suppressions(name) == {alert_id: until}


def held(client: redis.Redis) -> dict[bytes, bytes]:
    """Return what the keys that were set aside hold, by their former names."""
    found = {}
    for name in client.scan_iter("aside:*"):
        former = name.removeprefix(b"aside:").rpartition(b":")[0]
        found[former] = client.dump(name) or b""
    return found


def check_harmless(store: Store, client: redis.Redis, key: str) -> None:
    """Work on both cameras; what the wrong key held is kept, and only its camera is marked."""
    before = client.dump(key)
    for seq, name in enumerate(("b", "a"), start=10):
        work(store, name, seq)
    kept = held(client)
    assert [former.strip(b"{}").decode() for former in kept] == [key.strip("{}")]
    assert list(kept.values()) == [before]
    assert store.cameras()["b"].mark is None
    assert [alert.id for alert in store.alerts("b", before=None, limit=9)] == [
        "b:1000-10",
        "b:1000-2",
        "b:1000-1",
    ]


@pytest.fixture
def client(urls: Urls) -> Any:
    with closing(connect(urls.store)) as opened:
        yield opened


@pytest.mark.parametrize("key", FORMS, ids=[key.__name__ for key in FORMS])
@examples(4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_key_of_another_type_is_set_aside(
    store: Store, client: redis.Redis, key: Callable[[str], str], data: st.DataObject
) -> None:
    client.flushall()
    store._logged_marks = type(store._logged_marks)()
    for name in ("a", "b"):
        fill(store, name)
    kind = data.draw(st.sampled_from(sorted(WRITERS.keys() - {FORMS[key].kind})))
    client.delete(key("a"))
    WRITERS[kind](client, key("a"))
    check_harmless(store, client, key("a"))
    assert f"is a {kind}" in (store.camera("a").mark or "")


@pytest.mark.parametrize(
    ("key", "field"), BAD_VALUES, ids=[f"{key.__name__}.{field}" for key, field in BAD_VALUES]
)
@examples(4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=GARBAGE)
def test_a_value_that_is_no_number_stops_nobody(
    store: Store, client: redis.Redis, key: Callable[[str], str], field: str, value: bytes
) -> None:
    client.flushall()
    store._logged_marks = type(store._logged_marks)()
    for name in ("a", "b"):
        fill(store, name)
    if field:
        client.hset(key("a"), field, value)
    else:
        client.set(key("a"), value)
    for seq, name in enumerate(("b", "a"), start=10):
        work(store, name, seq)
    assert store.cameras()["b"].mark is None


@pytest.mark.parametrize("key", sorted(SHARED_KEYS))
def test_a_shared_key_of_another_type_is_set_aside(
    store: Store, client: redis.Redis, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b"):
        fill(store, name)
    client.delete(key)
    WRITERS["list"](client, key)
    check_harmless(store, client, key)
    assert store.alerted_cameras() == ["a", "b"]
    assert caplog.text.count(f"the store's key {key} is a list") == 1


def test_an_ended_login_stays_ended(store: Store, client: redis.Redis) -> None:
    generation, _ = store.ended_logins()
    client.set(keys.ENDED_LOGINS, "x")
    assert store.ended_logins()[0] != generation


def test_nobody_meets_a_mended_key_without_what_closes_the_doors(
    store: Store, urls: Urls, client: redis.Redis
) -> None:
    """Eight readers of one moment: each sees that somebody was there, and none is refused."""
    with contextlib.ExitStack() as opened:
        readers = [opened.enter_context(closing(Store(connect(urls.store)))) for _ in range(8)]
        pool = opened.enter_context(ThreadPoolExecutor(len(readers)))
        for _ in range(20):
            generation, _ended = store.ended_logins()
            client.delete(keys.USERS, keys.ENDED_LOGINS)
            client.set(keys.USERS, "nonsense")
            client.set(keys.ENDED_LOGINS, "nonsense")
            known = pool.map(lambda reader: reader.accounts().has_users, readers)
            logins = pool.map(lambda reader: reader.ended_logins()[0], readers)
            assert all(known)
            assert generation not in set(logins)


def test_a_former_owner_stays_refused(store: Store, client: redis.Redis) -> None:
    fill(store, "a")
    former = store.begin_alerting("a")
    client.set(keys.alerting_epoch("a"), "?")
    assert store.begin_alerting("a") > former
    assert not store.save_alerting("a", former, {}, [])


@pytest.mark.parametrize("changes", [{"opened_at": float("nan")}, {"id": "b:1"}, {"camera": "b"}])
def test_an_alert_that_is_not_this_one_is_left_out_and_marks_its_camera(
    store: Store, client: redis.Redis, api: Api, changes: dict[str, Any]
) -> None:
    fill(store, "a")
    bad = replace(an_alert("a", 2), **changes)
    client.hset(keys.alerts("a"), "a:1000-2", codec.dump(bad).replace("null", "NaN", 0))
    assert [alert["id"] for alert in api.get("/alerts").json()["items"]] == ["a:1000-1"]
    assert "'a:1000-2' is left out" in api.get("/cameras/a").json()["warnings"][0]


def test_a_mark_ends_with_a_change_of_the_camera(store: Store, api: Api) -> None:
    fill(store, "a")
    store.mark("a", "its snapshot cannot be read")
    (warning,) = api.get("/cameras/a").json()["warnings"]
    assert warning.startswith("its snapshot cannot be read")
    assert api.patch("/cameras/a", {"enabled": True}).json()["warnings"] == []
    assert api.get("/cameras/a").json()["warnings"] == []
    assert CameraChange().model_dump(exclude_unset=True) == {}


@pytest.mark.parametrize(
    "record", [b"\xff", b"{", b'{"id":"a"}', b'{"id":"b","url":"rtsp://u:s3cr3t@h/"}', b"[]"]
)
def test_a_record_that_cannot_be_read_is_listed_with_its_reason(
    store: Store, client: redis.Redis, api: Api, record: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    fill(store, "b")
    client.hset(keys.CAMERAS, "a", record)
    client.hset(keys.CAMERAS, b"\xff\xfe", record)
    listed = api.get("/cameras").json()
    assert [one["id"] for one in listed["items"]] == ["b"]
    assert listed["unreadable"]["a"].startswith("camera cannot be read")
    assert "\n" not in listed["unreadable"]["a"]
    assert "s3cr3t" not in caplog.text + str(listed)
    assert list(store.cameras()) == ["b"]
    assert api.delete("/cameras/a").status_code == 204
    assert "a" not in api.get("/cameras").json()["unreadable"]
