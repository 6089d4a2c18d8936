"""Limits against a hostile stream: memory of the decoder process, restarts of the session."""

from __future__ import annotations

import os
import resource
import sys
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import cv2

from lookout.service.core.errors import SourceLostError

MB = 2**20
MOST_THREADS = 16  # libav starts no more for one stream
STACK_MB = 8  # what each reserves, whatever it uses
MOST_RESTARTS = 20
RESTARTS_WITHIN_S = 10.0


def limit_memory(most_mb: int) -> None:
    """Limit this process to `most_mb` beyond what it has now, and its threads' stacks.

    An allocation beyond that raises MemoryError: a server decides what it sends, and libav keeps
    what it cannot use yet. There is no limit on systems other than Linux.
    """
    cv2.setNumThreads(1)  # shrinking one picture is not worth a thread per core and camera
    if sys.platform != "linux":
        return
    stacks_mb = min(os.cpu_count() or 1, MOST_THREADS) * STACK_MB
    most = allocated_bytes() + (most_mb + stacks_mb) * MB
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def allocated_bytes() -> int:
    """Return the writable private memory of this process, used or not (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:"))


@dataclass(slots=True)
class RestartLimit:
    """Bounds the sessions after the first of a live stream, so that none floods the store.

    A session restarts when the stream's clock jumps or its frame size changes.
    """

    _times: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_RESTARTS))

    def add(self, now: float) -> None:
        """Count a restart at `now` (monotonic s).

        Raises SourceLostError for more than MOST_RESTARTS in RESTARTS_WITHIN_S.
        """
        if len(self._times) == MOST_RESTARTS and now - self._times[0] < RESTARTS_WITHIN_S:
            raise SourceLostError(
                "the stream changes its clock or its frame size all the time",
                code="source_restarts",
            )
        self._times.append(now)
