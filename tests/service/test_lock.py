"""Who shows the token gets in, by REST, WebSocket, page and metrics; nobody else does, anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from itsdangerous import TimestampSigner
from pydantic import SecretStr
from starlette.requests import HTTPConnection
from websockets.exceptions import InvalidStatus

from lookout.service.api import worker
from lookout.service.api.auth import guesses
from lookout.service.api.auth import token as token_module
from lookout.service.api.auth.token import COOKIE, LOGIN_S, Authenticator
from lookout.service.core.errors import UnprotectedError
from lookout.service.core.settings import Settings, check_protected
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests.conftest import Urls
from tests.service.api_server import (
    BEARER,
    RTSP,
    TOKEN,
    Api,
    is_problem,
    refusal,
    running_api,
    settings_for,
    watch,
    write_checkpoint,
)

WRONG = "another-token-of-the-same-length"


@pytest.fixture(scope="module")
def locked(redis_urls: Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    settings = settings_for(
        redis_urls.emptied(), tmp_path_factory.mktemp("locked"), token=SecretStr(TOKEN)
    )
    write_checkpoint(settings, "square")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(token_module, "WRONG_TOKEN_DELAY_S", 0.02)
        patched.setattr(guesses, "AT_ONCE", 10_000)  # tests/service/test_logins.py counts them
        with running_api(settings) as running:
            yield running


@pytest.fixture
def api(locked: Api, urls: Urls) -> Iterator[Api]:
    """The API, reached without token and cookie."""
    locked.http.cookies.clear()
    yield locked
    locked.http.cookies.clear()


def log_in(api: Api, **headers: str) -> httpx.Response:
    answer = api.http.post("/api/v1/session", json={"token": TOKEN}, headers=headers)
    assert answer.status_code == 204, answer.text
    return answer


def is_refused(answer: httpx.Response) -> str:
    assert answer.headers["www-authenticate"].startswith('Bearer realm="lookout"')
    return is_problem(answer, 401)


def status(api: Api, path: str) -> int:
    """Return the status of a path that is sent as it stands; httpx would normalise it."""
    with contextlib.closing(
        http.client.HTTPConnection("127.0.0.1", api.port, timeout=5)
    ) as connection:
        connection.request("GET", path)
        return connection.getresponse().status


# Nothing without the token


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/api/v1/healthz", "/api/v1/session", "/assets/page.css"]
)
def test_what_a_supervisor_asks_and_the_way_in_are_open(api: Api, path: str) -> None:
    assert api.http.get(path).status_code in (200, 503)


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "/api/v1/metrics",
        "/api/v1/cameras",
        "/api/v1/cameras/gate/heatmap",
        "/api/v1/alerts/gate:1-2/picture",
        "/api/v1/openapi.json",
        "/api/v1/nothing",
        "/nothing",
        "/healthz/",
        "/healthz/../metrics",
        "/HEALTHZ",
        "/assets",
        "/api/v1/session/",
        "/%6detrics",
        "/metrics?path=/healthz",
        f"/api/v1/cameras?token={TOKEN}",
        f"/api/v1/cameras?access_token={TOKEN}",
    ],
)
def test_nothing_else_is(api: Api, path: str) -> None:
    assert status(api, path) == 401
    assert "token is needed" in is_refused(api.http.get(path))


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "FOO"]
)
def test_whatever_the_method(api: Api, store: Store, bus: Bus, method: str) -> None:
    watch(store, bus, "gate")
    assert api.http.request(method, "/api/v1/cameras/gate").status_code == 401
    assert "gate" in store.cameras()


def test_the_folders_of_the_page_lead_nowhere_else(api: Api) -> None:
    for path in (
        "/assets/../api/v1/cameras",
        "/assets/%2e%2e/%2e%2e/metrics",
        "/uplot/../metrics",
        "/assets/../app.py",
    ):
        assert status(api, path) == 404
    for path in (
        "//healthz",
        "/healthz/../metrics",
        "/./metrics",
        "/x/../assets/page.css",
        "http://x/metrics",
        "*",
    ):
        assert status(api, path) == 401


def test_every_route_of_the_schema_asks(api: Api) -> None:
    """A new route needs the token too, without further code."""
    paths = api.http.get("/api/v1/openapi.json", headers=BEARER).json()["paths"]
    opened = {
        path
        for path in paths
        if api.http.get(path.replace("{", "").replace("}", "")).status_code != 401
    }
    oidc = {"/api/v1/session/oidc", "/api/v1/session/oidc/login"}
    assert opened == {"/healthz", "/readyz", "/api/v1/session"} | oidc


# The token


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_program_shows_the_token(api: Api, scheme: str) -> None:
    for path in ("/metrics", "/api/v1/cameras", "/api/v1/openapi.json", "/"):
        assert api.http.get(path, headers={"Authorization": f"{scheme} {TOKEN}"}).status_code == 200
    made = api.http.post("/api/v1/cameras", json={"id": "gate", "url": RTSP}, headers=BEARER)
    assert made.status_code == 201
    assert api.http.delete("/api/v1/cameras/gate", headers=BEARER).status_code == 204


@pytest.mark.parametrize(
    "token", [WRONG, TOKEN[:-1], f"{TOKEN}x", TOKEN.upper(), "ü", f"{TOKEN},{TOKEN}"]
)
def test_a_wrong_token_is_said_in_one_line(api: Api, token: str) -> None:
    answer = api.http.get("/api/v1/cameras", headers={b"Authorization": f"Bearer {token}".encode()})
    assert is_refused(answer) == "the token is wrong"
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert TOKEN not in answer.text


@pytest.mark.parametrize("credentials", ["", "Bearer", f"Basic {TOKEN}", TOKEN, f"Digest {TOKEN}"])
def test_anything_but_a_bearer_token_is_none(api: Api, credentials: str) -> None:
    assert is_refused(api.http.get("/api/v1/cameras", headers={"Authorization": credentials}))


def test_the_schema_tells_how_to_come_in(api: Api) -> None:
    document = api.http.get("/api/v1/openapi.json", headers=BEARER).json()
    schemes = document["components"]["securitySchemes"]
    assert {"HTTPBearer", "APIKeyCookie"} == set(schemes)
    assert (schemes["HTTPBearer"]["scheme"], schemes["APIKeyCookie"]["name"]) == ("bearer", COOKIE)
    for path in ("/api/v1/cameras", "/metrics"):
        asked = document["paths"][path]["get"]["security"]
        assert {name for either in asked for name in either} == {"HTTPBearer", "APIKeyCookie"}
        assert len(asked) == 2  # one of the two, not both
    assert "security" not in document["paths"]["/healthz"]["get"]


def test_wrong_tokens_wait_a_bounded_number_of_them_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(token_module, "WRONG_TOKEN_DELAY_S", 0.05)
    monkeypatch.setattr(token_module, "MAX_DELAYED", 3)
    auth = Authenticator(TOKEN)
    wrong, right = asking(f"Bearer {WRONG}"), asking(f"Bearer {TOKEN}")

    async def guess() -> list[int]:
        return [
            answer.status_code
            for answer in await asyncio.gather(*(auth.refuse("wrong", wrong) for _ in range(8)))
        ]

    began = time.monotonic()
    assert sorted(asyncio.run(guess())) == [401] * 3 + [429] * 5
    assert time.monotonic() - began >= 0.05
    assert asyncio.run(guess()).count(401) == 3  # there is room again
    assert (refusal(auth, right), refusal(auth, wrong)) == (
        None,
        "wrong",
    )  # who is right is asked for nothing else
    assert auth.refused["wrong"] == 16


def test_what_was_refused_is_counted(api: Api) -> None:
    def refused() -> dict[str, float]:
        lines = api.http.get("/metrics", headers=BEARER).text.splitlines()
        found = [
            line.split() for line in lines if line.startswith("lookout_requests_refused_total")
        ]
        return {name.partition('"')[2].rstrip('"}'): float(value) for name, value in found}

    before = refused()
    api.http.get("/api/v1/cameras")
    api.http.get("/api/v1/cameras", headers={"Authorization": f"Bearer {WRONG}"})
    api.http.get("/api/v1/cameras", headers={"Cookie": f"{COOKIE}=1.2"})
    assert refused() == {reason: before[reason] + 1 for reason in ("missing", "wrong", "lapsed")}


def test_no_line_shows_a_token(
    urls: Urls, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Log at the lowest level, and put a token in every part of a request.

    The server is a new one: its log has said nothing of wrong tokens yet.
    """
    caplog.set_level(logging.DEBUG)
    with running_api(settings_for(urls, tmp_path, token=SecretStr(TOKEN))) as api:
        for token in (TOKEN, WRONG):
            api.http.get(
                f"/api/v1/cameras?token={token}", headers={"Authorization": f"Bearer {token}"}
            )
            api.http.get(f"/api/v1/cameras/{token}")
            api.http.post("/api/v1/session", json={"token": token})
            api.http.post("/api/v1/session", json={"token": token, "and": token})
            api.http.post("/api/v1/session", content=token)
            with pytest.raises(InvalidStatus):
                api.listen(f"?token={token}")
    lines = [
        record.getMessage()
        for record in caplog.records
        if not record.name.startswith(("httpcore", "httpx", "websockets.client"))
    ]
    assert lines  # every line but those of the clients in this test
    assert not any(TOKEN in line or WRONG in line for line in lines)
    assert sum("a wrong token came from 127.0.0.1" in line for line in lines) <= 1  # once a minute


