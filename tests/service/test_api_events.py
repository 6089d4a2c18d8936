"""The events of a camera itself: listed newest first, and shown at the camera while they last."""

from __future__ import annotations

import time
from typing import Any

import pytest

from lookout.service.core.messages import CameraEvent, InferenceReport
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests.service.api_server import Api, api, is_problem, one_api, watch

__all__ = ["api", "one_api"]


def an_event(seq: int, kind: Any = "scene_change", camera: str = "gate") -> CameraEvent:
    return CameraEvent(kind, camera, 1000, seq, 1000 + seq / 10, "the picture became darker")


@pytest.fixture
def gate(api: Api, store: Store, bus: Bus) -> None:
    watch(store, bus, "gate")


def test_events_are_listed_newest_first(api: Api, store: Store, gate: None) -> None:
    assert api.get("/cameras/gate/events").json() == {"items": [], "next": None}
    for event in (an_event(5), an_event(105, "tampered"), an_event(7, camera="yard")):
        store.add_camera_event(event)
    assert api.get("/cameras/gate/events").json()["items"] == [
        {
            "kind": "tampered",
            "camera": "gate",
            "session": 1000,
            "seq": 105,
            "at": 1010.5,
            "detail": "the picture became darker",
        },
        {
            "kind": "scene_change",
            "camera": "gate",
            "session": 1000,
            "seq": 5,
            "at": 1000.5,
            "detail": "the picture became darker",
        },
    ]
    assert [item["seq"] for item in api.get("/cameras/gate/events", limit=1).json()["items"]] == [
        105
    ]


@pytest.mark.parametrize("limit", [0, 1001, "x"])
def test_wrong_questions_are_refused(api: Api, gate: None, limit: Any) -> None:
    assert "limit" in is_problem(api.get("/cameras/gate/events", limit=limit), 422)


def test_a_camera_that_is_not_there_has_no_events(api: Api, gate: None) -> None:
    assert "no camera" in is_problem(api.get("/cameras/nobody/events"), 404)


def test_the_events_go_with_their_camera(api: Api, store: Store, gate: None) -> None:
    store.add_camera_event(an_event(5))
    api.delete("/cameras/gate")
    api.post("/cameras", {"id": "gate", "url": "rtsp://h/"})
    assert api.get("/cameras/gate/events").json()["items"] == []


def test_a_camera_says_that_it_was_tampered_with(api: Api, bus: Bus, gate: None) -> None:
    assert api.get("/cameras/gate").json()["tampered"] is False
    bus.report_inference("gate", InferenceReport("online", time.time(), 1, tampered=True))
    assert api.get("/cameras/gate").json()["tampered"] is True
    bus.report_inference(
        "gate", InferenceReport("online", time.time(), 99, tampered=True)
    )  # of another revision: a leftover
    assert api.get("/cameras/gate").json()["tampered"] is False


def test_the_schema_holds_an_example(api: Api) -> None:
    schema = api.get("/openapi.json").json()
    assert "/api/v1/cameras/{camera}/events" in schema["paths"]
    (example,) = schema["components"]["schemas"]["EventView"]["examples"]
    assert example["kind"] == "scene_change"
