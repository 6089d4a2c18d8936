"""The transport of a camera's pictures, and its troubles of the last hour, over HTTP."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from lookout.service.core.messages import IngestReport
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests.service.api_server import RTSP, Api, api, is_problem, one_api

__all__ = ["api", "one_api"]

RTSPS = RTSP.replace("rtsp://", "rtsps://")
ONLY_RTSP = "transport udp is for rtsp:// alone"


def test_a_camera_is_tcp_unless_udp_is_asked_for(api: Api, store: Store) -> None:
    assert api.post("/cameras", {"id": "one", "url": RTSP}).json()["transport"] == "tcp"
    assert (
        api.post("/cameras", {"id": "two", "url": RTSP, "transport": "udp"}).json()["transport"]
        == "udp"
    )
    assert store.camera("two").transport == "udp"
    assert api.patch("/cameras/one", {"transport": "udp"}).json()["transport"] == "udp"
    assert store.camera("one").transport == "udp"


@pytest.mark.parametrize("transport", ["UDP", "http", "", None, 5])
def test_there_is_no_other_transport(api: Api, transport: object) -> None:
    is_problem(api.post("/cameras", {"url": RTSP, "transport": transport}), 422)
    api.post("/cameras", {"id": "gate", "url": RTSP})
    is_problem(api.patch("/cameras/gate", {"transport": transport}), 422)


def test_udp_is_refused_where_it_cannot_be(api: Api, tmp_path: Path) -> None:
    clip = api.settings.media_dir / "clip.mp4"
    clip.touch()
    for url in (RTSPS, str(clip), f"file://{clip}"):
        assert ONLY_RTSP in is_problem(api.post("/cameras", {"url": url, "transport": "udp"}), 422)
    api.post("/cameras", {"id": "gate", "url": RTSP, "transport": "udp"})
    assert ONLY_RTSP in is_problem(api.patch("/cameras/gate", {"url": RTSPS}), 422)
    assert (
        api.patch("/cameras/gate", {"url": RTSPS, "transport": "tcp"}).json()["transport"] == "tcp"
    )
    assert ONLY_RTSP in is_problem(api.patch("/cameras/gate", {"transport": "udp"}), 422)


def test_the_last_hours_troubles_are_shown(api: Api, bus: Bus, store: Store) -> None:
    added = api.post("/cameras", {"id": "gate", "url": RTSP}).json()
    assert (added["reconnects_last_hour"], added["stalls_last_hour"], added["corrupt"]) == (0, 0, 0)
    trouble: dict[str, Any] = {
        "last_error": "silent for 8 s",
        "reconnects_last_hour": 4,
        "stalls_last_hour": 2,
    }
    revision = store.camera("gate").revision
    bus.report_ingest("gate", IngestReport("stalled", time.time(), revision, **trouble))
    bus.count("gate", "corrupt", 9)
    seen = api.get("/cameras/gate").json()
    assert (seen["state"], seen["last_error"]) == ("stalled", "silent for 8 s")
    assert (seen["reconnects_last_hour"], seen["stalls_last_hour"], seen["corrupt"]) == (4, 2, 9)
