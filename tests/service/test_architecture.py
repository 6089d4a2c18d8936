"""Follow docs/architecture.md to add a sink and a metric, in a copy of the tree with real Redis."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import recipes

SERVERS = """
from pathlib import Path
from lookout.service.core.camera import Camera
from lookout.service.core.messages import Alert, AlertEvent, FrameId
from lookout.service.core.settings import Settings
from lookout.service.storage.connections import open_bus, open_store
from lookout.service.storage.redis.embedded import RedisServer

def check(bus, store, settings):
    gate = Camera(id="gate", url="/a.mp4", model="m", created_at=1.0, revision=1)
    store.add_camera(gate)
@

data = Path("data")
with RedisServer("bus", data) as bus, RedisServer("store", data) as store:
    settings = Settings(bus_url=bus.url, store_url=store.url, data_dir=data)
    check(open_bus(settings), open_store(settings), settings)
"""

SINK = """
    from lookout.service.alerting.deliveries import Delivery
    from lookout.service.alerting.sinks import open_sinks
    from lookout.service.ownership.leases import open_leases

    sink = next(sink for sink in open_sinks(settings) if sink.name == "lines")
    alert = Alert("gate:1000-8", "gate", "open", 1000.8, None, 0.5, 0.9, 1001.0)
    delivery = Delivery(sink, bus, store, open_leases(settings, "delivery"))
    assert delivery.deliver(AlertEvent("new", alert)) == "delivered"
    assert (data / "alerts.txt").read_text() == "new gate:1000-8\\n"
"""

METRIC = """
    from fastapi.testclient import TestClient
    from lookout.service.api.app import create_app

    bus.count("gate", "greetings", 3)
    with TestClient(create_app(settings, bus, store)) as client:
        text = client.get("/metrics", headers={"Host": "127.0.0.1"}).text
    assert 'lookout_greetings_total{camera="gate"} 3.0' in text
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return recipes.copy_tree(tmp_path)


def test_a_sink_is_added_by_a_file_and_an_entry(tree: Path) -> None:
    recipes.follow("Add a sink", tree)
    recipes.run(tree, "-c", SERVERS.replace("@", SINK))


@pytest.mark.wide
def test_a_metric_is_added_in_two_files(tree: Path) -> None:
    recipes.follow("Add a metric", tree)
    recipes.run(tree, "-c", SERVERS.replace("@", METRIC))
    recipes.run(tree, "-m", "deploy")
    assert "`lookout_greetings_total`" in (tree / "docs" / "metrics.md").read_text()
