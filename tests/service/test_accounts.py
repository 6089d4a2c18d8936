"""Users, their passwords and logins, and API tokens."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed

from lookout.service.api.auth import guesses
from lookout.service.api.auth.token import COOKIE
from lookout.service.core import accounts as accounts_module
from lookout.service.storage.redis import keys
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.store import accounts as stored
from lookout.service.storage.store.store import Store
from tests.cli import lookout
from tests.conftest import Urls, with_wide_forms
from tests.service.api_server import (
    BEARER,
    TOKEN,
    Apart,
    Api,
    apart,
    is_problem,
    running_api,
    settings_for,
)
from tests.waiting import wait_until

__all__ = ["apart"]

PASSWORD = "four-words-of-a-poem"  # noqa: S105
OTHER = "four-words-of-another"


@pytest.fixture(scope="module")
def locked(redis_urls: Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("accounts")
    settings = settings_for(redis_urls.emptied(), folder, token=SecretStr(TOKEN))
    with running_api(settings) as running:
        yield running


@pytest.fixture
def api(locked: Api, urls: Urls) -> Api:
    """The API with LOOKOUT_TOKEN and an empty store."""
    locked.http.cookies.clear()
    return locked


@pytest.fixture
def opened(urls: Urls, tmp_path: Path) -> Iterator[Api]:
    """An API without LOOKOUT_TOKEN."""
    with running_api(settings_for(urls, tmp_path)) as running:
        yield running


def add_user(
    api: Api, name: str, role: str = "viewer", headers: dict[str, str] = BEARER, **more: Any
) -> httpx.Response:
    body = {"name": name, "password": PASSWORD, "role": role, **more}
    return api.http.post("/api/v1/users", json=body, headers=headers)


def log_in(api: Api, name: str, password: str = PASSWORD) -> dict[str, str]:
    """Return the header of a new login's cookie; empty where it is refused."""
    answer = httpx.post(
        f"http://127.0.0.1:{api.port}/api/v1/session", json={"user": name, "password": password}
    )
    if answer.status_code != 204:
        return {}
    return {"Cookie": f"{COOKIE}={answer.cookies[COOKIE]}"}


def me(api: Api, headers: dict[str, str]) -> httpx.Response:
    return api.http.get("/api/v1/me", headers=headers)


@pytest.mark.parametrize("name", ["anna", "a.b_c@d.example-1"])
def test_a_user_logs_in_by_name_and_password(api: Api, name: str) -> None:
    made = add_user(api, name, "operator", cameras=["gate"])
    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"/api/v1/users/{name}"
    assert made.json()["cameras"] == ["gate"]
    login = log_in(api, name)
    shown = me(api, login).json()
    assert shown == {
        "name": name,
        "role": "operator",
        "cameras": ["gate"],
        "by": "password",
        "is_user": True,
    }
    assert api.http.delete("/api/v1/session", headers=login).status_code == 204
    assert me(api, login).status_code == 401


@pytest.mark.parametrize(("name", "password"), [("anna", OTHER), ("nobody", PASSWORD)])
def test_a_wrong_name_and_a_wrong_password_are_told_alike(
    api: Api, name: str, password: str
) -> None:
    add_user(api, "anna")
    body = {"user": name, "password": password}
    answer = api.http.post("/api/v1/session", json=body)
    assert is_problem(answer, 401) == "name or password is wrong"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "body",
    [
        {"user": "anna"},
        {"password": PASSWORD},
        {"token": TOKEN, "user": "anna", "password": PASSWORD},
        {"user": "anna", "password": None},
        {"user": ["anna"], "password": PASSWORD},
        {"user": "anna", "password": "x" * 300},
    ],
)
def test_half_a_login_is_told(api: Api, body: dict[str, Any]) -> None:
    answer = api.http.post("/api/v1/session", json=body)
    assert is_problem(answer, 422)
    assert PASSWORD not in answer.text


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"name": "two words"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": "token"}, "stands for"),
        ({"password": "short"}, "password"),
        ({"password": "x" * 257}, "password"),
        ({"role": "owner"}, "role"),
        ({"cameras": []}, "cameras"),
        ({"cameras": ["no camera"]}, "cameras"),
        ({"role": "admin", "cameras": ["gate"]}, "an admin sees every camera"),
        ({"more": 1}, "more"),
    ],
)
def test_a_user_that_cannot_be_is_told_why(
    api: Api, store: Store, wrong: dict[str, Any], reason: str
) -> None:
    body = {"name": "anna", "password": PASSWORD, "role": "viewer", **wrong}
    answer = api.http.post("/api/v1/users", json=body, headers=BEARER)
    assert reason in is_problem(answer, 422)
    assert body["password"] not in answer.text or len(body["password"]) < 6
    assert not store.accounts().has_users


