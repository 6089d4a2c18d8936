"""From settings to an open bus and store: the first step of every stage."""

from __future__ import annotations

import contextlib
import logging
import threading

import redis

from lookout.service.core.errors import SettingsError
from lookout.service.core.settings import Settings
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis.connect import (
    BUS_URL,
    REJECTED,
    STORE_URL,
    UNAVAILABLE,
    NotOursError,
    Server,
    explain,
    open_client,
)
from lookout.service.storage.store.camera_secrets import CameraSecrets
from lookout.service.storage.store.store import Store

log = logging.getLogger(__name__)

RETRY_EVERY_S = 0.2


def check_urls(settings: Settings) -> None:
    """Raise SettingsError where a stage's setting names no usable server."""
    for url, variable in ((settings.bus_url, BUS_URL), (settings.store_url, STORE_URL)):
        open_client(url, variable).close()


def open_bus(settings: Settings) -> Bus:
    """Return the bus. Does not connect yet. Raises SettingsError without a usable URL."""
    return Bus(
        open_client(settings.bus_url, BUS_URL),
        frames_kept=settings.frames_kept,
        scores_kept=settings.scores_kept,
        heats_kept=settings.heats_kept,
    )


def open_store(settings: Settings) -> Store:
    """Return the store. Does not connect yet. Raises SettingsError without a usable URL."""
    return Store(
        open_client(settings.store_url, STORE_URL),
        alerts_kept=settings.alerts_kept,
        secrets=CameraSecrets.of(settings),
    )


def wait_until_up(
    bus: Bus, store: Store, stop: threading.Event, *, is_logged: bool = False
) -> bool:
    """Wait until both servers answer; return False where `stop` came first.

    is_logged: the caller has logged that one is away.
    Raises SettingsError where a server wants another user or password.
    """
    is_up = wait_for_server("bus", BUS_URL, bus, stop, is_logged=is_logged) and wait_for_server(
        "store", STORE_URL, store, stop, is_logged=is_logged
    )
    if is_up:
        with contextlib.suppress(*UNAVAILABLE):  # the next start does it
            if count := store.seal_cameras():
                log.warning("the addresses of %d cameras are now encrypted in the store", count)
    return is_up


def wait_for_server(
    role: str, variable: str, server: Server, stop: threading.Event, *, is_logged: bool = False
) -> bool:
    """Wait until a server answers, with one log line. See `wait_until_up`."""
    while not stop.is_set():
        try:
            server.ping()
            server.check_usable()
        except NotOursError as error:
            raise SettingsError(f"{variable}: the server at {server.address} {error}") from None
        except redis.exceptions.NoPermissionError as error:
            raise SettingsError(
                f"{variable}: the Redis at {server.address} wants another user or password: {error}"
            ) from None
        except REJECTED:
            raise SettingsError(
                f"{variable}: the Redis at {server.address} wants another user or password"
            ) from None
        except UNAVAILABLE as error:
            if not is_logged:
                log.warning(
                    "waiting for the %s (%s, at %s): %s",
                    role,
                    variable,
                    server.address,
                    explain(error),
                )
            is_logged = True
            stop.wait(RETRY_EVERY_S)
        else:
            if is_logged:
                log.info("the %s answers", role)
            return True
    return False
