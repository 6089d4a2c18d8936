"""Requests as people really send them: HEAD, other methods, bodies that are not JSON."""

from __future__ import annotations

import gzip
import http.client
import json
import re

import pytest

from lookout.service.api.problems import MOST_ERRORS
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests.service.api_server import RTSP, Api, api, is_problem, one_api, show, watch

__all__ = ["api", "one_api"]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/healthz",
        "/readyz",
        "/metrics",
        "/assets/page.js",
        "/assets/nothing.js",
        "/uplot/uPlot.min.css",
        "/docs",
        "/swagger/swagger-ui.css",
        "/api/v1/healthz",
        "/api/v1/openapi.json",
        "/api/v1/cameras",
        "/api/v1/cameras/gate",
        "/api/v1/cameras/gate/scores",
        "/api/v1/cameras/gate/scores?limit=0",
        "/api/v1/cameras/gate/heatmap",
        "/api/v1/cameras/gate/frame?format=jpeg",
        "/api/v1/cameras/gate/events",
        "/api/v1/cameras/nobody",
        "/api/v1/alerts",
        "/api/v1/alert-rule",
        "/api/v1/models",
        "/api/v1/session",
        "/api/v1/cameras/",
        "/nothing",
    ],
)
def test_head_is_get_without_a_body(api: Api, store: Store, bus: Bus, path: str) -> None:
    watch(store, bus, "gate")
    show(bus, "gate", 0)
    asked, head = api.http.get(path), api.http.head(path)
    assert head.status_code == asked.status_code
    assert head.content == b""
    kept = [name for name in asked.headers if name not in {"date", "content-length"}]
    assert {name: head.headers[name] for name in kept} == {
        name: asked.headers[name] for name in kept
    }
    assert "content-length" in head.headers
    assert api.http.get("/healthz").status_code == 200  # the connection is still in step


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/v1/cameras", "GET, HEAD, POST"),
        ("/api/v1/cameras/gate", "GET, HEAD, PATCH, DELETE"),
        ("/api/v1/session", "GET, HEAD, POST, DELETE"),
        ("/healthz", "GET, HEAD"),
        ("/", "GET, HEAD"),
        ("/assets/page.js", "GET, HEAD"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "OPTIONS", "TRACE", "FOO"])
def test_another_method_is_told_which_there_are(
    api: Api, path: str, allowed: str, method: str
) -> None:
    answer = api.http.request(method, path)
    assert is_problem(answer, 405)
    assert answer.headers["allow"] == allowed


def sent(api: Api, body: bytes, **headers: str) -> tuple[int, str]:
    """Return status and reason of a POST of `body`, with no header but those given."""
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)
    try:
        connection.putrequest("POST", "/api/v1/cameras")
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders(body)
        answer = connection.getresponse()
        told = json.loads(answer.read())
    finally:
        connection.close()
    return answer.status, str(told.get("detail", ""))


def test_a_body_without_its_content_type_is_told(api: Api, store: Store) -> None:
    body = json.dumps({"id": "gate", "url": RTSP}).encode()
    for headers in ({}, {"Content_Type": "application/x-www-form-urlencoded"}):  # curl -d sends it
        status, reason = sent(api, body, **headers)
        assert (status, "send Content-Type: application/json" in reason) == (422, True)
    assert store.cameras() == {}
    assert sent(api, body, Content_Type="application/json; charset=utf-8")[0] == 201


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "body: empty: send a JSON object"),
        (b'{"url": }', "body: not JSON: Expecting value at line 1, column 9"),
        (b'{"url": "a", "url": "b"}', "body: the key 'url' stands twice"),
        (b'{"fps": NaN}', "body: NaN is not a number in JSON"),
        ('{"url": "ü"}'.encode("latin-1"), "body: not UTF-8"),
        (rb'{"\ud800": 1}', "surrogate"),
        (b"null", "body: "),
        (b"[]", "body: "),
        (b'"text"', "body: "),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/cameras", "/api/v1/session"])