# The cookie


def test_a_browser_logs_in_and_out(api: Api) -> None:
    cookie = log_in(api).headers["set-cookie"]
    assert TOKEN not in cookie
    assert {"HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={LOGIN_S}"} <= set(
        cookie.split("; ")
    )
    assert "Secure" not in cookie
    for path in ("/", "/api/v1/cameras", "/metrics"):
        assert api.http.get(path).status_code == 200
    assert api.http.delete("/api/v1/session").status_code == 204
    assert is_refused(api.http.get("/api/v1/cameras"))


def test_the_cookie_is_secure_behind_tls(api: Api) -> None:
    secure = log_in(api, Origin="https://lookout.example", Host="lookout.example").headers[
        "set-cookie"
    ]
    assert "Secure" in secure.split("; ")
    forwarded = log_in(api, **{"X-Forwarded-Proto": "https"}).headers["set-cookie"]
    assert "Secure" in forwarded.split("; ")


def test_a_wrong_token_gets_no_cookie(api: Api) -> None:
    for body in ({"token": WRONG}, {"token": ""}):
        answer = api.http.post("/api/v1/session", json=body)
        assert is_refused(answer) == "the token is wrong"
        assert "set-cookie" not in answer.headers
    wrong_forms: list[Any] = [
        {},
        {"token": None},
        {"token": 5},
        {"token": TOKEN, "more": 1},
        {"token": "x" * 2000},
    ]
    for form in wrong_forms:
        answer = api.http.post("/api/v1/session", json=form)
        assert is_problem(answer, 422)
        assert "set-cookie" not in answer.headers
        assert TOKEN not in answer.text


