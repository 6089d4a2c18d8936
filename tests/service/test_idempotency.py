"""`Idempotency-Key`: a POST that is sent again makes nothing twice, and gets its first answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Request, Response
from pydantic import SecretStr

from lookout.service.api.idempotency import Repeats
from lookout.service.core.accounts import Identity
from lookout.service.core.settings import Settings
from lookout.service.storage.redis import keys
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.store import kept_answers
from lookout.service.storage.store.kept_answers import KeptAnswer
from lookout.service.storage.store.store import Store
from tests.conftest import Urls
from tests.service.api_server import (
    BEARER,
    RTSP,
    TOKEN,
    Api,
    is_problem,
    running_api,
    settings_for,
    write_checkpoint,
)

KEY = "7d1c0c0e-5b0b-4f6e-9d3c-0f6f4f3f1f60"
PASSWORD = "four-words-of-a-poem"  # noqa: S105


@pytest.fixture
def settings(urls: Urls, tmp_path: Path) -> Settings:
    made = settings_for(urls, tmp_path, token=SecretStr(TOKEN))
    write_checkpoint(made, "square")
    return made


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    with running_api(settings) as running:
        yield running


def send(
    api: Api, path: str, body: Any, key: str = KEY, sender: dict[str, str] = BEARER
) -> httpx.Response:
    headers = {**sender, "Idempotency-Key": key}
    return api.http.post(f"/api/v1{path}", json=body, headers=headers)


def test_a_request_sent_again_makes_nothing_twice_after_a_restart_too(settings: Settings) -> None:
    answers = []
    for _ in range(2):
        with running_api(settings) as api:
            answers += [send(api, "/cameras", {"url": RTSP}) for _ in range(2)]
            cameras = api.http.get("/api/v1/cameras", headers=BEARER).json()["items"]
            audit = api.http.get("/api/v1/audit", headers=BEARER).json()["items"]
    first, *others = answers
    assert first.status_code == 201
    assert "Idempotency-Replayed" not in first.headers
    for other in others:
        assert (other.status_code, other.content) == (201, first.content)
        assert other.headers["Location"] == first.headers["Location"]
        assert other.headers["Content-Type"] == "application/json"
        assert other.headers["Idempotency-Replayed"] == "true"
    assert [camera["id"] for camera in cameras] == [first.json()["id"]]
    assert [line["action"] for line in audit] == ["POST /cameras"]


def test_a_route_without_a_body_is_done_once(api: Api) -> None:
    send(api, "/cameras", {"id": "gate", "url": RTSP})
    first, second = (send(api, "/cameras/gate/test-alert", None, "a" * 16) for _ in range(2))
    assert first.status_code == 202
    assert first.json() == second.json()
    other_path = send(api, "/cameras/gate/rollback", None, "a" * 16)
    assert "another request of yours" in is_problem(other_path, 422)


def test_a_key_stands_for_one_request_of_one_person(api: Api) -> None:
    made = send(api, "/users", {"name": "anna", "password": PASSWORD, "role": "admin"})
    assert made.status_code == 201
    other_body = send(api, "/users", {"name": "ben", "password": PASSWORD, "role": "admin"})
    assert "another request of yours" in is_problem(other_body, 422)
    token = send(api, "/tokens", {"name": "program", "role": "admin"}, "b" * 16).json()["token"]
    sender = {"Authorization": f"Bearer {token}"}
    by_another = send(api, "/cameras", {"id": "gate", "url": RTSP}, KEY, sender)
    assert by_another.status_code == 201


@pytest.mark.parametrize("key", ["", "short", "x" * 129, "with a space in it"])
def test_a_key_that_is_none_is_refused(api: Api, key: str) -> None:
    answer = send(api, "/cameras", {"url": RTSP}, key)
    assert "16 to 128 visible characters" in is_problem(answer, 422)
    assert api.http.get("/api/v1/cameras", headers=BEARER).json()["items"] == []


def test_a_refusal_is_not_kept(api: Api) -> None:
    spec = {"id": "gate", "url": "file:///nowhere/clip.mp4"}
    assert send(api, "/cameras", spec).status_code == 422
    send(api, "/cameras", {"id": "gate", "url": RTSP}, "c" * 16)
    again = {"id": "gate", "url": RTSP}
    assert "already" in is_problem(send(api, "/cameras", again), 409)
    api.http.delete("/api/v1/cameras/gate", headers=BEARER)
    assert send(api, "/cameras", again).status_code == 201


def test_an_answer_with_a_secret_is_never_kept(api: Api, urls: Urls) -> None:
    spec = {"name": "program", "role": "viewer"}
    token = send(api, "/tokens", spec).json()["token"]
    reason = is_problem(send(api, "/tokens", spec), 409)
    assert "see /api/v1/tokens/program, delete it" in reason
    sink = {"url": "https://hooks.example/path-of-it", "secret": "a-secret-of-both-sides"}
    shown = [send(api, "/sinks", sink, "d" * 16).text for _ in range(2)]
    assert shown[0] == shown[1]
    with closing(connect(urls.store)) as client:
        stored = str(client.hgetall(keys.KEPT_ANSWERS))
    assert "/api/v1/tokens/program" in stored
    for secret in (token, "path-of-it", "a-secret-of-both-sides", KEY, TOKEN):
        assert secret not in stored


def test_of_many_at_once_one_is_done(api: Api) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: send(api, "/cameras", {"url": RTSP}), range(8)))
    made = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.json()["id"] for answer in made}) == 1
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len(api.http.get("/api/v1/cameras", headers=BEARER).json()["items"]) == 1


def request_of(name: str) -> Request:
    """Return a request of a person with KEY."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/jobs",
        "query_string": b"",
        "headers": [(b"idempotency-key", KEY.encode()), (b"host", b"localhost")],
        "state": {"identity": Identity(name, "admin")},
    }
    return Request(scope)