def test_a_body_that_is_not_a_json_object_is_said(
    api: Api, body: bytes, reason: str, path: str
) -> None:
    answer = api.http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert reason in is_problem(answer, 422)
    assert answer.json()["errors"][0]["loc"] == ["body"]


@pytest.mark.parametrize("body", [b"[" * 50_000, b'{"a":' * 20 + b"1" + b"}" * 20, b"9" * 5000])
def test_a_body_beyond_all_limits_is_refused(api: Api, body: bytes) -> None:
    answer = api.http.post(
        "/api/v1/cameras", content=body, headers={"Content-Type": "application/json"}
    )
    assert "more than" in is_problem(answer, 400)


def test_of_many_wrong_fields_the_first_are_named(api: Api) -> None:
    answer = api.post("/cameras", {f"field{number}": 1 for number in range(3000)})
    assert is_problem(answer, 422).endswith("; and 2981 more")
    assert len(answer.json()["errors"]) == MOST_ERRORS


def test_a_refusal_has_a_code_for_a_reader_of_another_language(api: Api) -> None:
    nobody = api.get("/cameras/nobody").json()
    assert (nobody["code"], nobody["values"]) == ("no_camera", {"camera": "nobody"})
    spec = {"id": "gate", "url": "rtsp://h/live", "fps": -1, "pace": "slow"}
    fields = {error["loc"][1]: error for error in api.post("/cameras", spec).json()["errors"]}
    assert (fields["fps"]["type"], fields["fps"]["values"]) == ("greater_than", {"gt": 0})
    assert fields["pace"]["type"] == "literal_error"
    address = api.post("/cameras", {"url": "http://a:secret@h/live"}).json()
    assert address["code"] == "address_form"
    assert [error["loc"] for error in address["errors"]] == [["body", "url"]]
    large = api.post("/cameras", {"url": "x" * 70_000}).json()
    assert (large["code"], large["values"]) == ("too_large", {"most": 65_536})


def test_a_late_key_that_stands_twice_takes_no_time_to_find(api: Api) -> None:
    keys = [*(f'"{number}":1' for number in range(5000)), '"4999":1']
    body = "{" + ",".join(keys) + "}"
    headers = {"Content-Type": "application/json"}
    answer = api.http.post("/api/v1/cameras", content=body, headers=headers)
    assert "the key '4999' stands twice" in is_problem(answer, 422)


def test_a_compressed_body_is_told(api: Api) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = api.http.post("/api/v1/cameras", content=gzip.compress(b"{}"), headers=headers)
    assert "send it without Content-Encoding" in is_problem(answer, 422)


@pytest.mark.parametrize("path", ["/cameras", "/alerts", "/cameras/gate/scores"])
def test_a_parameter_that_stands_twice_is_refused(api: Api, path: str) -> None:
    answer = api.http.get(f"/api/v1{path}?limit=10&cursor=a&limit=20")
    assert "query: 'limit' stands twice" in is_problem(answer, 400)


def test_a_byte_order_mark_does_not_matter(api: Api, store: Store) -> None:
    body = json.dumps({"id": "gate", "url": RTSP}).encode("utf-8-sig")
    answer = api.http.post(
        "/api/v1/cameras", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 201
    assert list(store.cameras()) == ["gate"]


def test_an_address_of_the_api_is_a_path(api: Api) -> None:
    """A proxy with TLS need not tell its scheme and name for redirects to work."""
    made = api.post("/cameras", {"id": "gate", "url": RTSP})
    assert made.headers["location"] == "/api/v1/cameras/gate"
    moved = api.http.get("/api/v1/cameras/?x=1")
    assert (moved.status_code, moved.headers["location"]) == (307, "/api/v1/cameras?x=1")


def test_the_page_names_no_address_from_the_root(api: Api) -> None:
    for path in ("/", "/assets/login.html"):
        page = api.http.get(path).text
        assert re.findall(r'(?:src|href)="([^"]*)"', page)
        assert not re.findall(r'(?:src|href|action)="/', page)