@pytest.mark.parametrize(
    "session", ["", ".", "x", "1", "99999999999.", "99999999999.abc", "9e9.x", "ü.ü", f"{TOKEN}"]
)
def test_a_made_up_cookie_is_none(api: Api, session: str) -> None:
    assert is_refused(
        api.http.get("/api/v1/cameras", headers={b"Cookie": f"{COOKIE}={session}".encode()})
    )


def asking(authorization: str = "", cookie: str = "") -> HTTPConnection:
    headers = [(b"authorization", authorization.encode()), (b"cookie", cookie.encode())]
    return HTTPConnection({"type": "http", "headers": headers})


def admitted(auth: Authenticator, session: str) -> bool:
    return refusal(auth, asking(cookie=f"{COOKIE}={session}")) is None


def test_a_login_ends_with_its_time_and_with_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_700_000_000
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _: now)
    auth = Authenticator(TOKEN)
    login = auth.new_login()
    value, timestamp, signature = login.split(".")
    assert admitted(auth, login)
    assert admitted(Authenticator(TOKEN), login)  # another process
    assert not admitted(auth, f"{value}.{timestamp[:-1]}B.{signature}")
    assert not admitted(auth, f"{value}x.{timestamp}.{signature}")
    assert not admitted(auth, TimestampSigner(TOKEN).sign("login").decode())  # for another purpose
    assert not admitted(Authenticator(WRONG), login)
    now += LOGIN_S
    assert admitted(auth, login)
    now += 1
    assert not admitted(auth, login)


