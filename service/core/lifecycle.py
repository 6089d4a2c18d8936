"""Starting and stopping: signals set one Event, and children end with their parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

_PR_SET_PDEATHSIG = 1


@contextlib.contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set, and restore the former handlers afterwards.

    Main thread only. The handlers are set explicitly, since a shell starts background commands
    with SIGINT ignored.
    """
    stop = threading.Event()

    def ask(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    former = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def die_with_parent(with_signal: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel end this process when its parent dies, by kill -9 too.

    Does nothing outside Linux.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(with_signal), 0, 0, 0)


def end_if_orphaned(parent_pid: int) -> None:
    """End at once if the parent is gone already.

    This closes the gap between fork and `die_with_parent`.
    """
    if os.getppid() != parent_pid:
        raise SystemExit(0)