def test_users_are_listed_changed_and_removed(api: Api) -> None:
    add_user(api, "anna", "operator", cameras=["gate"])
    assert "already" in is_problem(add_user(api, "anna"), 409)
    add_user(api, "bert")
    listed = api.http.get("/api/v1/users", headers=BEARER).json()
    assert [user["name"] for user in listed["items"]] == ["anna", "bert"]
    path = "/api/v1/users/anna"
    changed = api.http.patch(path, json={"cameras": None}, headers=BEARER)
    assert (changed.json()["role"], changed.json()["cameras"]) == ("operator", None)
    api.http.patch(path, json={"cameras": ["gate"]}, headers=BEARER)
    wrong = {"role": "admin", "cameras": ["gate"]}
    is_problem(api.http.patch(path, json=wrong, headers=BEARER), 422)
    promoted = api.http.patch(path, json={"role": "admin"}, headers=BEARER).json()
    assert (promoted["role"], promoted["cameras"]) == ("admin", None)
    assert api.http.get(path, headers=BEARER).json() == promoted
    assert api.http.delete(path, headers=BEARER).status_code == 204
    for method in ("GET", "DELETE"):
        assert "there is no user" in is_problem(api.http.request(method, path, headers=BEARER), 404)
    is_problem(api.http.patch(path, json={"role": "viewer"}, headers=BEARER), 404)


def test_a_change_of_a_user_holds_at_once_and_at_every_process(
    api: Api, urls: Urls, tmp_path: Path
) -> None:
    add_user(api, "anna", "admin")
    login = log_in(api, "anna")
    with running_api(settings_for(urls, tmp_path, token=SecretStr(TOKEN))) as other:
        assert me(other, login).json()["role"] == "admin"
        changed = api.http.patch("/api/v1/users/anna", json={"role": "viewer"}, headers=login)
        assert changed.status_code == 200
        assert me(api, login).json()["role"] == "viewer"
        wait_until(lambda: me(other, login).json()["role"] == "viewer", "the other process knows")
        is_problem(api.http.get("/api/v1/users", headers=login), 403)
        api.http.delete("/api/v1/users/anna", headers=BEARER)
        assert me(api, login).status_code == 401
        wait_until(lambda: me(other, login).status_code == 401, "the other process knows")
        add_user(api, "anna")  # another one of the same name
        assert me(api, login).status_code == 401


def test_a_new_password_ends_the_logins(api: Api) -> None:
    add_user(api, "anna")
    add_user(api, "bert")
    first, second = log_in(api, "anna"), log_in(api, "anna")
    of_bert = log_in(api, "bert")
    wrong = {"current_password": OTHER, "password": OTHER}
    answer = api.http.patch("/api/v1/me", json=wrong, headers=first)
    assert "current_password" in is_problem(answer, 401)
    right = {"current_password": PASSWORD, "password": OTHER}
    assert api.http.patch("/api/v1/me", json=right, headers=first).status_code == 204
    assert [me(api, one).status_code for one in (first, second, of_bert)] == [401, 401, 200]
    assert (log_in(api, "anna"), bool(log_in(api, "anna", OTHER))) == ({}, True)
    login = log_in(api, "anna", OTHER)
    reset = api.http.patch("/api/v1/users/anna", json={"password": PASSWORD}, headers=BEARER)
    assert reset.status_code == 200
    assert me(api, login).status_code == 401
    is_problem(api.http.patch("/api/v1/me", json=right, headers=BEARER), 404)


