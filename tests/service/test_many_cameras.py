"""Many cameras: how many there may be, pages of them, and round trips that do not grow with them.

Times are `tests.bench.many_cameras`'s subject.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from redis.connection import AbstractConnection

from lookout.service.api.audit import AuditTrail
from lookout.service.api.auth.token import Authenticator
from lookout.service.api.dependencies import Services
from lookout.service.api.idempotency import Repeats
from lookout.service.api.live.broadcaster import Broadcaster
from lookout.service.api.live.picture_streams import PictureStreams
from lookout.service.api.metrics import StateCollector
from lookout.service.api.views import camera_fields_now
from lookout.service.core.messages import Alert, AlertEvent, InferenceReport, IngestReport
from lookout.service.ownership.leases import Leases
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.store.store import Store
from lookout.service.storage.uploads import Uploads
from lookout.service.watch.watch_summary import WatchSummaries
from tests.conftest import Urls
from tests.service.api_server import (
    RTSP,
    Api,
    api,
    camera,
    is_problem,
    one_api,
    report_online,
    running_api,
    settings_for,
    show,
    write_checkpoint,
)

__all__ = ["api", "one_api"]


@pytest.fixture
def services(urls: Urls, tmp_path: Path, bus: Bus, store: Store) -> Services:
    settings = settings_for(urls, tmp_path)
    live = Broadcaster(bus, store, 8)
    summaries = WatchSummaries(bus, store)
    auth = Authenticator(None)
    trail = AuditTrail(store)
    streams = PictureStreams(bus)
    repeats = Repeats(store)
    uploads = Uploads(settings)
    return Services(settings, bus, store, live, summaries, auth, trail, streams, repeats, uploads)


@contextlib.contextmanager
def counted_trips(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Yield a list that gets the bytes of each thing that is sent to Redis."""
    sent: list[int] = []
    send = AbstractConnection.send_packed_command

    def count(self: AbstractConnection, command: list[bytes], check_health: bool = True) -> None:
        sent.append(sum(map(len, command)))
        send(self, command, check_health)  # type: ignore[no-untyped-call]

    with monkeypatch.context() as patched:
        patched.setattr(AbstractConnection, "send_packed_command", count)
        yield sent


def add_cameras(bus: Bus, store: Store, names: list[str]) -> None:
    for name in names:
        store.add_camera(camera(name))
        report_online(bus, name)
        show(bus, name, 0)


