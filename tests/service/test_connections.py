"""Connect to the servers that the settings name.

A wait is logged, an error that waiting does not mend ends the process, and no password shows.
"""

from __future__ import annotations

import contextlib
import http.server
import logging
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lookout.service.core.errors import SettingsError
from lookout.service.core.settings import Settings, load_settings
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.connections import open_bus, open_store, wait_until_up
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.store.store import Store
from tests.conftest import Urls
from tests.refusing import Refusing, refusing_redis

SECRET = "s3cr3t"  # noqa: S105


class After(threading.Event):
    """An event that is set after `waits` waits."""

    def __init__(self, waits: int) -> None:
        super().__init__()
        self._waits = waits

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002
        self._waits -= 1
        if self._waits <= 0:
            self.set()
        return super().wait(0)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """The URL of a server that asks for a password."""
    with refusing_redis(tmp_path) as server:
        server.ask_for_password(SECRET)
        yield server.url


def with_password(url: str, password: str) -> str:
    return url.replace("unix://", f"unix://:{password}@")


def opened(bus_url: str, store_url: str) -> tuple[Bus, Store]:
    settings = load_settings(bus_url=bus_url, store_url=store_url)
    return open_bus(settings), open_store(settings)


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}/x@host:6379/0",
        f"redis://:12/{SECRET}@host",
        f"redis://:12?{SECRET}@host",
        f"redis://:12#{SECRET}@host",
        f"redis://host/{SECRET}",
        f"redis+cluster://:{SECRET}@host/2",
        f"unix://:12/{SECRET}@/run/host.sock",
        f"redis://me:{SECRET}:x@host:port/0",
        f"redis://:{SECRET}@[::1/0",
        f"redis://:{SECRET}@host:99999",
        f"redis://:{SECRET}@host?db={SECRET}",
        f"redis://:{SECRET}@host?socket_timeout={SECRET}",
        f"redis://:{SECRET}@host?{SECRET}=1",
        f"redis://:{SECRET}@a..b/0",
        f"redis://:{SECRET}@host?protocol=9",
        f"http://:{SECRET}@host",
        f"{SECRET}@host",
        f"redis//:{SECRET}@host",
    ],
)
def test_a_wrong_address_is_named_by_its_variable_alone(url: str) -> None:
    for open_one, variable in ((open_bus, "LOOKOUT_BUS_URL"), (open_store, "LOOKOUT_STORE_URL")):
        with pytest.raises(SettingsError) as caught:
            open_one(Settings(bus_url=url, store_url=url))
        assert str(caught.value).startswith(f"{variable} is no usable Redis address")
        assert SECRET not in str(caught.value)
        assert "host" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_an_address_that_is_missing_is_named() -> None:
    with pytest.raises(SettingsError, match="LOOKOUT_STORE_URL is not set"):
        open_store(Settings(bus_url="redis://host"))


@pytest.mark.parametrize(
    ("url", "where"),
    [
        (f"redis://me:{SECRET}@10.0.0.1:6380/3", "10.0.0.1:6380"),
        (f"rediss://:{SECRET}@redis.example", "redis.example:6379"),
        ("redis://", "localhost:6379"),
        (f"unix://:{SECRET}@/run/redis.sock?db=1", "/run/redis.sock"),
    ],
)
def test_where_a_server_is(url: str, where: str) -> None:
    bus, store = opened(url, url)
    assert (bus.address, store.address) == (where, where)


@pytest.mark.parametrize("away", ["bus", "store"])
def test_what_is_waited_for_is_told_once(
    urls: Urls, tmp_path: Path, caplog: pytest.LogCaptureFixture, away: str
) -> None:
    nobody = with_password(f"unix://{tmp_path / 'nobody.sock'}", SECRET)
    bus, store = opened(
        nobody if away == "bus" else urls.bus, nobody if away == "store" else urls.store
    )
    assert not wait_until_up(bus, store, After(4))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    variable = f"LOOKOUT_{away.upper()}_URL"
    assert record.message.startswith(
        f"waiting for the {away} ({variable}, at {tmp_path / 'nobody.sock'}): "
    )
    assert SECRET not in record.message


