"""The audit: each change has a line with the name of its maker, and without what was sent."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from pydantic import SecretStr
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lookout.service.api.app import create_app
from lookout.service.api.audit import AuditTrail
from lookout.service.api.auth.access import API, LEAST_ROLES, LIVE, AccessMiddleware
from lookout.service.api.auth.token import Authenticator
from lookout.service.core.accounts import AuditLine, Identity
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis import keys
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.store import audit as stored
from lookout.service.storage.store.store import Store
from tests.conftest import Urls
from tests.service.api_server import (
    BEARER,
    RTSP,
    TOKEN,
    Apart,
    Api,
    apart,
    is_problem,
    running_api,
    settings_for,
    write_checkpoint,
)

__all__ = ["apart"]

PASSWORD = "four-words-of-a-poem"  # noqa: S105
SECRETS = (PASSWORD, "hunter2", "a-secret-of-both-sides", TOKEN)


@pytest.fixture
def api(urls: Urls, tmp_path: Path) -> Iterator[Api]:
    settings = settings_for(urls, tmp_path, token=SecretStr(TOKEN))
    write_checkpoint(settings, "square")
    with running_api(settings) as running:
        yield running


def lines(api: Api, **params: Any) -> list[dict[str, Any]]:
    answer = api.http.get("/api/v1/audit", headers=BEARER, params=params)
    assert answer.status_code == 200, answer.text
    assert not any(secret in answer.text for secret in SECRETS)
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def change(api: Api, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
    return api.http.request(
        method, f"/api/v1{path}", json=body, headers={**BEARER, **headers} if body else BEARER
    )


def test_every_change_has_a_line_and_nothing_else_has(api: Api) -> None:
    sink = {"id": "pager", "url": "https://hooks.example/x", "secret": SECRETS[2]}
    user = {"name": "anna", "password": PASSWORD, "role": "operator", "cameras": ["gate"]}
    assert change(api, "POST", "/cameras", {"id": "gate", "url": RTSP}).status_code == 201
    assert change(api, "PATCH", "/cameras/gate", {"enabled": False}).status_code == 200
    assert change(api, "POST", "/sinks", sink).status_code == 201
    assert change(api, "POST", "/users", user).status_code == 201
    assert change(api, "PATCH", "/cameras/gate", {"fps": -1}).status_code == 422
    assert change(api, "DELETE", "/cameras/nobody").status_code == 404
    assert change(api, "GET", "/cameras").status_code == 200
    credentials = {"user": "anna", "password": PASSWORD}
    login = httpx.post(f"http://127.0.0.1:{api.port}/api/v1/session", json=credentials)
    wrong = {**credentials, "password": "five-words-of-a-poem"}
    assert api.http.post("/api/v1/session", json=wrong).status_code == 401
    cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in login.cookies.items())}
    acknowledged = api.http.post("/api/v1/acknowledgements", json={}, headers=cookie)
    assert acknowledged.status_code == 200
    assert api.http.delete("/api/v1/cameras/gate", headers=cookie).status_code == 403
    told = [(line["who"], line["action"], line["target"]) for line in lines(api)]
    assert told == [
        ("anna", "POST /acknowledgements", "/api/v1/acknowledgements"),
        ("anna", "POST /session", "/api/v1/session"),
        ("token", "POST /users", "/api/v1/users/anna"),
        ("token", "POST /sinks", "/api/v1/sinks/pager"),
        ("token", "PATCH /cameras/{camera}", "/api/v1/cameras/gate"),
        ("token", "POST /cameras", "/api/v1/cameras/gate"),
    ]
    newest, *_, first = lines(api)
    assert (newest["role"], first["role"]) == ("operator", "admin")
    assert first["fields"] == ["id", "url"]
    assert {line["address"] for line in lines(api)} == {"127.0.0.1"}
    is_problem(api.http.get("/api/v1/audit", headers=cookie), 403)
    is_problem(api.http.get("/api/v1/audit"), 401)


def test_the_audit_comes_in_pages_and_is_bounded(
    api: Api, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "LINES_KEPT", 7)
    for number in range(10):
        line = AuditLine(float(number), "anna", "admin", "POST /x", f"/{number}", (), "10.0.0.9")
        store.add_audit_line(line)
    targets = []
    params: dict[str, Any] = {"limit": 3}
    while True:
        page = api.http.get("/api/v1/audit", headers=BEARER, params=params).json()
        targets += [line["target"] for line in page["items"]]
        if page["next"] is None:
            break
        params["cursor"] = page["next"]
    assert targets == [f"/{number}" for number in range(9, 2, -1)]
    for cursor in ("0-0", "0-1"):
        assert lines(api, cursor=cursor) == []
    for cursor in ("x", "", "1", "-"):
        answer = api.http.get("/api/v1/audit", headers=BEARER, params={"cursor": cursor})
        assert "cursor" in is_problem(answer, 422)


def test_a_broken_line_is_left_out(api: Api, urls: Urls) -> None:
    client = connect(urls.store)
    for field, text in (("line", "{"), ("other", "1"), ("line", json.dumps({"at": "x"}))):
        client.xadd(keys.AUDIT, {field: text})
    change(api, "POST", "/acknowledgements", {"camera": "gate"})
    client.close()
    assert [line["action"] for line in lines(api)] == ["POST /acknowledgements"]


def test_a_line_that_the_store_does_not_take_is_counted(apart: Apart) -> None:
    settings = apart.settings.model_copy(update={"token": SecretStr(TOKEN)})
    with running_api(settings) as api:
        apart.store_refuses(True)  # there is no alert: the change itself writes nothing
        made = change(api, "POST", "/acknowledgements", {"camera": "gate"})
        assert made.status_code == 200
        shown = api.http.get("/metrics", headers=BEARER).text
        assert "lookout_audit_lost_total 1.0" in shown
        apart.store_refuses(False)
        assert lines(api) == []


def test_every_action_of_a_line_is_an_endpoint(api: Api) -> None:
    change(api, "POST", "/cameras", {"id": "gate", "url": RTSP})
    assert {line["action"] for line in lines(api)} <= LEAST_ROLES.keys()


class AdminAlways:
    """Takes every request for one of an admin."""

    def identify(self, _connection: HTTPConnection) -> Identity:
        return Identity("anna", "admin", None)


def test_every_endpoint_that_changes_something_writes_a_line(
    urls: Urls, tmp_path: Path, bus: Bus, store: Store
) -> None:
    """The door of the real routes, before an app that does whatever it is asked."""
    routes = create_app(settings_for(urls, tmp_path), bus, store)

    async def changed(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(status_code=204)(scope, receive, send)

    auth = cast(Authenticator, AdminAlways())
    door = AccessMiddleware(changed, auth, AuditTrail(store), set())

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        await door({**scope, "app": routes}, receive, send)

    changes = [name for name in LEAST_ROLES if not name.startswith(("GET ", f"{LIVE} "))]
    assert len(changes) > 20
    requests = [re.sub("{[a-z]+}", "gate:1", name).split(" ") for name in changes]

    async def send_all() -> list[int]:
        transport = httpx.ASGITransport(asked)
        async with httpx.AsyncClient(transport=transport, base_url="http://lookout") as client:
            answers = [await client.request(method, API + path) for method, path in requests]
        return [answer.status_code for answer in answers]

    assert set(asyncio.run(send_all())) == {204}
    written = [line.action for line in store.audit_lines(100, None).values()]
    assert sorted(written) == sorted(changes)
