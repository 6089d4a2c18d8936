"""Starting and stopping: signals set one Event, and children end with their parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_PR_SET_PDEATHSIG = 1


@contextlib.contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGINT, SIGTERM and SIGHUP set, and restore the handlers afterwards.

    Main thread only. The handlers are set explicitly, since a shell starts background commands
    with SIGINT ignored. SIGHUP stays ignored where it is: so `nohup` has it.
    """
    stop = threading.Event()

    def ask(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    with handling(ask, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        yield stop


@contextlib.contextmanager
def exit_on_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into SystemExit, as Ctrl-C is an exception: temporary files go.

    The exit code is 128 and the signal's number, as a shell has it. Main thread only.
    """

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    with handling(end, signal.SIGTERM, signal.SIGHUP):
        yield


@contextlib.contextmanager
def handling(
    handler: Callable[[int, FrameType | None], None], *numbers: signal.Signals
) -> Iterator[None]:
    """Handle these signals in the block; a SIGHUP that is ignored stays so."""
    former = {
        number: signal.signal(number, handler)
        for number in numbers
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, before in former.items():
            signal.signal(number, before)


def raise_file_limit() -> int:
    """Raise the process's limit of open files as far as it may be, and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS names no limit, and has one
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return sys.maxsize
    return soft


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