def test_passwords_can_be_guessed_a_few_times_only(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also from an address that has shown the right token, and a right one is given back."""
    monkeypatch.setattr(guesses, "AT_ONCE", 4)
    monkeypatch.setattr(guesses, "ONE_EVERY_S", 1e6)
    with running_api(api.settings) as fresh:
        assert me(fresh, BEARER).status_code == 200
        add_user(fresh, "anna")
        for _ in range(6):
            assert log_in(fresh, "anna")
        body = {"user": "anna", "password": OTHER}
        tried = [fresh.http.post("/api/v1/session", json=body).status_code for _ in range(6)]
        assert tried == [401] * 4 + [429] * 2
        assert log_in(fresh, "anna") == {}
        assert me(fresh, BEARER).status_code == 200
        shown = fresh.http.get("/metrics", headers=BEARER).text
        assert "lookout_guesses_limited_total 3.0" in shown


def test_the_store_holds_no_password_and_no_token_and_no_line_shows_one(
    api: Api, urls: Urls, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    add_user(api, "anna")
    log_in(api, "anna")
    log_in(api, "anna", OTHER)
    body = {"name": "hub", "role": "viewer"}
    token = api.http.post("/api/v1/tokens", json=body, headers=BEARER).json()["token"]
    me(api, {"Authorization": f"Bearer {token}"})
    client = connect(urls.store)
    held = repr([client.hgetall(key) for key in (keys.USERS, keys.API_TOKENS)])
    client.close()
    assert "$argon2id$" in held
    lines = [
        record.getMessage()
        for record in caplog.records
        if not record.name.startswith(("httpcore", "httpx"))
    ]
    for secret in (PASSWORD, OTHER, token):
        assert secret not in held
        assert not any(secret in line for line in lines)


def test_users_are_bounded_in_number(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MAX_USERS", 2)
    monkeypatch.setattr(stored, "MAX_TOKENS", 1)
    assert [add_user(api, name).status_code for name in ("a", "b", "c")] == [201, 201, 409]
    statuses = [
        api.http.post(
            "/api/v1/tokens", json={"name": name, "role": "viewer"}, headers=BEARER
        ).status_code
        for name in ("a", "b")
    ]
    assert statuses == [201, 409]


# API tokens


def test_a_token_is_shown_once_and_revoked(api: Api) -> None:
    body = {"name": "hub", "role": "operator", "cameras": ["gate"], "days": 1}
    made = api.http.post("/api/v1/tokens", json=body, headers=BEARER)
    token = made.json()["token"]
    assert made.headers["cache-control"] == "no-store"
    bearer = {"Authorization": f"Bearer {token}"}
    assert me(api, bearer).json() == {
        "name": "token hub",
        "role": "operator",
        "cameras": ["gate"],
        "by": "api_token",
        "is_user": False,
    }
    listed = api.http.get("/api/v1/tokens", headers=BEARER)
    assert token not in listed.text
    (shown,) = listed.json()["items"]
    assert shown["created_by"] == "token"
    assert shown["expires_at"] - shown["created_at"] == pytest.approx(86_400)
    assert api.http.get("/api/v1/tokens/hub", headers=BEARER).json() == shown
    is_problem(api.http.post("/api/v1/session", json={"token": token}), 401)
    with api.listen(additional_headers=bearer) as socket:
        assert api.http.delete("/api/v1/tokens/hub", headers=BEARER).status_code == 204
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=10)
    assert is_problem(me(api, bearer), 401) == "the token is wrong"
    is_problem(api.http.delete("/api/v1/tokens/hub", headers=BEARER), 404)


def test_a_token_expires(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"name": "hub", "role": "viewer", "days": 2}
    token = api.http.post("/api/v1/tokens", json=body, headers=BEARER).json()["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert me(api, bearer).status_code == 200
    later = time.time() + 2 * 86_400 + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert me(api, bearer).status_code == 401


# The command line


def test_the_command_line_adds_lists_and_removes(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKOUT_TOKEN", TOKEN)
    url = f"http://127.0.0.1:{api.port}"
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    words = ("add", "anna", "--role", "operator", "--camera", "gate", "--password-stdin")
    assert lookout("users", *words, "--url", url).out == "anna is there, as operator\n"
    assert lookout("users", "list", "--url", url).out == "anna: operator, gate\n"
    assert me(api, log_in(api, "anna")).json()["cameras"] == ["gate"]
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    refused = lookout("users", "add", "bert", "--password-stdin", "--url", url, expect=1)
    assert "password" in refused.err
    assert "short\n" not in refused.err
    assert lookout("users", "remove", "anna", "--url", url).out == "anna is removed\n"
    again = lookout("users", "remove", "anna", "--url", url, expect=1)
    assert "there is no user 'anna'" in again.err
    monkeypatch.setenv("LOOKOUT_TOKEN", "another-token-of-the-same-length")
    assert "the token is wrong" in lookout("users", "list", "--url", url, expect=1).err
    nowhere = lookout("users", "list", "--url", "http://127.0.0.1:9", expect=1)
    assert "there is no API" in nowhere.err


# Without LOOKOUT_TOKEN


def test_the_first_user_closes_an_open_api(opened: Api) -> None:
    assert me(opened, {}).json() == {
        "name": "anybody",
        "role": "admin",
        "cameras": None,
        "by": "nothing",
        "is_user": False,
    }
    assert "nobody is asked" in is_problem(
        opened.post("/tokens", {"name": "hub", "role": "viewer"}), 409
    )
    assert "first user is an admin" in is_problem(add_user(opened, "bert"), 409)
    with opened.listen() as socket:
        assert add_user(opened, "anna", "admin").status_code == 201
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=10)
    assert opened.get("/session").json() == {"needed": True, "oidc": None}
    assert is_problem(opened.get("/cameras"), 401)
    login = log_in(opened, "anna")
    assert opened.http.get("/api/v1/cameras", headers=login).status_code == 200
    add_user(opened, "bert", headers=login)
    for change in ("PATCH", "DELETE"):
        answer = opened.http.request(
            change,
            "/api/v1/users/anna",
            headers={**login, "Content-Type": "application/json"},
            content=b'{"role": "viewer"}' if change == "PATCH" else None,
        )
        assert "the last admin" in is_problem(answer, 409)
    with running_api(opened.settings) as restarted:
        assert me(restarted, login).json()["name"] == "anna"
        assert is_problem(restarted.get("/cameras"), 401)


def test_an_open_api_stays_shut_until_the_store_says_that_it_has_no_user(
    apart: Apart, tmp_path: Path
) -> None:
    away = Urls(apart.settings.bus_url or "", f"unix://{tmp_path}/away.sock")
    with running_api(settings_for(away, tmp_path)) as api:
        assert is_problem(api.get("/alert-rule"), 503)
        api.http.get("/healthz").raise_for_status()


@pytest.mark.parametrize(
    "text",
    with_wide_forms(
        ["", "{", "[]", '{"name": "anna", "role": "admin"}'], {'{"name": "anna", "role": "admin"}'}
    ),
)
def test_a_user_that_cannot_be_read_opens_no_door(urls: Urls, tmp_path: Path, text: str) -> None:
    client = connect(urls.store)
    client.hset(keys.USERS, "anna", text)
    client.close()
    with running_api(settings_for(urls, tmp_path)) as api:
        assert is_problem(api.get("/cameras"), 401)
        assert log_in(api, "anna") == {}
    with running_api(settings_for(urls, tmp_path, token=SecretStr(TOKEN))) as api:
        listed = api.http.get("/api/v1/users", headers=BEARER).json()
        assert listed == {"items": [], "unreadable": ["anna"]}
        assert api.http.delete("/api/v1/users/anna", headers=BEARER).status_code == 204


def test_users_of_another_type_open_no_door(urls: Urls, tmp_path: Path) -> None:
    client = connect(urls.store)
    client.set(keys.USERS, "nonsense")
    client.close()
    with running_api(settings_for(urls, tmp_path)) as api:
        assert is_problem(api.get("/cameras"), 401)


def test_every_role_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    for role in accounts_module.ROLES:
        assert f"`{role}`" in text
