"""Lookout below /lookout/ of a real nginx: one that strips the path, and one that leaves it."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from selenium.webdriver.common.by import By
from websockets.sync.client import connect

from lookout.service.api.auth.token import COOKIE
from lookout.service.core.errors import SettingsError
from lookout.service.core.lifecycle import die_with_parent
from lookout.service.core.settings import load_settings
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests.conftest import Urls, with_long_forms
from tests.e2e.browser import browser, complaints
from tests.service.api_server import (
    BEARER,
    RTSP,
    TOKEN,
    Api,
    free_port,
    is_problem,
    running_api,
    settings_for,
    show,
    watch,
    write_checkpoint,
)
from tests.service.page_browser import is_live
from tests.service.test_proxy import MAIN
from tests.waiting import wait_until

DOCS = Path(__file__).parents[2] / "docs"
SESSIONS = itertools.count(1_700_000_000_000)
"""One for each test: a live hub passes over scores that are not newer than the last."""
PREFIX = "/lookout"


@pytest.fixture(scope="module")
def below(redis_urls: Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    settings = settings_for(
        redis_urls.emptied(),
        tmp_path_factory.mktemp("below"),
        token=SecretStr(TOKEN),
        root_path=f"{PREFIX}/",
    )
    write_checkpoint(settings, "square")
    with running_api(settings) as api:
        yield api


@pytest.fixture(scope="module", params=with_long_forms(["stripped", "left"], {"left"}))
def origin(
    below: Api, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[str]:
    """The address of nginx with the snippet of the docs."""
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    snippet = (DOCS / "lookout-path.nginx.conf").read_text()
    address = f"http://127.0.0.1:{below.port}"
    written = "http://127.0.0.1:8000/;"
    assert snippet.count(written) == 1
    snippet = snippet.replace(written, f"{address}{'/' * (request.param == 'stripped')};")
    upgrade = (DOCS / "lookout.nginx.conf").read_text().partition("server {")[0]
    site = f"{upgrade}\nserver {{\n    listen 127.0.0.1:{port};\n{snippet}\n}}\n"
    (folder / "site.conf").write_text(site)
    (folder / "nginx.conf").write_text(MAIN)
    words = ["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "error.log", "-g", "daemon off;"]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)  # noqa: PLW1509
    found = f"http://localhost:{port}"
    try:
        wait_until(lambda: is_up(found), "nginx answers")
        yield found
    finally:
        process.terminate()
        process.wait(10)


def is_up(origin: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{origin}{PREFIX}/healthz").status_code == 200
    return False


@pytest.mark.proxy
def test_rest_and_its_addresses_stay_below_the_path(origin: str, urls: Urls) -> None:
    with httpx.Client(base_url=origin, headers=BEARER) as http:
        made = http.post(f"{PREFIX}/api/v1/cameras", json={"id": "gate", "url": RTSP})
        assert (made.status_code, made.headers["location"]) == (
            201,
            f"{PREFIX}/api/v1/cameras/gate",
        )
        assert http.get(made.headers["location"]).json()["id"] == "gate"
        moved = http.get(f"{PREFIX}/api/v1/cameras/gate/?x=1")
        assert moved.headers["location"] == f"{PREFIX}/api/v1/cameras/gate?x=1"
        assert http.get(f"{PREFIX}/api/v1/cameras/", follow_redirects=True).status_code == 200
        document = http.get(f"{PREFIX}/api/v1/openapi.json").json()
        assert document["servers"] == [{"url": PREFIX}]
        assert http.get(f"{PREFIX}/metrics").status_code == 200
        assert is_problem(http.get(f"{PREFIX}/nothing"), 404)
        assert http.head(f"{PREFIX}/").status_code == 200
        page = http.get(PREFIX, follow_redirects=True)
        assert (page.status_code, page.url.path) == (200, f"{PREFIX}/")


@pytest.mark.proxy
def test_nothing_is_open_there_that_is_not_at_the_root(origin: str) -> None:
    for path in ("", "/", "/api/v1/cameras", "/metrics", "/healthz/../metrics", "/assets/../x"):
        answer = httpx.get(f"{origin}{PREFIX}{path}", follow_redirects=True)
        assert answer.status_code in (401, 404), path
    for path in ("/healthz", "/assets/page.css", "/api/v1/session"):
        assert httpx.get(f"{origin}{PREFIX}{path}").status_code == 200


@pytest.mark.proxy
def test_the_websocket_and_the_cookie(origin: str, store: Store, bus: Bus) -> None:
    watch(store, bus, "gate")
    with httpx.Client(base_url=origin) as http:
        answer = http.post(f"{PREFIX}/api/v1/session", json={"token": TOKEN})
        assert f"Path={PREFIX}/" in answer.headers["set-cookie"].split("; ")
        cookie = {"Cookie": f"{COOKIE}={http.cookies[COOKIE]}"}
        url = f"{origin.replace('http', 'ws')}{PREFIX}/api/v1/live"
        with connect(url, additional_headers=cookie) as socket:
            made = show(bus, "gate", 7, session=next(SESSIONS))
            while (message := json.loads(socket.recv(timeout=10)))["type"] != "score":
                pass
        assert message["data"]["id"] == str(made.id)
        assert http.delete(f"{PREFIX}/api/v1/session").status_code == 204
        assert COOKIE not in http.cookies


@pytest.mark.proxy
@pytest.mark.browser
def test_the_page_loads_logs_in_talks_and_listens(origin: str, store: Store, bus: Bus) -> None:
    watch(store, bus, "gate")
    session = next(SESSIONS)
    show(bus, "gate", 0, session=session)
    with browser() as page:
        page.get(f"{origin}{PREFIX}/")
        page.find_element(By.CSS_SELECTOR, "#token").send_keys(TOKEN)
        page.find_element(By.CSS_SELECTOR, "#login-submit").click()
        wait_until(lambda: is_live(page), "a live page")
        picture = page.find_element(By.CSS_SELECTOR, "#camera-gate .picture")
        wait_until(lambda: picture.get_property("naturalWidth") == 128, "its picture")
        page.find_element(By.CSS_SELECTOR, "#camera-gate .pause").click()
        wait_until(lambda: not store.camera("gate").enabled, "a camera that is paused")
        show(bus, "gate", 1, session=session)
        card = page.find_element(By.CSS_SELECTOR, "#camera-gate")
        wait_until(lambda: card.get_attribute("data-last") == f"{session}-1", "a live score")
        page.find_element(By.CSS_SELECTOR, "#add-open").click()
        wait_until(
            lambda: page.find_elements(By.CSS_SELECTOR, "select[name=model] option"), "the form"
        )
        ready = "navigator.serviceWorker.ready.then(({ scope }) => arguments[0](scope))"
        assert page.execute_async_script(ready) == f"{origin}{PREFIX}/"
        assert not page.find_element(By.CSS_SELECTOR, "#newer").is_displayed()
        (cookie,) = page.get_cookies()
        assert cookie["path"] == f"{PREFIX}/"
        assert complaints(page, "401") == []  # the first answer, with the form


def test_a_supervisor_asks_without_the_path(below: Api) -> None:
    assert below.http.get("/healthz").status_code == 200
    assert below.http.get("/api/v1/cameras", headers=BEARER).status_code == 200
    assert below.http.get("/lookouts/healthz").status_code == 401  # another path


@pytest.mark.parametrize(
    ("path", "kept"), [("", ""), ("/", ""), ("/lookout", "/lookout"), ("/a/b.c/", "/a/b.c")]
)
def test_a_root_path(path: str, kept: str) -> None:
    assert load_settings(root_path=path).root_path == kept


@pytest.mark.parametrize(
    "path", ["lookout", "//x", "/a//b", "/a b", "/ü", "/..", "/a/../b", "/a?x", "/api", "/assets/x"]
)
def test_a_root_path_that_cannot_be(path: str) -> None:
    with pytest.raises(SettingsError, match="LOOKOUT_ROOT_PATH"):
        load_settings(root_path=path)
