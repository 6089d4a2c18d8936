"""The bus and the store on a real Redis Cluster of three nodes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from lookout.service.core.clock import Moment
from lookout.service.core.messages import Alert, AlertEvent, CameraEvent, FrameId, Gap
from lookout.service.ownership.leases import Leases
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis.cluster import Cluster
from lookout.service.storage.redis.connect import UNAVAILABLE, connect
from lookout.service.storage.store.snapshots import Snapshot
from lookout.service.storage.store.store import Store
from tests.clips import write_clip
from tests.e2e.service_process import running_service
from tests.owning import add_frames, add_scores, own
from tests.redis_cluster import Nodes, running_cluster
from tests.service.api_server import camera, frame, heat, score
from tests.tiny import write_tiny
from tests.waiting import wait_until

CAMERAS = ("gate", "hall", "pier")  # one on each node


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as running:
        assert {running.of(name) for name in CAMERAS} == set(running.ports)
        yield running


@pytest.fixture
def client(nodes: Nodes) -> Iterator[redis.Redis]:
    made = connect(nodes.url)
    made.flushall()
    yield made
    made.close()


def test_frames_scores_and_gaps_of_cameras_on_every_node(client: redis.Redis) -> None:
    bus = Bus(client, frames_kept=256, scores_kept=1000, heats_kept=256)
    add_frames(bus, *(frame(name, seq) for name in CAMERAS for seq in range(3)))
    add_scores(bus, [(score(name, seq), heat(name, seq)) for seq in range(2) for name in CAMERAS])
    bus.add_outcomes(
        [(own(bus, name, "inference"), Gap(name, 1000, 2, 1, "lag")) for name in CAMERAS]
    )
    everything = dict.fromkeys(CAMERAS)
    assert {
        name: len(found) for name, found in bus.frames_after(everything, 9).items()
    } == dict.fromkeys(CAMERAS, 3)
    assert {
        name: len(found) for name, found in bus.scores_after(everything, 9).items()
    } == dict.fromkeys(CAMERAS, 2)
    assert {name: seen.cursor for name, seen in bus.overview(CAMERAS).items()} == dict.fromkeys(
        CAMERAS, FrameId(1000, 2)
    )
    assert bus.frame_times("gate", None, 9)[-1] == (FrameId(1000, 2), Moment(1000.2))
    assert bus.heartbeat("ingest", "one", 1.0) == {"one": 1.0}
    assert bus.workers("ingest") == {"one": 1.0}
    bus.forget("gate")
    assert bus.newest_frame_id("gate") is None


def test_everything_that_the_store_does(client: redis.Redis) -> None:
    store = Store(client, alerts_kept=1)
    for name in CAMERAS:
        store.add_camera(camera(name))
    store.replace_camera(camera("gate", revision=2), camera("gate"))
    assert store.cameras()["gate"].revision == 2
    assert store.begin_session("gate", 1.0, 2) == 1000
    epoch, _ = store.begin_ownership("gate")
    assert store.save_snapshot("gate", epoch, Snapshot(FrameId(1000, 1), {}))
    store.forget_snapshot("gate")
    assert store.snapshot("gate") is None
    alerts = [
        Alert(f"gate:1000-{seq}", "gate", "open", 1000.0 + seq, None, 0.5, 0.9, 1001.0)
        for seq in (1, 2)
    ]
    store.save_alerting("gate", 0, {}, [AlertEvent("new", alert) for alert in alerts])
    assert store.drop_old_alerts("gate") == ["gate:1000-1"]
    assert store.open_alerts("gate") == alerts[1:]
    assert [
        event.alert for _, event in store.alert_events_after(dict.fromkeys(CAMERAS), 9)["gate"]
    ] == alerts
    store.add_camera_event(CameraEvent("tampered", "gate", 1000, 1, 1.0, "dark"))
    store.remove_camera("gate")
    assert store.alerted_cameras() == ["gate"]
    assert store.address.startswith("127.0.0.1:")


def test_a_node_that_was_started_anew_is_a_bus_that_was(nodes: Nodes, client: redis.Redis) -> None:
    one, two = (Leases(client, "inference", 60.0) for _ in range(2))
    assert (one.poll(), two.poll()) == ((set(), False), (set(), False))
    assert all(one.take(name) for name in CAMERAS)
    nodes.restart(nodes.of("hall"))
    assert (one.poll(), two.poll()) == ((set(), True), (set(), True))
    assert not two.take("hall")  # for one lease it is its owner's
    assert [one.renew(name) for name in CAMERAS] == ["held", "regained", "held"]


def test_a_cluster_that_is_away_is_told_as_a_server_is(nodes: Nodes) -> None:
    nowhere = connect(nodes.url.replace(str(nodes.ports[0]), "1"))
    assert isinstance(nowhere, Cluster)
    with pytest.raises(UNAVAILABLE):
        nowhere.ping()
    wrong = connect(nodes.url.replace("://", "://:secret@"))
    with pytest.raises(redis.AuthenticationError):
        wrong.ping()


@pytest.mark.slow
def test_the_whole_line_outlives_the_loss_of_a_node(
    nodes: Nodes, client: redis.Redis, tmp_path: Path
) -> None:
    for folder in ("models", "media"):
        (tmp_path / folder).mkdir()
    write_tiny(tmp_path / "models")
    write_clip(tmp_path / "media" / "walk.mp4", range(600), size_px=(64, 48))
    settings: dict[str, object] = {
        "models_dir": tmp_path / "models",
        "media_dir": tmp_path / "media",
        "threads": 1,
    }
    with running_service(tmp_path / "data", bus_url=nodes.url, **settings) as service:
        for name in CAMERAS:
            service.add(
                id=name,
                url=str(tmp_path / "media" / "walk.mp4"),
                calibration="model",
                pace="realtime",
            )

        def goes_on(name: str, since: float) -> bool:
            scores = (
                service.http.get(f"/cameras/{name}/scores", params={"limit": 1})
                .json()
                .get("items", [])
            )
            return bool(scores) and scores[0]["captured_at"] > since

        wait_until(
            lambda: all(goes_on(name, 0.0) for name in CAMERAS), "scores of every camera", 30
        )
        nodes.restart(nodes.of("hall"))
        now = time.time()
        wait_until(
            lambda: all(goes_on(name, now) for name in CAMERAS), "newer scores of every camera", 30
        )
