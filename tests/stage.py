"""A stage in a thread, for tests."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from lookout.service.core.settings import Settings

Run = Callable[[Settings, threading.Event], None]


@contextlib.contextmanager
def working(
    run: Run, settings: Settings, stops_within_s: float = 10.0
) -> Iterator[threading.Event]:
    """Run `run` in a thread that ends with the context; an early end fails the test."""
    stop, failed = threading.Event(), list[BaseException]()

    def work() -> None:
        try:
            run(settings, stop)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, name=run.__module__)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(stops_within_s)
    assert not thread.is_alive(), f"{run.__module__} does not stop"
    assert not failed, failed
