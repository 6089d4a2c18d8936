"""Sinks: each alert event is delivered at least once, in order, behind a cursor in the store."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from lookout.service.alerting import deliveries
from lookout.service.alerting.deliveries import SINK_LEASES, Delivery
from lookout.service.core.messages import Alert, AlertEvent
from lookout.service.core.settings import Settings
from lookout.service.ownership.leases import open_leases
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis import keys
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.store.store import Store
from tests.conftest import Urls
from tests.service.api_server import Api, api, one_api, settings_for
from tests.waiting import wait_until

__all__ = ["api", "one_api"]


class ListSink:
    """Keeps the events, and fails as often as a test asks for."""

    name = "list"

    def __init__(self, failures: int = 0) -> None:
        self.delivered: list[AlertEvent] = []
        self._failures = failures

    def deliver(self, event: AlertEvent) -> None:
        if self._failures > 0:
            self._failures -= 1
            raise ConnectionError("the receiver is away")
        self.delivered.append(event)


@pytest.fixture
def settings(urls: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(deliveries, "RETRY_AFTER_S", (0.0, 0.0))
    return settings_for(urls, tmp_path)


def delivery(sink: ListSink, settings: Settings, bus: Bus, store: Store) -> Delivery:
    return Delivery(sink, bus, store, open_leases(settings, SINK_LEASES))


def write(store: Store, *events: AlertEvent) -> None:
    for event in events:
        store.save_alerting(event.alert.camera, 0, {}, [event])


def story(seq: int, camera: str = "gate") -> list[AlertEvent]:
    alert = Alert(f"{camera}:1000-{seq}", camera, "open", 1000.0 + seq, None, 0.5, 0.9, 1000.0)
    closed = replace(alert, state="closed", closed_at=1001.0 + seq)
    return [AlertEvent("new", alert), AlertEvent("end", closed)]


def test_events_are_delivered_in_order_and_each_once(
    settings: Settings, bus: Bus, store: Store
) -> None:
    write(store, *story(1))
    sink = ListSink()
    one = delivery(sink, settings, bus, store)
    one.step()
    assert sink.delivered == []  # what is older than the sink is not delivered
    write(store, *story(2), *story(3, "yard"))
    one.step()
    one.step()
    events = sink.delivered
    assert [event for event in events if event.alert.camera == "gate"] == story(2)
    assert [event for event in events if event.alert.camera == "yard"] == story(3, "yard")
    assert bus.stage_counters("alerting") == {"delivery_delivered_list": 4}


def test_the_first_alert_ever_is_delivered(settings: Settings, bus: Bus, store: Store) -> None:
    sink = ListSink()
    delivery(sink, settings, bus, store).step()
    bus._redis.delete(keys.lease(SINK_LEASES, "list"))
    write(store, *story(1))
    delivery(sink, settings, bus, store).step()
    assert sink.delivered == story(1)


def test_one_worker_delivers_and_its_successor_continues(
    settings: Settings, bus: Bus, store: Store
) -> None:
    first = ListSink()
    second = ListSink()
    one = delivery(first, settings, bus, store)
    two = delivery(second, settings, bus, store)
    one.step()
    write(store, *story(1))
    two.step()
    one.step()
    assert (first.delivered, second.delivered) == (story(1), [])
    write(store, *story(2))
    bus._redis.delete(keys.lease(SINK_LEASES, "list"))  # it was killed
    two.step()
    assert second.delivered == story(2)


def test_a_failed_delivery_is_tried_again(
    settings: Settings, bus: Bus, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    sink = ListSink(failures=2)
    one = delivery(sink, settings, bus, store)
    one.step()
    write(store, *story(1))
    one.step()
    assert sink.delivered == story(1)
    assert "the receiver is away" in caplog.text


def test_an_event_that_cannot_be_delivered_is_given_up_and_counted(
    settings: Settings, bus: Bus, store: Store
) -> None:
    sink = ListSink(failures=3)
    one = delivery(sink, settings, bus, store)
    one.step()
    write(store, *story(1))
    one.step()
    assert sink.delivered == story(1)[1:]
    assert bus.stage_counters("alerting") == {
        "delivery_delivered_list": 1,
        "delivery_failed_list": 1,
    }


def test_it_works_in_a_thread_of_its_own(settings: Settings, bus: Bus, store: Store) -> None:
    sink = ListSink()
    with delivery(sink, settings, bus, store):
        wait_until(lambda: bus._redis.exists(keys.lease(SINK_LEASES, "list")), "it begins")
        wait_until(lambda: store.begin_delivery("list") == {}, "it has a cursor")
        write(store, *story(1))
        wait_until(lambda: sink.delivered == story(1), "the events")
    assert not bus._redis.exists(keys.lease(SINK_LEASES, "list"))


def test_deliveries_are_a_metric(api: Api) -> None:
    with closing(connect(api.settings.bus_url or "")) as client:
        client.hset(
            keys.stage_counters("alerting"),
            mapping={"delivery_delivered_log": 3, "delivery_failed_web_hook": 1},
        )
    shown = api.http.get("/metrics").text.splitlines()
    assert 'lookout_deliveries_total{result="delivered",sink="log"} 3.0' in shown
    assert 'lookout_deliveries_total{result="failed",sink="web_hook"} 1.0' in shown
