"""From settings to an open bus and store: what every stage does first."""

from __future__ import annotations

import logging
import threading
from urllib.parse import urlsplit

import redis

from lookout.service.core.errors import SettingsError
from lookout.service.core.settings import Settings
from lookout.service.storage.bus.bus import UNAVAILABLE, Bus, connect
from lookout.service.storage.redis.cluster import MARK
from lookout.service.storage.store.store import Store

log = logging.getLogger(__name__)

BUS_URL, STORE_URL = "LOOKOUT_BUS_URL", "LOOKOUT_STORE_URL"
UNWELCOME = (redis.AuthenticationError, redis.exceptions.NoPermissionError)
"""Waiting does not help: the server is up, and wants another user or password."""


def open_bus(settings: Settings) -> Bus:
    """Raises SettingsError without a usable URL. Does not connect yet."""
    return Bus(
        open_client(settings.bus_url, BUS_URL),
        frames_kept=settings.frames_kept,
        scores_kept=settings.scores_kept,
        heats_kept=settings.heats_kept,
    )


def open_store(settings: Settings) -> Store:
    """Raises SettingsError without a usable URL. Does not connect yet."""
    return Store(open_client(settings.store_url, STORE_URL), alerts_kept=settings.alerts_kept)


def open_client(url: str | None, variable: str) -> redis.Redis:
    if not url:
        raise SettingsError(
            f"{variable} is not set (a single stage needs both; `lookout serve` starts its own Redis)"
        )
    try:
        _check_url(url)
        client = connect(url)
        _check_options(client)
    except (ValueError, TypeError, redis.RedisError):  # its text may repeat a part of the password
        raise SettingsError(
            f"{variable} is no usable Redis address: redis://, rediss:// or unix:// with known options, "
            "redis+cluster:// or rediss+cluster://; "
            "percent-encode @ / : ? # % in its user and password"
        ) from None
    return client


def _check_url(url: str) -> None:
    """redis-py takes what follows a / or ? in a password for a path or options, and passes over what it cannot use."""
    parts = urlsplit(url)
    database = parts.path.removeprefix("/") if parts.scheme != "unix" else ""
    if parts.scheme.endswith(MARK) and database not in ("", "0"):
        raise ValueError("a cluster has one database")
    if "@" in parts.path + parts.query + parts.fragment or (database and not database.isdecimal()):
        raise ValueError("a password is not percent-encoded, or the database is no number")


def _check_options(client: redis.Redis) -> None:
    """Raises what would else come with the first connection: for an unknown option, or a host that can be no name."""
    pool = client.connection_pool
    pool.connection_class(**pool.connection_kwargs)
    str(pool.connection_kwargs.get("host", "")).encode("idna")


def wait_until_up(bus: Bus, store: Store, stop: threading.Event) -> bool:
    """Wait for both servers; False where `stop` came first. Raises SettingsError where a password is wrong."""
    return _wait_for("bus", BUS_URL, bus, stop) and _wait_for("store", STORE_URL, store, stop)


def _wait_for(role: str, variable: str, server: Bus | Store, stop: threading.Event) -> bool:
    told = False
    while not stop.is_set():
        try:
            server.ping()
        except UNWELCOME:
            raise SettingsError(
                f"{variable}: the Redis at {server.address} wants another user or password"
            ) from None
        except UNAVAILABLE as error:
            if not told:
                log.warning(
                    "waiting for the %s (%s, at %s): %s", role, variable, server.address, error
                )
            told = True
            stop.wait(0.2)
        else:
            if told:
                log.info("the %s answers", role)
            return True
    return False
