"""TLS by a real nginx with the configuration of the docs: REST, WebSocket and the page."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from selenium.webdriver.common.by import By
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from lookout.service.api.auth.token import COOKIE
from lookout.service.core.lifecycle import die_with_parent
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests.conftest import Urls
from tests.e2e.browser import browser, complaints
from tests.service.api_server import (
    BEARER,
    TOKEN,
    free_port,
    is_problem,
    running_api,
    settings_for,
    show,
    watch,
    write_checkpoint,
)
from tests.service.page_browser import is_live
from tests.waiting import wait_until

pytestmark = pytest.mark.proxy

SITE = Path(__file__).parents[2] / "docs" / "lookout.nginx.conf"
SESSION = 1_700_000_000_000
MAIN = """
worker_processes 1;
pid nginx.pid;
error_log error.log warn;
events {}
http {
    access_log access.log;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include site.conf;
}
"""


@dataclass(frozen=True)
class Proxy:
    folder: Path
    port: int
    plain_port: int
    trust: ssl.SSLContext

    @property
    def origin(self) -> str:
        return f"https://localhost:{self.port}"

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.origin, verify=self.trust, timeout=10)

    def listen(self, **headers: str) -> connect:
        """In one thread: the synchronous client reads and writes in two, and Python 3.11's TLS
        loses a request at that, one in some hundred.
        """
        url = f"wss://localhost:{self.port}/api/v1/live"
        return connect(url, ssl=self.trust, additional_headers=headers)

    async def accepts(self, **headers: str) -> None:
        """Open a WebSocket. Raise InvalidStatus where it is refused."""
        async with self.listen(**headers):
            pass


@pytest.fixture(scope="module")
def proxy(redis_urls: Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    settings = settings_for(
        redis_urls.emptied(), tmp_path_factory.mktemp("api"), token=SecretStr(TOKEN)
    )
    write_checkpoint(settings, "square")
    with (
        running_api(settings) as api,
        _nginx(tmp_path_factory.mktemp("nginx"), api.port) as running,
    ):
        yield running


@contextlib.contextmanager
def _nginx(folder: Path, api_port: int) -> Iterator[Proxy]:
    port, plain_port = free_port(), free_port()
    _make_certificate(folder)
    site = SITE.read_text()
    for written, here in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("listen 80", f"listen 127.0.0.1:{plain_port}"),
        ("/etc/ssl/certs/lookout.pem", f"{folder}/lookout.pem"),
        ("/etc/ssl/private/lookout.key", f"{folder}/lookout.key"),
        ("http://127.0.0.1:8000", f"http://127.0.0.1:{api_port}"),
    ):
        assert site.count(written) == 1
        site = site.replace(written, here)
    (folder / "site.conf").write_text(site)
    (folder / "nginx.conf").write_text(MAIN)
    words = ["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "error.log", "-g", "daemon off;"]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)  # noqa: PLW1509
    try:
        running = Proxy(
            folder, port, plain_port, ssl.create_default_context(cafile=folder / "lookout.pem")
        )
        wait_until(lambda: _answers(running, process), "nginx answers")
        yield running
    finally:
        process.terminate()
        process.wait(10)


def _make_certificate(folder: Path) -> None:
    words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    words += ["-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    words += ["-keyout", str(folder / "lookout.key"), "-out", str(folder / "lookout.pem")]
    subprocess.run(words, check=True, capture_output=True)


def _answers(proxy: Proxy, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, (proxy.folder / "error.log").read_text()
    with contextlib.suppress(httpx.TransportError), proxy.client() as http:
        return http.get("/healthz").status_code == 200
    return False


def test_rest_goes_through(proxy: Proxy, urls: Urls) -> None:
    with proxy.client() as http:
        assert is_problem(http.get("/api/v1/cameras"), 401)
        listed = http.get("/api/v1/cameras", headers=BEARER)
        assert listed.json()["items"] == []
        assert listed.headers["strict-transport-security"]
        made = http.post(
            "/api/v1/cameras", json={"id": "gate", "url": "rtsp://u:p@h/"}, headers=BEARER
        )
        assert made.status_code == 201
        assert http.get("/metrics", headers=BEARER).text.count('lookout_up{server="bus"} 1.0') == 1
    plain = httpx.get(f"http://localhost:{proxy.plain_port}/x?y=1")
    assert (plain.status_code, plain.headers["location"]) == (301, "https://localhost/x?y=1")


def test_the_websocket_goes_through(proxy: Proxy, store: Store, bus: Bus) -> None:
    watch(store, bus, "gate")

    async def first_score() -> tuple[str, str]:
        """Return the id of a score that is made after the connection, and the id that arrives."""
        async with asyncio.timeout(10), proxy.listen(**BEARER) as socket:
            made = show(bus, "gate", 7)
            while (message := json.loads(await socket.recv()))["type"] != "score":
                pass
        return str(made.id), message["data"]["id"]

    made, heard = asyncio.run(first_score())
    assert made == heard
    with pytest.raises(InvalidStatus, match="401"):
        asyncio.run(proxy.accepts())


def test_a_session_is_for_tls_and_this_site_alone(proxy: Proxy, store: Store, bus: Bus) -> None:
    watch(store, bus, "gate")
    own, foreign = (
        {"Origin": proxy.origin},
        {"Origin": "https://localhost"},
    )  # another port is another site
    with proxy.client() as http:
        assert (
            http.post("/api/v1/session", json={"token": TOKEN}, headers=foreign).status_code == 403
        )
        answer = http.post("/api/v1/session", json={"token": TOKEN}, headers=own)
        assert "Secure" in answer.headers["set-cookie"].split("; ")
        assert (
            http.patch("/api/v1/cameras/gate", json={"fps": 5}, headers=foreign).status_code == 403
        )
        assert http.patch("/api/v1/cameras/gate", json={"fps": 5}, headers=own).status_code == 200
        cookie = {"Cookie": f"{COOKIE}={http.cookies[COOKIE]}"}
    asyncio.run(proxy.accepts(**cookie, **own))
    with pytest.raises(InvalidStatus, match="403"):
        asyncio.run(proxy.accepts(**cookie, **foreign))


@pytest.mark.browser
def test_the_page_goes_through(proxy: Proxy, store: Store, bus: Bus) -> None:
    watch(store, bus, "gate")
    show(bus, "gate", 0, session=SESSION)
    with browser() as page:
        page.get(f"{proxy.origin}/")
        page.find_element(By.CSS_SELECTOR, "#token").send_keys(TOKEN)
        page.find_element(By.CSS_SELECTOR, "#login-submit").click()
        wait_until(lambda: is_live(page), "a live page")
        picture = page.find_element(By.CSS_SELECTOR, "#camera-gate .picture")
        wait_until(lambda: picture.get_property("naturalWidth") == 128, "its picture")
        (cookie,) = page.get_cookies()
        assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
        assert complaints(page, "401") == []  # the first answer, with the form


def test_no_log_of_the_proxy_shows_the_token(proxy: Proxy) -> None:
    """The token never stands in an address; must be last in this file."""
    for name in ("access.log", "error.log"):
        assert TOKEN not in (proxy.folder / name).read_text()
