"""MQTT: each alert event reaches the broker under one id; what it keeps is what is so now."""

from __future__ import annotations

import contextlib
import json
import re
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lookout.service.alerting import deliveries
from lookout.service.alerting.deliveries import SINK_LEASES, Deliveries, Delivery
from lookout.service.alerting.sinks import broker as brokers
from lookout.service.alerting.sinks import mqtt, open_sink
from lookout.service.core.addresses import networks_of
from lookout.service.core.messages import Alert, AlertEvent, InferenceReport
from lookout.service.core.settings import Settings
from lookout.service.core.sinks import SinkRecord
from lookout.service.ownership.leases import open_leases
from lookout.service.storage import pictures
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis import keys
from lookout.service.storage.store.camera_secrets import CameraSecrets
from lookout.service.storage.store.store import Store
from tests.conftest import Urls
from tests.mosquitto import (
    PASSWORD,
    USER,
    Mosquitto,
    counting,
    mosquitto,
    with_password,
    with_tls,
)
from tests.service.api_server import Api, camera, is_problem, running_api, settings_for
from tests.waiting import wait_until

pytestmark = pytest.mark.broker


@pytest.fixture
def settings(urls: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(deliveries, "RETRY_AFTER_S", (0.0, 0.0))
    monkeypatch.setattr(deliveries, "POLL_EVERY_S", 0.02)
    monkeypatch.setattr(deliveries, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(deliveries, "FOLLOW_EVERY_S", 0.05)
    monkeypatch.setattr(mqtt, "SHOW_EVERY_S", 0.02)
    monkeypatch.setattr(mqtt, "FIRST_WAIT_S", 0.05)
    monkeypatch.setattr(mqtt, "MOST_WAIT_S", 0.05)
    return settings_for(urls, tmp_path, webhook_networks="127.0.0.0/8", lease_s=0.5)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path / "broker") as found:
        yield found


def record(url: str, **more: Any) -> SinkRecord:
    fields = {"id": "home", "kind": "mqtt", "url": url, "created_at": 1.0}
    return SinkRecord.model_validate_json(json.dumps(fields | more))


def story(seq: int, camera: str = "gate", **changes: Any) -> list[AlertEvent]:
    at = 1000.0 + seq
    made = Alert(f"{camera}:1000-{seq}", camera, "open", at, None, 0.5, 0.9, at)
    alert = replace(made, **changes)
    closed = replace(alert, state="closed", closed_at=at + 1)
    return [AlertEvent("new", alert), AlertEvent("end", closed)]


def write(store: Store, *events: AlertEvent) -> None:
    for event in events:
        store.save_alerting(event.alert.camera, 0, {}, [event])


@contextlib.contextmanager
def delivering(sink: SinkRecord, settings: Settings, bus: Bus, store: Store) -> Iterator[Delivery]:
    """Deliver to a sink in its thread, for as long as a day."""
    one = open_sink(sink, settings, bus, store)
    leases = open_leases(settings, SINK_LEASES)
    with Delivery(one, bus, store, leases, sink, retry_for_s=1e12) as found:
        yield found


def failing(store: Store) -> str:
    """Return why deliveries fail now."""
    state = store.sink_states().get("home")
    return "" if state is None or state.failing_since is None else state.last_error


# What is told


def test_events_come_with_their_ids_behind_their_picture(
    settings: Settings, bus: Bus, store: Store, broker: Mosquitto
) -> None:
    store.add_camera(camera("gate"))
    pictures.keep(pictures.picture_path(settings.data_dir, "gate:1000-1"), b"a picture")
    with counting(broker) as counter, delivering(record(broker.url), settings, bus, store):
        wait_until(lambda: counter.shown("lookout/availability") == "online", "it is there")
        write(store, *story(1)[:1])
        wait_until(counter.alerts, "the alert")
        assert counter.shown("lookout/gate/picture") == "a picture"
        assert counter.alerts()[0]["event"] == "new"
        assert counter.alerts()[0]["alert"]["id"] == "gate:1000-1"
        assert re.fullmatch(r"gate:\d+-\d+", counter.ids[0])
        state = "lookout/gate/state"
        wait_until(lambda: counter.shown(state)["alert"] == "gate:1000-1", "it is on")
        assert counter.shown(state)["anomaly"] == "ON"
        write(store, *story(1)[1:])
        wait_until(lambda: len(counter.alerts()) == 2, "its end")
        wait_until(lambda: counter.shown(state)["anomaly"] == "OFF", "it is off")
        assert len(set(counter.ids)) == 2
    assert bus.stage_counters("alerting") == {"delivery_delivered_home": 2}


def test_home_assistant_finds_the_watch_and_each_camera(
    settings: Settings, bus: Bus, store: Store, broker: Mosquitto
) -> None:
    store.add_camera(camera("gate"))
    bus.report_inference("gate", InferenceReport("online", time.time(), score=0.123456))
    with counting(broker) as counter, delivering(record(broker.url), settings, bus, store):
        configs = {
            "homeassistant/sensor/lookout/summary/config": "lookout/summary",
            "homeassistant/binary_sensor/lookout/gate_anomaly/config": "lookout/gate/state",
            "homeassistant/sensor/lookout/gate_score/config": "lookout/gate/state",
        }
        picture = "homeassistant/camera/lookout/gate_picture/config"
        for topic, source in configs.items():
            wait_until(lambda topic=topic: counter.kept.get(topic), topic)  # type: ignore[misc]
            assert counter.shown(topic)["state_topic"] == source
        wait_until(lambda: counter.kept.get(picture), "the picture")
        assert counter.shown(picture)["topic"] == "lookout/gate/picture"
        found = [json.loads(text) for topic, text in counter.kept.items() if "/config" in topic]
        assert len({one["unique_id"] for one in found}) == 4
        score = counter.shown("lookout/gate/state")
        assert score == {"anomaly": "OFF", "alert": None, "score": 0.12}
        assert counter.shown("lookout/summary")["text"] == "0 of 1 watched · 1 starting"
        assert counter.shown("lookout/gate/availability") == "offline"  # nothing is seen of it
        store.remove_camera("gate")
        wait_until(lambda: not counter.kept[picture], "the camera goes")
        wait_until(lambda: not counter.kept["lookout/gate/state"], "its state goes")
    wait_until(lambda: counter.shown("lookout/availability") == "offline", "it leaves")


def test_a_lookout_that_breaks_off_is_shown_as_away(settings: Settings, broker: Mosquitto) -> None:
    with counting(broker) as counter:
        one = brokers.Broker(record(broker.url), networks_of(settings.webhook_networks))
        one.connect()
        one.show(one.availability, b"online")
        wait_until(lambda: counter.shown("lookout/availability") == "online", "it is there")
        one.close()  # without a word, as a kill does
        wait_until(lambda: counter.shown("lookout/availability") == "offline", "its last will")


def test_a_camera_that_went_while_nobody_looked_goes_from_the_broker(
    settings: Settings, bus: Bus, store: Store, broker: Mosquitto
) -> None:
    store.add_camera(camera("gate"))
    store.add_camera(camera("yard"))
    with counting(broker) as counter, delivering(record(broker.url), settings, bus, store):
        wait_until(lambda: counter.kept.get("lookout/yard/state"), "the camera")
    store.remove_camera("yard")
    with counting(broker) as counter:
        wait_until(lambda: counter.shown("lookout/availability") == "offline", "it has left")
        with delivering(record(broker.url), settings, bus, store):
            config = "homeassistant/binary_sensor/lookout/yard_anomaly/config"
            wait_until(lambda: not counter.kept.get(config), "its device")
            assert counter.kept["lookout/gate/state"]


def test_a_sink_of_some_cameras_shows_no_other(
    settings: Settings, bus: Bus, store: Store, broker: Mosquitto
) -> None:
    for name in ("gate", "yard"):
        store.add_camera(camera(name))
    sink = record(broker.url, cameras=["gate"], discovery=None, topic="house/eyes")
    with counting(broker) as counter, delivering(sink, settings, bus, store):
        wait_until(lambda: counter.kept.get("house/eyes/gate/state"), "the camera")
        assert counter.shown("house/eyes/summary")["text"] == "0 of 1 watched · 1 starting"
        assert not [topic for topic in counter.kept if "yard" in topic or "assistant" in topic]


# What does not work


def test_no_event_is_lost_or_doubled_over_ends_of_broker_and_alerting(
    settings: Settings, bus: Bus, store: Store, tmp_path: Path
) -> None:
    sent = [event for seq in range(40) for event in story(seq)]
    with mosquitto(tmp_path / "own") as broker, counting(broker) as counter:
        sink = record(broker.url)
        with delivering(sink, settings, bus, store):
            wait_until(lambda: counter.kept.get("lookout/availability"), "it is there")
            write(store, *sent[:20])
            wait_until(lambda: len(counter.ids) >= 5, "some events")
            broker.kill()
            write(store, *sent[20:40])
            wait_until(lambda: "the broker is away" in failing(store), "it is told")
            broker.start()
            wait_until(lambda: len(counter.ids) >= 25, "the events")
            write(store, *sent[40:60])
        with delivering(sink, settings, bus, store):
            write(store, *sent[60:])
            wait_until(lambda: len(set(counter.ids)) == len(sent), "all")
        assert failing(store) == ""
        said = {body["id"]: (body["alert"]["id"], body["event"]) for body in counter.alerts()}
        assert list(said.values()) == [(event.alert.id, event.event) for event in sent]
        assert store.letters("home") == []


def test_killed_between_answer_and_cursor_the_event_comes_again_under_its_id(
    settings: Settings,
    bus: Bus,
    store: Store,
    broker: Mosquitto,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sink = record(broker.url)

    def one() -> Delivery:
        found = open_sink(sink, settings, bus, store)
        return Delivery(found, bus, store, open_leases(settings, SINK_LEASES), sink, 1e12)

    with counting(broker) as counter:
        first = one()
        first.step()
        write(store, *story(1))
        with monkeypatch.context() as patched:
            patched.setattr(store, "save_delivery", killed)
            with contextlib.suppress(KeyboardInterrupt):
                first.step()
        bus._redis.delete(keys.lease(SINK_LEASES, "home"))
        second = one()
        second.step()  # the broker ends the connection of the first: one name, one connection
        wait_until(lambda: len(counter.ids) == 3, "the events")
        assert counter.ids[0] == counter.ids[1] != counter.ids[2]
        wait_until(lambda: counter.shown("lookout/availability") == "online", "the second is there")
        assert first._connected is not None
        assert not first._connected.is_connected
        for delivery in (first, second):
            assert delivery._connected is not None
            delivery._connected.leave()


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_each_trouble_with_a_broker_is_one_clear_state(
    settings: Settings, bus: Bus, store: Store, tmp_path: Path
) -> None:
    more = with_password(tmp_path / "own")
    login = {"username": USER, "password": PASSWORD}
    with mosquitto(tmp_path / "own", more, anonymous=False) as broker:
        wrong = record(broker.url, username=USER, password=PASSWORD[1:])
        with delivering(wrong, settings, bus, store):
            wait_until(lambda: failing(store), "it has begun")
            write(store, *story(1)[:1])
            wait_until(lambda: "refuses user and password" in failing(store), "a wrong password")
        with delivering(record(broker.url), settings, bus, store):
            wait_until(lambda: "refuses user and password" in failing(store), "no password")
        tls = record(broker.url.replace("mqtt:", "mqtts:"), **login)
        with delivering(tls, settings, bus, store):
            wait_until(lambda: "TLS" in failing(store), "no TLS there")
        away = record("mqtt://127.0.0.1:1", **login)
        with delivering(away, settings, bus, store):
            wait_until(lambda: "is away: Connection refused" in failing(store), "it is away")
        nowhere = record("mqtt://broker.invalid", **login)
        with delivering(nowhere, settings, bus, store):
            wait_until(lambda: "has no address" in failing(store), "no such name")
        assert store.letters("home") == []
        with (
            counting(broker) as counter,
            delivering(record(broker.url, **login), settings, bus, store),
        ):
            wait_until(lambda: counter.ids, "the event")
            wait_until(lambda: failing(store) == "", "it works")


def test_an_address_that_is_refused_is_a_letter(
    settings: Settings, bus: Bus, store: Store, broker: Mosquitto
) -> None:
    nowhere = settings.model_copy(update={"webhook_networks": ""})
    with delivering(record(broker.url), nowhere, bus, store):
        wait_until(lambda: "LOOKOUT_WEBHOOK_NETWORKS" in failing(store), "it is told")
        write(store, *story(1)[:1])
        wait_until(lambda: store.letters("home"), "the letter")


def test_a_topic_that_the_broker_does_not_take_is_told(
    settings: Settings, bus: Bus, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "acl").write_text("topic readwrite #\ntopic deny lookout/gate/alert\n")
    with (
        mosquitto(tmp_path / "own", f"acl_file {tmp_path / 'acl'}\n") as broker,
        delivering(record(broker.url), settings, bus, store),
    ):
        wait_until(lambda: store.begin_delivery("home") == {}, "it has begun")
        write(store, *story(1)[:1])
        text = "the broker does not take lookout/gate/alert: Not authorized"
        wait_until(lambda: failing(store) == text, "it is told")


def test_a_broker_that_says_nothing_is_left_in_time(
    settings: Settings,
    bus: Bus,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(brokers, "ANSWER_S", 0.3)
    monkeypatch.setattr(brokers, "CONNECT_S", 0.3)
    with (
        mosquitto(tmp_path / "own") as broker,
        counting(broker) as counter,
        delivering(record(broker.url), settings, bus, store),
    ):
        wait_until(lambda: counter.kept.get("lookout/availability"), "it is there")
        broker.freeze()
        write(store, *story(1))
        wait_until(lambda: "no answer" in failing(store), "it is told")
        broker.thaw()
        wait_until(lambda: len(set(counter.ids)) == 2, "the events")


def test_tls_checks_the_brokers_name(
    settings: Settings, bus: Bus, store: Store, tmp_path: Path
) -> None:
    more, certificate = with_tls(tmp_path / "own")
    context = ssl.create_default_context(cadata=certificate)
    with mosquitto(tmp_path / "own", more) as broker, counting(broker, context) as counter:
        named = f"mqtts://localhost:{broker.port}"
        with delivering(record(named), settings, bus, store):
            wait_until(lambda: "certificate is not accepted" in failing(store), "an unknown one")
        by_number = record(f"mqtts://127.0.0.1:{broker.port}", ca=certificate)
        with delivering(by_number, settings, bus, store):
            wait_until(lambda: "not valid for '127.0.0.1'" in failing(store), "another name")
        with delivering(record(named, ca=certificate), settings, bus, store):
            wait_until(lambda: counter.shown("lookout/availability") == "online", "it is there")
            write(store, *story(1)[:1])
            wait_until(lambda: counter.ids, "the event")


# By the API


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    with running_api(settings) as found:
        yield found


def test_a_broker_is_set_up_changed_and_removed(
    api: Api, settings: Settings, bus: Bus, store: Store, broker: Mosquitto
) -> None:
    body = {"id": "home", "kind": "mqtt", "url": broker.url, "username": "a", "password": PASSWORD}
    with counting(broker) as counter, Deliveries(settings, bus, store):
        made = api.post("/sinks", body)
        assert made.status_code == 201, made.text
        shown = made.json()
        assert (shown["url"], shown["has_password"]) == (broker.url, True)
        assert PASSWORD not in made.text
        wait_until(lambda: counter.shown("lookout/availability") == "online", "it is there")
        assert api.post("/sinks/home/test", {}).status_code == 202
        wait_until(lambda: counter.alerts("test"), "the test")
        changed = api.patch("/sinks/home", {"url": "mqtt://127.0.0.1:1"})
        assert changed.json()["has_password"]
        wait_until(lambda: "is away" in api.get("/sinks/home").json()["last_error"], "its state")
        assert api.delete("/sinks/home").status_code == 204
    assert threading.active_count() < 50


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"url": "http://example.org/"}, "mqtt://"),
        ({"url": "mqtt://u:s3cr3t@example.org"}, "`username` and `password`"),
        ({"url": "mqtt://example.org/topic"}, "`topic`"),
        ({"url": "mqtt://example.org:0"}, "Port"),
        ({"url": "mqtt://example.org:99999"}, "ort"),
        ({"url": "mqtt://169.254.169.254"}, "metadata address"),
        ({"url": "mqtt://example.org", "password": "s3cr3t"}, "needs `username`"),
        ({"url": "mqtt://example.org", "secret": "s3cr3t-of-16-letters"}, "kind webhook"),
        ({"url": "mqtt://example.org", "format": "alertmanager"}, "kind webhook"),
        ({"url": "mqtt://example.org", "topic": "a/#"}, "topic"),
        ({"url": "mqtt://example.org", "topic": "/a"}, "topic"),
        ({"url": "mqtts://example.org", "ca": "x"}, "certificate"),
        ({"url": "mqtts://example.org", "ca": ""}, "certificate"),
        ({"url": "mqtts://example.org", "ca": "über"}, "certificate"),
        ({"url": "https://example.org/", "kind": "webhook", "topic": "a"}, "kind mqtt"),
        ({"url": "https://example.org/", "kind": "fax"}, "kind"),
    ],
)
def test_what_is_wrong_is_said(api: Api, body: dict[str, Any], reason: str) -> None:
    answer = api.post("/sinks", {"kind": "mqtt"} | body)
    assert is_problem(answer, 422)
    assert reason in answer.json()["detail"]
    assert "s3cr3t" not in answer.text


def test_the_password_is_encrypted_in_the_store(bus: Bus, store: Store) -> None:
    store._secrets = CameraSecrets("11" * 32)
    sink = record("mqtt://broker.example", username="a", password=PASSWORD)
    store.add_sink(sink)
    assert PASSWORD not in repr(sink) + str(store._redis.hget(keys.SINKS, "home"))
    assert store.sink("home") == sink
    store._secrets = CameraSecrets("22" * 32)
    assert "another key" in (store.sinks()["home"].unreadable or "")
    store._secrets = CameraSecrets()
    plain = record("mqtt://broker.example", username="a", password=PASSWORD)
    store.replace_sink(plain)
    assert store.sink("home") == plain
