"""From settings to an open bus and store: what every stage does first."""

from __future__ import annotations

import threading

from redis import Redis

from service.bus import UNAVAILABLE, Bus, connect
from service.errors import SettingsError
from service.settings import Settings
from service.store import Store


def open_bus(settings: Settings) -> Bus:
    """Raises SettingsError without a usable URL. Does not connect yet."""
    return Bus(
        _client(settings.bus_url, "LOOKOUT_BUS_URL"),
        frames_kept=settings.frames_kept,
        scores_kept=settings.scores_kept,
        heats_kept=settings.heats_kept,
    )


def open_store(settings: Settings) -> Store:
    """Raises SettingsError without a usable URL. Does not connect yet."""
    return Store(_client(settings.store_url, "LOOKOUT_STORE_URL"), alerts_kept=settings.alerts_kept)


def _client(url: str | None, variable: str) -> Redis:
    if not url:
        raise SettingsError(f"{variable} is not set (a single stage needs both; `lookout serve` starts its own Redis)")
    try:
        return connect(url)
    except ValueError as error:
        raise SettingsError(f"{variable}: {error}") from None


def wait_until_up(bus: Bus, store: Store, stop: threading.Event) -> bool:
    """Wait for both servers; False where `stop` came first."""
    while not stop.is_set():
        try:
            bus.ping()
            store.ping()
        except UNAVAILABLE:
            stop.wait(0.2)
        else:
            return True
    return False
