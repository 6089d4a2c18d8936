"""The store writes each alert event once, however often it is sent; one bad record stops nobody."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lookout.service.core.camera import AlertSettings, Camera
from lookout.service.core.errors import ConflictError
from lookout.service.core.messages import Alert, AlertEvent, CameraEvent, FrameId
from lookout.service.storage.redis import codec, keys
from lookout.service.storage.redis.connect import UNAVAILABLE, connect
from lookout.service.storage.redis.embedded import RedisServer
from lookout.service.storage.store.alerts import AlertingOverview
from lookout.service.storage.store.camera_events import EVENTS_KEPT
from lookout.service.storage.store.store import Store
from tests.conftest import Urls
from tests.refusing import REFUSALS, LosesAnswers, refusing_redis
from tests.service.api_server import camera


def an_alert(seq: int = 5, **changes: Any) -> Alert:
    at = 1000.0 + seq
    return replace(Alert(f"gate:1000-{seq}", "gate", "open", at, None, 0.5, 0.9, at), **changes)


NEW = AlertEvent("new", an_alert())
UPDATE = AlertEvent("update", an_alert(peak_value=0.95))
END = AlertEvent("end", an_alert(peak_value=0.95, state="closed", closed_at=1008.0))
STORY = [NEW, UPDATE, END]


def log_of(store: Store) -> list[AlertEvent]:
    return [event for _, event in store.alert_events_after({"gate": None}, 1000).get("gate", [])]


@pytest.fixture
def lossy(urls: Urls, tmp_path: Path) -> Iterator[LosesAnswers]:
    with LosesAnswers(urls.store, tmp_path / "lossy.sock") as wire:
        yield wire


def test_a_story_is_written_as_it_was_told(store: Store) -> None:
    for number, event in enumerate(STORY):
        store.save_alerting("gate", 0, {"cursor": f"1000-{number}"}, [event])
        assert store.alert("gate", NEW.alert.id) == event.alert
        assert store.open_alerts("gate") == ([] if event is END else [event.alert])
    assert log_of(store) == STORY
    assert store.alerting_state("gate") == {"cursor": "1000-2"}
    assert store.alerted_cameras() == ["gate"]
    assert store.alerts("gate", before=None, limit=10) == [END.alert]


@pytest.mark.parametrize("story", [[NEW], [NEW, UPDATE], STORY], ids=["new", "update", "end"])
def test_a_step_whose_answer_was_lost_is_logged_once(
    lossy: LosesAnswers, store: Store, story: list[AlertEvent]
) -> None:
    through = Store(lossy.client())
    for event in story[:-1]:
        through.save_alerting("gate", 0, {}, [event])
    lossy.lose_answer(after=1 if story == [NEW] else 0)  # of a new alert, the camera is noted first
    through.save_alerting("gate", 0, {"cursor": "1000-9"}, story[-1:])
    assert lossy.lost == 1
    assert log_of(store) == story
    assert store.alerting_state("gate") == {"cursor": "1000-9"}


def test_a_story_that_is_told_again_is_not_doubled(store: Store) -> None:
    for _ in range(3):
        for event in STORY:
            store.save_alerting("gate", 0, {"cursor": "1000-5"}, [event])
        store.save_alerting("gate", 0, {"cursor": "1000-5"}, STORY)
    assert log_of(store) == STORY
    assert store.alert("gate", NEW.alert.id) == END.alert
    assert store.open_alerts("gate") == []
    opened_once = AlertingOverview(0, 1, FrameId(1000, 5), None)
    nothing = AlertingOverview(0, 0, None, None)
    assert store.alerting_overview(["gate", "yard"]) == {"gate": opened_once, "yard": nothing}


def test_a_step_that_comes_late_does_not_open_what_is_closed(store: Store) -> None:
    for event in (NEW, END, UPDATE):
        store.save_alerting("gate", 0, {}, [event])
    assert log_of(store) == [NEW, END]
    assert store.alert("gate", NEW.alert.id) == END.alert
    assert store.open_alerts("gate") == []


def test_one_step_may_end_an_alert_and_open_the_next(store: Store) -> None:
    following = AlertEvent("new", an_alert(9, id="gate:2000-0", opened_at=2000.0))
    store.save_alerting("gate", 0, {}, [NEW])
    for _ in range(2):
        store.save_alerting("gate", 0, {}, [END, following])
    assert log_of(store) == [NEW, END, following]
    assert store.open_alerts("gate") == [following.alert]


def test_a_step_that_was_acknowledged_outlives_its_server(tmp_path: Path) -> None:
    with RedisServer("store", tmp_path) as server, closing(connect(server.url)) as client:
        store = Store(client)
        for number, event in enumerate([NEW, UPDATE]):
            store.save_alerting("gate", 0, {"cursor": f"1000-{number}"}, [event])
        before = store.alert_events_after({"gate": None}, 10)
        assert server.process is not None
        server.process.kill()
        server.process.wait()
        server.start()
        assert store.alert_events_after({"gate": None}, 10) == before
        assert store.open_alerts("gate") == [UPDATE.alert]
        assert store.alerting_state("gate") == {"cursor": "1000-1"}


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_server_that_refuses_is_unavailable_and_holds_nothing_by_halves(
    tmp_path: Path, kind: str
) -> None:
    with refusing_redis(tmp_path, "store") as server, closing(connect(server.url)) as client:
        store = Store(client)
        session = store.begin_session("gate", 1.0, revision=1)
        server.refuse(kind)
        for _ in range(2):
            with pytest.raises(UNAVAILABLE):
                store.begin_session("gate", 1.0, revision=1)
            with pytest.raises(UNAVAILABLE):
                store.save_alerting("gate", 0, {}, [NEW])
        server.mend()
        assert (log_of(store), store.alerting_state("gate")) == ([], None)
        store.save_alerting("gate", 0, {}, [NEW])
        assert log_of(store) == [NEW]
        assert store.begin_session("gate", 1.0, revision=1) == session + 1


@pytest.mark.parametrize(
    "bad", ["{not json", "[]", '{"id":"x"}', "\udcff".encode("utf-8", "surrogateescape")]
)
def test_an_alert_that_cannot_be_read_is_left_out_and_told_once(
    store: Store, urls: Urls, caplog: pytest.LogCaptureFixture, bad: str | bytes
) -> None:
    made = [an_alert(seq) for seq in range(6)]
    store.save_alerting("gate", 0, {}, [AlertEvent("new", one) for one in made])
    with closing(connect(urls.store)) as client:
        for seq in (2, 3, 5):
            client.hset(keys.alerts("gate"), made[seq].id, bad)
    good = [made[seq] for seq in (4, 1, 0)]
    caplog.set_level(logging.WARNING)
    for limit in (1, 2, 10):
        listed, before = list[Alert](), None
        while page := store.alerts("gate", before=before, limit=limit):
            assert len(page) <= limit
            listed += page
            before = (page[-1].opened_at, page[-1].id)
        assert listed == good
    assert store.open_alerts("gate") == good
    told = [record.message for record in caplog.records]
    assert len(told) == 3
    assert "alert 'gate:1000-5' is left out: Alert cannot be read" in told[0]


def test_events_that_cannot_be_read_hold_no_listener_up(
    store: Store, urls: Urls, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(connect(urls.store)) as client:
        rows: list[dict[Any, Any]] = [
            {"event": "new"},
            {"event": "new", "alert": "?"},
            {"event": b"\xff", "alert": codec.dump(an_alert())},
        ]
        for row in rows:
            client.xadd(keys.alert_log("gate"), row)
        assert store.alert_events_after({"gate": None}, 2) == {}
        store.save_alerting("gate", 0, {}, [NEW])
        assert log_of(store) == [NEW]
        assert client.xlen(keys.alert_log("gate")) == 1
    assert sum("is left out" in record.message for record in caplog.records) == 3


def test_a_camera_that_cannot_be_read_is_told_once(
    store: Store, urls: Urls, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(connect(urls.store)) as client:
        client.hset(keys.CAMERAS, "broken", '{"url":"rtsp://a:s3cr3t@h/"}')
    for _ in range(3):
        assert store.cameras() == {}
    (record,) = caplog.records
    assert record.message.startswith("camera 'broken' is left out")
    assert "s3cr3t" not in record.message


# Events of the cameras themselves


def a_change(seq: int, kind: Any = "scene_change", session: int = 1000) -> CameraEvent:
    return CameraEvent(
        kind, "gate", session, seq, session + seq / 10, "the picture became darker: 112, then 45"
    )


def test_an_event_that_is_told_again_is_stored_once(store: Store) -> None:
    told = [
        a_change(5),
        a_change(105, "tampered"),
        a_change(205),
        a_change(205, "restored"),
        a_change(5, session=2000),
    ]
    for event in [*told, *told[2:], *told]:
        store.add_camera_event(event)
    assert store.camera_events("gate", 100) == told[::-1]
    assert store.camera_events("gate", 2) == told[:2:-1]
    assert store.camera_events("yard", 100) == []


def test_the_oldest_events_drop(store: Store) -> None:
    for seq in range(EVENTS_KEPT + 3):
        store.add_camera_event(a_change(seq))
    kept = store.camera_events("gate", 2 * EVENTS_KEPT)
    assert [event.seq for event in kept] == list(range(EVENTS_KEPT + 2, 2, -1))


def test_a_listener_reads_on_where_it_was(store: Store) -> None:
    store.add_camera_event(a_change(1))
    place = store.newest_camera_event_id("gate")
    assert store.camera_events_after({"gate": place}, 10) == {}
    for seq in (2, 3):
        store.add_camera_event(a_change(seq))
    ((entry, second), (_, third)) = store.camera_events_after({"gate": place, "yard": None}, 10)[
        "gate"
    ]
    assert [second, third] == [a_change(2), a_change(3)]
    assert [event for _, event in store.camera_events_after({"gate": entry}, 1)["gate"]] == [
        a_change(3)
    ]


def test_an_event_that_cannot_be_read_is_left_out_and_told_once(
    store: Store, urls: Urls, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(connect(urls.store)) as client:
        client.xadd(
            keys.events("gate"), {"kind": "scene_change", "frame": "?", "at": "1", "detail": ""}
        )
        client.xadd(keys.events("gate"), {"nonsense": "1"})
    store.add_camera_event(a_change(5))
    for _ in range(3):
        assert store.camera_events("gate", 10) == [a_change(5)]
    assert sum("is left out" in record.message for record in caplog.records) == 2


def test_the_events_go_with_their_camera(store: Store) -> None:
    store.add_camera(
        Camera(
            id="gate",
            url="/x.mp4",
            model="square",
            fps=None,
            pace="fast",
            calibration="learn",
            enabled=True,
            created_at=1.0,
            revision=1,
        )
    )
    store.add_camera_event(a_change(5))
    store.remove_camera("gate")
    assert store.camera_events("gate", 10) == []


def test_a_camera_keeps_its_own_alert_settings(store: Store) -> None:
    own = AlertSettings(threshold=0.8, clear_after_s=5.0)
    store.add_camera(camera("gate", alert=own))
    assert store.camera("gate").alert == own
    assert store.cameras()["gate"].alert == own


def test_a_camera_of_a_former_version_has_no_alert_settings_and_can_be_changed(
    store: Store, urls: Urls
) -> None:
    old = camera("gate").model_dump()
    del old["alert"]
    with closing(connect(urls.store)) as client:
        client.hset(keys.CAMERAS, "gate", json.dumps(old))
    before = store.camera("gate")
    assert before.alert == AlertSettings()
    store.replace_camera(before.model_copy(update={"alert": AlertSettings(threshold=0.7)}), before)
    assert store.camera("gate").alert == AlertSettings(threshold=0.7)


def test_two_changes_of_the_alert_settings_do_not_overwrite_each_other(store: Store) -> None:
    before = camera("gate", alert=AlertSettings(hysteresis=0.2))
    store.add_camera(before)
    store.replace_camera(before.model_copy(update={"alert": AlertSettings(threshold=0.7)}), before)
    late = before.model_copy(update={"alert": AlertSettings(threshold=0.9)})
    with pytest.raises(ConflictError):
        store.replace_camera(late, before)
    assert store.camera("gate").alert == AlertSettings(threshold=0.7)
