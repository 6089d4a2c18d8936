"""Progress of long work where no terminal shows a bar: a line at least every 30 seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

EVERY_S = 30.0


class StatusLines:
    """Prints the state of some work from a thread of its own, so that no step is too long for it.

    A context manager; work that ends within EVERY_S prints nothing.
    """

    def __init__(
        self, state: Callable[[], str], say: Callable[[str], None], every_s: float | None = None
    ) -> None:
        """state: returns what to print now; say: prints a line; every_s: EVERY_S by default."""
        self._state = state
        self._say = say
        self._every_s = EVERY_S if every_s is None else every_s
        self._began_s = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="status", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._every_s):
            minutes, seconds = divmod(round(time.monotonic() - self._began_s), 60)
            self._say(f"{self._state()} (after {minutes}:{seconds:02} min)")


def share_done(label: str, done: int, total: int | None) -> str:
    """Return how much of the work is done, as a line says it."""
    if not total:
        return f"{label}: {done} frames"
    return f"{label}: {done} of {total} frames, {min(100, 100 * done // total)} %"
