"""The service's processes, found by their command lines."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable

import psutil  # type: ignore[import-untyped]


def _words(process: psutil.Process) -> list[str]:
    try:
        return " ".join(process.cmdline()).split()  # a title is one word
    except psutil.Error:
        return []


def _below(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return []


def stages(pid: int, stage: str) -> list[int]:
    """Return the process ids of a stage's workers."""
    return sorted(one.pid for one in _below(pid) if _words(one)[-2:] == ["lookout", stage])


def decoders(pid: int) -> list[int]:
    """Return the process ids of decoders, and of what forks them."""
    server = "lookout.service.ingest.forking.server"
    return sorted(
        one.pid
        for one in _below(pid)
        if _words(one)[:1] == ["lookout:"] or _words(one)[-1:] == [server]
    )


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each process that is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def redis(pid: int, role: str) -> int | None:
    """Return the process id of the embedded server for `bus` or `store`; None when it is down."""
    return next((one.pid for one in _below(pid) if _socket(one, role)), None)


def redis_socket(pid: int, role: str) -> str:
    """Return the address of the embedded server, which a restart keeps. Raise LookupError."""
    found = next((path for one in _below(pid) if (path := _socket(one, role))), None)
    if found is None:
        raise LookupError(f"there is no {role}")
    return found


def _socket(process: psutil.Process, role: str) -> str:
    """Return the socket's path.

    Redis rewrites its command line once it is up, and both forms have it.
    """
    return next(
        (part for word in _words(process) for part in _paths(word) if f"lookout-{role}-" in part),
        "",
    )


def _paths(word: str) -> list[str]:
    return [
        part.removeprefix("unixsocket:") for part in word.split() if part.endswith("redis.sock")
    ]
