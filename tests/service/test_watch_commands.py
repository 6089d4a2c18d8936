"""`lookout status|cameras|alerts` against a real API."""

from __future__ import annotations

import json

from lookout.service.cli.watch import one_line
from lookout.service.core.messages import Alert, AlertEvent
from lookout.service.storage.store.store import Store
from tests.cli import lookout
from tests.service.api_server import Api, api, camera, one_api
from tests.waiting import wait_until

__all__ = ["api", "one_api"]


def address(api: Api) -> str:
    return f"http://127.0.0.1:{api.port}"


def open_alert(store: Store, name: str, at: float) -> None:
    alert = Alert(f"{name}:1000-0", name, "open", at, None, 0.5, 0.9, at)
    store.save_alerting(name, store.begin_alerting(name), {}, [AlertEvent("new", alert)])


def test_cameras_are_listed(api: Api, store: Store) -> None:
    store.add_camera(camera("gate"))
    store.add_camera(camera("yard", enabled=False))
    lines = lookout("cameras", "--url", address(api)).out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["gate", "yard"]
    assert all("square" in line for line in lines)
    said = lookout("cameras", "--json", "--url", address(api)).out
    assert [one["id"] for one in json.loads(said)["items"]] == ["gate", "yard"]
    assert "hunter2" not in said


def test_status_is_the_summary_and_its_exit_code(api: Api, store: Store) -> None:
    wait_until(lambda: api.get("/summary").json()["enabled"] == 0, "a summary of no camera")
    assert lookout("status", "--url", address(api)).out == "no camera is watched\n"
    store.add_camera(camera("gate"))
    open_alert(store, "gate", 1000.0)
    wait_until(lambda: api.get("/summary").json()["alerts"] == 1, "a summary of the alert")
    said = lookout("status", "--json", "--url", address(api), expect=6).out
    assert json.loads(said)["level"] == "bad"
    assert "1 alert" in lookout("status", "--url", address(api), expect=6).out


def test_alerts_are_listed_newest_first_and_by_camera(api: Api, store: Store) -> None:
    for at, name in ((1000.0, "gate"), (1060.0, "yard")):
        store.add_camera(camera(name))
        open_alert(store, name, at)
    lines = lookout("alerts", "--url", address(api)).out.splitlines()
    assert len(lines) == 2
    assert lines[0] == "1970-01-01T00:17:40+00:00 yard: anomaly, open, peak 0.900"
    found = json.loads(lookout("alerts", "--camera", "gate", "--json", "--url", address(api)).out)
    assert [one["camera"] for one in found["items"]] == ["gate"]
    assert len(lookout("alerts", "--limit", "1", "--url", address(api)).out.splitlines()) == 1


def test_what_refuses_is_one_line(api: Api, store: Store) -> None:
    for command in ("status", "cameras", "alerts"):
        nowhere = lookout(command, "--url", "http://127.0.0.1:9", expect=1).one_line()
        assert "there is no API at http://127.0.0.1:9" in nowhere
    stranger = lookout("alerts", "--camera", "nobody", "--url", address(api), expect=1).one_line()
    assert "nobody" in stranger
    store.add_camera(camera("gate"))
    assert lookout("alerts", "--camera", "gate", "--url", address(api)).out == ""


def test_control_characters_of_a_camera_are_not_printed() -> None:
    assert one_line("a\x1b[2J\nb\r  c") == "a [2J b c"