def test_round_trips_do_not_grow_with_the_cameras(
    services: Services, bus: Bus, store: Store, urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: dict[str, Callable[[], object]] = {
        "cameras": lambda: camera_fields_now(bus, store, store.cameras().values()),
        "metrics": StateCollector(services).text,
        "ingest reports": lambda: bus.report_ingests(
            dict.fromkeys(store.cameras(), IngestReport("online", 1.0))
        ),
    }
    found: dict[str, list[int]] = {}
    with contextlib.closing(connect(urls.bus)) as client:
        leases = Leases(client, "alerting", 10.0)
        reads["leases"] = leases._renew_together
        for first, last in ((0, 2), (2, 40)):
            names = [f"camera-{number}" for number in range(first, last)]
            add_cameras(bus, store, names)
            assert all(map(leases.take, names))
            for name, read in reads.items():
                read()  # connections are there, and reads are as the second time
                with counted_trips(monkeypatch) as sent:
                    read()
                found.setdefault(name, []).append(len(sent))
    assert {name: few for name, (few, _) in found.items()} == {
        name: many for name, (_, many) in found.items()
    }
    assert max(many for _, many in found.values()) <= 20


def test_a_record_that_has_not_changed_is_not_parsed_again(store: Store) -> None:
    first = camera("a")
    store.add_camera(first)
    store.add_camera(camera("b"))
    before = store.cameras()
    assert store.cameras()["a"] is before["a"]
    store.replace_camera(first.model_copy(update={"fps": 5.0, "revision": 2}), first)
    store.remove_camera("b")
    after = store.cameras()
    assert (list(after), after["a"].fps) == (["a"], 5.0)


class Parsed(Collector):
    """The metrics of a text, for prometheus_client to write again."""

    def __init__(self, text: str) -> None:
        self._text = text

    def collect(self) -> Iterator[object]:  # type: ignore[override]
        yield from text_string_to_metric_families(self._text)


def test_the_metrics_are_written_as_prometheus_client_writes_them(
    services: Services, bus: Bus, store: Store
) -> None:
    add_cameras(bus, store, ["a", "b"])
    bus.count("a", "frames", 12_345_678)
    bus.count("a", "dropped_lag", 3)
    bus.count("b", "dropped_of a later version", 4)
    bus.count("b", "dropped_of another", 5)
    bus.count_stage("alerting", {'delivery_failed_a "sink" of \\ and \n': 2})
    bus.heartbeat("ingest", 'worker "1", 100 %s', 10.0)
    bus.report_inference("b", InferenceReport("online", time.time(), 1, score=0.5))
    alert = Alert("a:1-0", "a", "open", 1.0, None, 0.5, 0.6, 1.0)
    store.save_alerting("a", store.begin_alerting("a"), {}, [AlertEvent("new", alert)])
    text = StateCollector(services).text()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Parsed(text))
    assert generate_latest(registry).decode().splitlines() == text.splitlines()
    assert 'lookout_frames_total{camera="a"} 1.2345679e+07' in text or "12345679" in text
    for line in (
        'lookout_frames_dropped_total{camera="a",reason="lag"} 3.0',
        'lookout_frames_dropped_total{camera="b",reason="other"} 9.0',
        'lookout_worker_load{stage="ingest",worker="worker \\"1\\", 100 %s"} 10.0',
        'lookout_score{camera="b"} 0.5',
        'lookout_alerts_open{camera="a"} 1.0',
        'lookout_alerts_open{camera="b"} 0.0',
    ):
        assert line in text.splitlines()
    assert 'lookout_score{camera="a"}' not in text  # it has none


# Pages


def test_cameras_come_in_pages(api: Api, bus: Bus, store: Store) -> None:
    names = sorted(f"camera-{number}" for number in range(7))
    add_cameras(bus, store, names)
    everything = api.get("/cameras").json()
    assert ([one["id"] for one in everything["items"]], everything["next"]) == (names, None)
    found: list[str] = []
    cursor: dict[str, str] = {}
    sizes = []
    while True:
        page = api.get("/cameras", limit=3, **cursor).json()
        found += [one["id"] for one in page["items"]]
        sizes.append(len(page["items"]))
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert (found, sizes) == (names, [3, 3, 1])
    store.remove_camera("camera-2")  # the cursor may be of a camera that is gone
    assert [one["id"] for one in api.get("/cameras", cursor="camera-2").json()["items"]] == names[
        3:
    ]


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x"])
def test_a_page_has_a_bound(api: Api, limit: str) -> None:
    assert "limit" in is_problem(api.get("/cameras", limit=limit), 422)


# How many there may be


def test_a_camera_too_many_is_refused_with_the_setting(urls: Urls, tmp_path: Path) -> None:
    settings = settings_for(urls, tmp_path, max_cameras=2)
    write_checkpoint(settings, "square")
    with running_api(settings) as api:
        for name in ("a", "b"):
            assert api.post("/cameras", {"id": name, "url": RTSP}).status_code == 201
        refused = api.post("/cameras", {"id": "c", "url": RTSP})
        reason = "there are 2 cameras, and no more are taken (LOOKOUT_MAX_CAMERAS)"
        assert is_problem(refused, 409) == reason
        assert "already" in is_problem(api.post("/cameras", {"id": "a", "url": RTSP}), 409)
        assert api.patch("/cameras/a", {"fps": 5}).status_code == 200
        assert api.delete("/cameras/b").status_code == 204
        assert api.post("/cameras", {"id": "c", "url": RTSP}).status_code == 201
