"""Logins end on the server: one by one, all at once, at every API process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed, InvalidStatus

from lookout.service.api.auth import guesses
from lookout.service.api.auth.guesses import AT_ONCE
from lookout.service.api.auth.token import COOKIE
from lookout.service.core.errors import SettingsError
from lookout.service.core.settings import load_settings
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.store import logins as stored
from lookout.service.storage.store.store import Store
from tests.conftest import Urls
from tests.service.api_server import (
    BEARER,
    TOKEN,
    Apart,
    Api,
    apart,
    is_problem,
    log_in,
    running_api,
    settings_for,
)
from tests.waiting import wait_until

__all__ = ["apart"]

WRONG = {"Authorization": "Bearer another-token-of-the-same-length"}


@pytest.fixture
def api(urls: Urls, tmp_path: Path) -> Iterator[Api]:
    with running_api(settings_for(urls, tmp_path, token=SecretStr(TOKEN))) as running:
        yield running


def status(api: Api, login: dict[str, str]) -> int:
    return api.http.get("/api/v1/cameras", headers=login).status_code


def test_a_copied_cookie_ends_with_the_login(api: Api, tmp_path: Path, urls: Urls) -> None:
    first, second = log_in(api), log_in(api)
    with running_api(settings_for(urls, tmp_path, token=SecretStr(TOKEN))) as other:
        assert [status(each, first) for each in (api, other)] == [200, 200]
        assert api.http.delete("/api/v1/session", headers=first).status_code == 204
        assert [status(api, first), status(api, second)] == [401, 200]
        wait_until(lambda: status(other, first) == 401, "the other process knows")
        assert status(other, second) == 200
        with pytest.raises(InvalidStatus, match="401"):
            api.listen(additional_headers=first)
    with running_api(api.settings) as restarted:
        assert [status(restarted, first), status(restarted, second)] == [401, 200]


def test_all_logins_end_at_once(api: Api) -> None:
    logins = [log_in(api) for _ in range(3)]
    assert is_problem(api.http.delete("/api/v1/logins"), 401)
    assert {status(api, login) for login in logins} == {200}
    assert api.http.delete("/api/v1/logins", headers=logins[0]).status_code == 204
    assert {status(api, login) for login in logins} == {401}
    assert status(api, BEARER) == 200
    assert status(api, log_in(api)) == 200


def test_the_sockets_of_an_ended_login_are_closed(api: Api, tmp_path: Path, urls: Urls) -> None:
    first, second = log_in(api), log_in(api)
    with (
        running_api(settings_for(urls, tmp_path, token=SecretStr(TOKEN))) as other,
        other.listen(additional_headers=first) as ended,
        api.listen(additional_headers=second) as kept,
        api.listen(additional_headers=BEARER) as program,
    ):
        assert api.http.delete("/api/v1/session", headers=first).status_code == 204
        with pytest.raises(ConnectionClosed) as closed:
            ended.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "the login has ended")
        assert api.http.delete("/api/v1/logins", headers=second).status_code == 204
        with pytest.raises(ConnectionClosed):
            kept.recv(timeout=10)
        with pytest.raises(TimeoutError):
            program.recv(timeout=2.5)


def test_a_list_that_is_full_ends_all_logins(
    api: Api, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    monkeypatch.setattr(stored, "MAX_ENDED", 3)
    kept = log_in(api)
    ended = [log_in(api) for _ in range(4)]
    for login in ended:
        assert status(api, kept) == 200
        api.http.delete("/api/v1/session", headers=login)
    assert {status(api, login) for login in (kept, *ended)} == {401}
    assert store.ended_logins()[1] == frozenset()


def test_what_has_expired_is_forgotten(store: Store, urls: Urls) -> None:
    store.end_login("0:old", 1000.0)
    store.end_login("0:new", 4e9)
    assert store.ended_logins() == ("0", frozenset({"0:new"}))
    client = connect(urls.store)
    assert client.zcard("ended:{logins}") == 1
    client.close()


def test_a_login_that_cannot_be_ended_is_said(apart: Apart) -> None:
    settings = apart.settings.model_copy(update={"token": SecretStr(TOKEN)})
    with running_api(settings) as api:
        login = log_in(api)
        apart.store_refuses(True)
        answer = api.http.delete("/api/v1/session", headers=login)
        assert "try again" in is_problem(answer, 503)
        assert "set-cookie" not in answer.headers
        apart.store_refuses(False)
        assert api.http.delete("/api/v1/session", headers=login).status_code == 204
        assert status(api, login) == 401


def test_without_a_store_no_cookie_is_believed(urls: Urls, tmp_path: Path) -> None:
    settings = settings_for(urls, tmp_path, token=SecretStr(TOKEN))
    with running_api(settings) as api:
        login = log_in(api)
    away = Urls(urls.bus, f"unix://{tmp_path}/away.sock")
    with running_api(settings_for(away, tmp_path, token=SecretStr(TOKEN))) as api:
        assert is_problem(api.http.get("/api/v1/alert-rule", headers=login), 503)
        assert api.http.get("/api/v1/alert-rule", headers=BEARER).status_code == 200


def test_guesses_are_bounded_by_rest_cookie_and_websocket(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guesses, "AT_ONCE", 6)
    monkeypatch.setattr(guesses, "ONE_EVERY_S", 1e6)
    forged = {"Cookie": f"{COOKIE}=0:x.y.z"}
    statuses = []
    for number in range(4):
        spoofed = {"X-Forwarded-For": f"10.0.0.{number}"}
        statuses.append(api.http.get("/api/v1/cameras", headers={**WRONG, **spoofed}).status_code)
        statuses.append(api.http.get("/api/v1/cameras", headers={**forged, **spoofed}).status_code)
        answer = api.http.post("/api/v1/session", json={"token": f"guess-{number}"})
        statuses.append(answer.status_code)
    assert statuses == [401] * 6 + [429] * 6
    for headers in (WRONG, forged):
        with pytest.raises(InvalidStatus, match="429"):
            api.listen(additional_headers=headers)
    refused = api.http.get("/api/v1/cameras", headers=WRONG)
    assert "too many" in is_problem(refused, 429)
    assert refused.headers["retry-after"]
    api.http.get("/healthz").raise_for_status()


def test_the_number_of_limited_guesses_is_told(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "ONE_EVERY_S", 1e6)  # none comes back while this one runs

    def limited() -> float:
        text = api.http.get("/metrics", headers=BEARER).text
        name = "lookout_guesses_limited_total "
        (line,) = [line for line in text.splitlines() if line.startswith(name)]
        return float(line.removeprefix(name))

    assert limited() == 0
    for _ in range(AT_ONCE + 3):
        api.http.get("/api/v1/cameras", headers={"Cookie": f"{COOKIE}=x"})
    assert limited() == 3  # and the right token, seen here before, is not locked out


def test_a_trusted_proxy_names_the_client(
    urls: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guesses, "AT_ONCE", 1)
    monkeypatch.setattr(guesses, "ONE_EVERY_S", 1e6)
    settings = settings_for(
        urls, tmp_path, token=SecretStr(TOKEN), trusted_proxies="127.0.0.0/8, ::1"
    )
    with running_api(settings) as api:
        for client, expected in (("10.0.0.1", 401), ("10.0.0.1", 429), ("10.0.0.2", 401)):
            headers = {**WRONG, "X-Forwarded-For": client}
            assert api.http.get("/api/v1/cameras", headers=headers).status_code == expected


@pytest.mark.parametrize("wrong", ["proxy.example", "10.0.0.0/40", "*", "10.0.0.1 10.0.0.2"])
def test_a_trusted_proxy_is_an_address(wrong: str) -> None:
    with pytest.raises(SettingsError, match="LOOKOUT_TRUSTED_PROXIES"):
        load_settings(trusted_proxies=wrong)