def test_a_request_whose_first_is_still_running_is_refused(store: Store) -> None:
    repeats = Repeats(store)

    async def slow(_: Request) -> Response:
        meanwhile = await repeats.answer(request_of("anna"), b"{}", slow)
        assert meanwhile.status_code == 409
        assert meanwhile.headers["Retry-After"] == "1"
        assert "still running" in json.loads(bytes(meanwhile.body))["detail"]
        return Response("done", 201)

    done = asyncio.run(repeats.answer(request_of("anna"), b"{}", slow))
    again = asyncio.run(repeats.answer(request_of("anna"), b"{}", slow))
    assert (done.body, again.body) == (b"done", b"done")
    assert repeats.counts == {"dropped": 0, "refused": 1, "first": 1, "repeated": 1}


def test_answers_are_bounded_in_number_and_age(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_answers, "MAX_KEPT", 3)
    note = KeptAnswer("digest", "run")
    for name in "abcd":
        dropped = store.begin_answer(name, note)
        store.end_answer(name, note, KeptAnswer("digest", "run", 201, {}, name))
        assert dropped == int(name == "d")
    assert [store.begin_answer(name, note) for name in "bcd"] == [
        KeptAnswer("digest", "run", 201, {}, name) for name in "bcd"
    ]
    assert store.begin_answer("a", note) == 1  # "b" goes: it expires first
    monkeypatch.setattr(kept_answers, "KEPT_S", 0.0)
    store.end_answer("a", note, KeptAnswer("digest", "run", 201, {}, "a"))
    assert store.begin_answer("a", note) == 0


def test_a_request_whose_api_has_died_may_be_sent_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    died, later = KeptAnswer("digest", "1"), KeptAnswer("digest", "2")
    monkeypatch.setattr(kept_answers, "RUNNING_S", 0.0)
    assert store.begin_answer("a", died) == 0
    monkeypatch.setattr(kept_answers, "RUNNING_S", 60.0)
    assert store.begin_answer("a", later) == 0
    store.end_answer("a", died, None)  # it was slow only: the later one still runs
    assert store.begin_answer("a", died) == later


def test_answers_without_their_index_go(store: Store, urls: Urls) -> None:
    note = KeptAnswer("digest", "run")
    store.begin_answer("a", note)
    with closing(connect(urls.store)) as client:
        client.set(keys.KEPT_ANSWERS_BY_END, "no such thing")
        assert store.begin_answer("b", note) == 0
        assert client.hkeys(keys.KEPT_ANSWERS) == [b"b"]