def test_a_server_that_refuses_is_waited_for_until_it_does_not(
    urls: Urls, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with refusing_redis(tmp_path) as server:
        server.refuse("MISCONF")
        stop = MendsWhenWaitedFor(server)
        assert wait_until_up(
            Bus(connect(server.url), frames_kept=16, scores_kept=16, heats_kept=16),
            _store(urls),
            stop,
        )
    first, last = [record.message for record in caplog.records]
    assert "MISCONF" in first
    assert last == "the bus answers"


class MendsWhenWaitedFor(threading.Event):
    def __init__(self, server: Refusing) -> None:
        super().__init__()
        self._server = server

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002
        self._server.mend()
        return False


def _store(urls: Urls) -> Store:
    return Store(connect(urls.store))


@pytest.mark.parametrize("password", [None, "wr0ng"])
def test_a_password_that_is_wrong_or_missing_ends_the_wait(
    urls: Urls, guarded: str, password: str | None
) -> None:
    url = with_password(guarded, password) if password else guarded
    for variable, servers in (
        ("LOOKOUT_BUS_URL", (url, urls.store)),
        ("LOOKOUT_STORE_URL", (urls.bus, url)),
    ):
        with pytest.raises(SettingsError) as caught:
            wait_until_up(*opened(*servers), After(10))
        where = guarded.removeprefix("unix://")
        assert (
            str(caught.value) == f"{variable}: the Redis at {where} wants another user or password"
        )
        assert caught.value.__cause__ is None


def test_a_password_that_nobody_asks_for(urls: Urls) -> None:
    with pytest.raises(SettingsError, match=r"LOOKOUT_BUS_URL: .* wants another user or password"):
        wait_until_up(*opened(with_password(urls.bus, "wr0ng"), urls.store), After(10))


def test_the_right_password_opens(urls: Urls, guarded: str) -> None:
    assert wait_until_up(*opened(with_password(guarded, SECRET), urls.store), After(10))


def test_a_stage_with_a_wrong_password_ends_with_one_line(urls: Urls, guarded: str) -> None:
    wrong = {"LOOKOUT_BUS_URL": with_password(guarded, "wr0ng"), "LOOKOUT_STORE_URL": urls.store}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "lookout", "alerting"],
        env={**os.environ, **wrong},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("lookout: LOOKOUT_BUS_URL: ")
    assert "wr0ng" not in line


def told(url: str, other: str, caplog: pytest.LogCaptureFixture) -> str:
    """Return what is said of a bus that is waited for."""
    assert not wait_until_up(*opened(url, other), After(4))
    (record,) = caplog.records
    return record.message


def test_a_server_with_other_data_ends_the_wait(urls: Urls) -> None:
    for url, key, variable in (
        (urls.bus, "bus_name", "LOOKOUT_BUS_URL"),
        (urls.store, "cameras", "LOOKOUT_STORE_URL"),
    ):
        with contextlib.closing(connect(url)) as client:
            client.rpush(key, "another program's")
            with pytest.raises(SettingsError, match=f"{variable}: .*its key '{key}' is a list"):
                wait_until_up(*opened(urls.bus, urls.store), After(10))
            client.delete(key)


def test_a_replica_is_told_as_one(urls: Urls, caplog: pytest.LogCaptureFixture) -> None:
    with contextlib.closing(connect(urls.bus)) as client:
        client.replicaof("127.0.0.1", "1")
        try:
            assert "it is a replica, which takes no writes" in told(urls.bus, urls.store, caplog)
        finally:
            client.replicaof("NO", "ONE")


def test_a_user_who_may_not_write_ends_the_wait(urls: Urls) -> None:
    with contextlib.closing(connect(urls.bus)) as client:
        client.acl_setuser(
            "reader",
            enabled=True,
            passwords=[f"+{SECRET}"],
            keys=["*"],
            categories=["+@read"],
            commands=["+ping", "+info", "+type"],
        )
        try:
            url = urls.bus.replace("unix://", f"unix://reader:{SECRET}@")
            with pytest.raises(
                SettingsError, match=r"LOOKOUT_BUS_URL: .*user or password: .*eval"
            ) as caught:
                wait_until_up(*opened(url, urls.store), After(10))
            assert SECRET not in str(caught.value)
        finally:
            client.acl_deluser("reader")


def test_what_is_no_redis_is_told(urls: Urls, caplog: pytest.LogCaptureFixture) -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        try:
            line = told(f"redis://127.0.0.1:{web.server_address[1]}", urls.store, caplog)
        finally:
            web.shutdown()
    assert "what answers there is no Redis" in line
