"""Every endpoint against every role, with and without a scope."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed

from lookout.service.api.app import create_app
from lookout.service.api.auth.access import LEAST_ROLES, LIVE, OPEN, endpoints
from lookout.service.core.accounts import ROLES, Role
from lookout.service.core.jobs import LearningJob
from lookout.service.core.messages import Alert, AlertEvent
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests.conftest import Urls
from tests.service.api_server import (
    BEARER,
    TOKEN,
    Api,
    is_problem,
    next_of,
    received,
    running_api,
    settings_for,
    show,
    watch,
    write_checkpoint,
)

NAMES = {
    "alert": "{camera}:1000-0",
    "job": "{camera}:1",
    "sink": "pager",
    "letter": "x",
    "suppression": "x",
    "name": "scores.csv",
    "segment": "1000-0",
    "user": "nobody",
    "token": "nothing",
}
"""The parameters of a path; a camera's alert and job have its name."""

CAMERAS = ("gate", "yard")


@pytest.fixture(scope="module")
def locked(redis_urls: Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("access")
    settings = settings_for(redis_urls.emptied(), folder, token=SecretStr(TOKEN))
    with running_api(settings) as running:
        yield running


@pytest.fixture
def api(locked: Api, urls: Urls, store: Store, bus: Bus) -> Api:
    """An API with two cameras that have scores, an alert, a job and a checkpoint each."""
    fill(locked, store, bus)
    return locked


@pytest.fixture
def fresh(urls: Urls, tmp_path: Path, store: Store, bus: Bus) -> Iterator[Api]:
    """The same, of a server of its own: its live hub knows of no other test."""
    with running_api(settings_for(urls, tmp_path, token=SecretStr(TOKEN))) as running:
        fill(running, store, bus)
        yield running


def fill(api: Api, store: Store, bus: Bus) -> None:
    write_checkpoint(api.settings, "square")
    for name in CAMERAS:
        write_checkpoint(api.settings, f"{name}-1", provenance={"learned": {"camera": name}})
        watch(store, bus, name)
        show(bus, name, 0)
        put_alert(store, name, 0)
        store.add_job(LearningJob(name, "trained", 1.0, 1.0, 60.0, 60.0, "hand"))


@pytest.fixture(scope="module")
def app(redis_urls: Urls, tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """An app that is never started."""
    from lookout.service.storage.connections import open_bus, open_store

    settings = settings_for(redis_urls, tmp_path_factory.mktemp("app"))
    return create_app(settings, open_bus(settings), open_store(settings))


def put_alert(store: Store, name: str, seq: int) -> None:
    alert = Alert(f"{name}:1000-{seq}", name, "open", 1000.0, None, 0.5, 0.9, 1000.0)
    store.save_alerting(name, store.begin_alerting(name), {}, [AlertEvent("new", alert)])


def token_of(api: Api, role: Role, cameras: list[str] | None = None) -> dict[str, str]:
    """Return the header of a new API token."""
    name = f"{role}-{len(api.http.get('/api/v1/tokens', headers=BEARER).json()['items'])}"
    body = {"name": name, "role": role, "cameras": cameras}
    made = api.http.post("/api/v1/tokens", json=body, headers=BEARER)
    assert made.status_code == 201, made.text
    return {"Authorization": f"Bearer {made.json()['token']}"}


def ask(api: Api, endpoint: str, headers: dict[str, str], camera: str = "gate") -> httpx.Response:
    """Send the request of an endpoint, without a body."""
    method, _, path = endpoint.partition(" ")
    below = path.format(camera=camera, **{k: v.format(camera=camera) for k, v in NAMES.items()})
    root = "" if path == "/" else "/api/v1"
    with api.http.stream(method, f"{root}{below}", headers=headers) as answer:
        if answer.status_code != 200 or not below.endswith(".mjpeg"):  # which has no end
            answer.read()
        return answer


HTTP = [name for name in LEAST_ROLES if not name.startswith(LIVE)]


def test_every_endpoint_has_a_rule(app: FastAPI) -> None:
    """A route that is added needs a line in LEAST_ROLES; until then it is for admins."""
    assert {endpoint.name for endpoint in endpoints(app)} == LEAST_ROLES.keys() | OPEN


@pytest.mark.parametrize("endpoint", HTTP)
def test_a_role_that_is_too_small_is_told_which_one_is_needed(api: Api, endpoint: str) -> None:
    least = LEAST_ROLES[endpoint]
    for role in ROLES:
        for cameras in (None, ["gate"]):
            if role == "admin" and cameras:
                continue
            answer = ask(api, endpoint, token_of(api, role, cameras))
            if ROLES.index(role) < ROLES.index(least):
                assert f"the role '{least}'" in is_problem(answer, 403)
                assert f"has '{role}'" in answer.json()["detail"]
            else:
                assert answer.status_code not in (401, 403, 500), answer.text


@pytest.mark.parametrize("endpoint", HTTP)
def test_what_is_out_of_scope_is_not_there(api: Api, endpoint: str) -> None:
    least = LEAST_ROLES[endpoint]
    if least == "admin" or not any(part in endpoint for part in ("{camera}", "{alert}", "{job}")):
        return
    headers = token_of(api, least, ["gate"])
    there = is_problem(ask(api, endpoint, headers, "yard"), 404)
    nowhere = is_problem(ask(api, endpoint, headers, "nowhere"), 404)
    assert there.replace("yard", "nowhere") == nowhere
    assert nowhere.startswith("there is no ")


def test_lists_hold_what_is_in_scope(api: Api) -> None:
    headers = token_of(api, "operator", ["gate"])

    def get(path: str) -> Any:
        return api.http.get(f"/api/v1{path}", headers=headers).json()

    assert [one["id"] for one in get("/cameras")["items"]] == ["gate"]
    assert [one["camera"] for one in get("/alerts")["items"]] == ["gate"]
    assert [one["camera"] for one in get("/alerts?state=open")["items"]] == ["gate"]
    assert get("/alerts?camera=yard")["items"] == []
    assert [one["camera"] for one in get("/jobs")["items"]] == ["gate"]
    assert get("/jobs?camera=yard")["items"] == []
    assert {one["name"] for one in get("/models")["items"]} >= {"square", "gate-1"}
    assert "yard" not in json.dumps(get("/models"))
    summary = get("/summary")
    assert (summary["enabled"], summary["alerts"]) == (1, 1)
    assert [name for names in summary["cameras"].values() for name in names] == ["gate"]
    shown = api.http.get("/metrics", headers=headers).text
    assert 'camera="gate"' in shown
    assert "yard" not in shown
    assert get("/me") == {
        "name": get("/me")["name"],
        "role": "operator",
        "cameras": ["gate"],
        "by": "api_token",
        "is_user": False,
    }


def test_a_record_that_cannot_be_read_is_shown_in_scope_alone(api: Api, urls: Urls) -> None:
    from lookout.service.storage.redis import keys
    from lookout.service.storage.redis.connect import connect

    client = connect(urls.store)
    client.hset(keys.CAMERAS, "yard", "{")
    client.close()
    scoped = api.http.get("/api/v1/cameras", headers=token_of(api, "viewer", ["gate"])).json()
    assert scoped["unreadable"] == {}
    everything = api.http.get("/api/v1/cameras", headers=token_of(api, "viewer")).json()
    assert list(everything["unreadable"]) == ["yard"]


def test_alerts_out_of_scope_are_not_acknowledged(api: Api, store: Store) -> None:
    headers = token_of(api, "operator", ["gate"])
    for body in ({}, {"ids": ["yard:1000-0", "gate:1000-0"]}, {"camera": "yard"}):
        answer = api.http.post("/api/v1/acknowledgements", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
    (of_yard,) = store.alert_answers("yard", ["yard:1000-0"])
    (of_gate,) = store.alert_answers("gate", ["gate:1000-0"])
    assert of_yard.acknowledged_at is None
    assert of_gate.acknowledged_by.startswith("token operator-")


def test_an_operator_pauses_a_camera_and_changes_nothing_else(api: Api, store: Store) -> None:
    headers = token_of(api, "operator", ["gate"])

    def change(body: dict[str, Any]) -> httpx.Response:
        return api.http.patch("/api/v1/cameras/gate", json=body, headers=headers)

    assert change({"enabled": False}).status_code == 200
    assert not store.camera("gate").enabled
    for body in ({"fps": 5}, {"enabled": True, "fps": 5}, {"alert": {"threshold": 0.4}}):
        assert "the role 'admin'" in is_problem(change(body), 403)
    assert not store.camera("gate").enabled


# The WebSocket


@pytest.mark.parametrize("role", ROLES)
def test_every_role_listens(fresh: Api, store: Store, role: Role) -> None:
    with fresh.listen(additional_headers=token_of(fresh, role)) as socket:
        put_alert(store, "yard", 1)
        while next_of(socket, "alert")["data"]["id"] != "yard:1000-1":
            pass


@pytest.mark.parametrize("query", ["", "?camera=gate"])
def test_nothing_out_of_scope_is_heard(fresh: Api, store: Store, bus: Bus, query: str) -> None:
    with fresh.listen(query, additional_headers=token_of(fresh, "viewer", ["gate"])) as socket:
        for seq in (1, 2):
            for name in ("yard", "gate"):  # the one out of scope first
                put_alert(store, name, seq)
                show(bus, name, seq)
        heard: dict[str, set[str]] = {"alert": set(), "score": set()}
        while not ("gate:1000-2" in heard["alert"] and "1000-2" in heard["score"]):
            message = received(socket)
            if message["type"] in heard:
                assert message["data"]["camera"] == "gate"
                heard[message["type"]].add(message["data"]["id"])


@pytest.mark.parametrize("query", ["?camera=yard", "?camera=gate&camera=yard"])
def test_a_camera_out_of_scope_cannot_be_listened_to(fresh: Api, query: str) -> None:
    with fresh.listen(query, additional_headers=token_of(fresh, "viewer", ["gate"])) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=5)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (
            1008,
            "there is no camera 'yard'",
        )