def test_a_bearer_token_decides_alone(api: Api) -> None:
    """A program with a wrong token is told, whatever cookie it carries.

    A proxy's own Basic password is nobody's.
    """
    log_in(api)
    assert is_refused(api.http.get("/api/v1/cameras", headers={"Authorization": f"Bearer {WRONG}"}))
    assert (
        api.http.get("/api/v1/cameras", headers={"Authorization": "Basic dXNlcjpwdw=="}).status_code
        == 200
    )


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1", "https://127.0.0.1:1"]
)
def test_a_page_of_another_site_does_nothing_with_the_cookie(
    api: Api, store: Store, bus: Bus, origin: str
) -> None:
    watch(store, bus, "gate")
    log_in(api)
    cookie = f"{COOKIE}={api.http.cookies[COOKIE]}"
    foreign = {"Origin": origin}
    for method, path in (("DELETE", "/cameras/gate"), ("POST", "/session"), ("DELETE", "/session")):
        assert "another site" in is_problem(
            api.http.request(method, f"/api/v1{path}", headers=foreign), 403
        )
    with pytest.raises(InvalidStatus, match="403"):
        api.listen(additional_headers={**foreign, "Cookie": cookie})
    assert "gate" in store.cameras()


@pytest.mark.parametrize("of", [TOKEN, WRONG])
def test_an_expired_or_forged_login_is_refused_as_lapsed(
    api: Api, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(TimestampSigner, "get_timestamp", lambda _: int(time.time()) - LOGIN_S - 60)
        expired = Authenticator(of).new_login()
    answer = api.http.get("/api/v1/cameras", headers={"Cookie": f"{COOKIE}={expired}"})
    assert "log in again" in is_refused(answer)


# The WebSocket


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({}, "token is needed"),
        ({"Authorization": f"Bearer {WRONG}"}, "token is wrong"),
        ({"Cookie": f"{COOKIE}=1.2"}, "log in again"),
    ],
)
@pytest.mark.parametrize("query", ["", f"?token={TOKEN}"])
def test_a_stranger_hears_nothing(api: Api, headers: dict[str, str], why: str, query: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        api.listen(query, additional_headers=headers)
    answer = refused.value.response
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert why in json.loads(answer.body or b"")["detail"]


@pytest.mark.parametrize("by", ["token", "cookie"])
def test_who_shows_token_or_cookie_hears_all(api: Api, store: Store, bus: Bus, by: str) -> None:
    log_in(api)
    headers = BEARER if by == "token" else {"Cookie": f"{COOKIE}={api.http.cookies[COOKIE]}"}
    own = {"Origin": f"http://127.0.0.1:{api.port}"}
    with api.listen(additional_headers={**headers, **own}) as socket:
        watch(store, bus, "gate")
        assert json.loads(socket.recv(timeout=5))["type"] == "camera"


# The page


def test_the_page_asks_for_the_token(api: Api) -> None:
    answer = api.http.get("/")
    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    assert 'id="login"' in answer.text
    log_in(api)
    assert 'id="cameras"' in api.http.get("/").text


# Without a token


def test_without_a_token_nobody_is_asked_and_only_loopback_is_listened_on(
    urls: Urls, tmp_path: Path
) -> None:
    settings = settings_for(urls, tmp_path)
    with running_api(settings) as api:
        assert api.get("/cameras").status_code == 200
        assert api.get("/session").json() == {"needed": False, "oidc": None}
        assert "no token is set" in is_problem(api.post("/session", {"token": TOKEN}), 404)
        assert "lookout_requests_refused" not in api.http.get("/metrics").text
    with pytest.raises(UnprotectedError, match="LOOKOUT_TOKEN"):
        worker.run(settings.model_copy(update={"host": "0.0.0.0"}), threading.Event())  # noqa: S104


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    check_protected(Settings(host=host))


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "", "10.0.0.1", "::ffff:10.0.0.1", "192.168.0.1", "0", "fe80::1"],  # noqa: S104
)
def test_any_other_address_does(host: str) -> None:
    with pytest.raises(UnprotectedError, match="LOOKOUT_TOKEN") as refused:
        check_protected(Settings(host=host))
    assert refused.value.exit_code == 3
    check_protected(Settings(host=host, token=SecretStr(TOKEN)))


def test_the_api_listens_on_every_address_with_a_token(urls: Urls, tmp_path: Path) -> None:
    settings: Any = settings_for(urls, tmp_path, token=SecretStr(TOKEN), host="0.0.0.0")  # noqa: S104
    with running_api(settings) as api:
        assert is_refused(api.get("/cameras"))
