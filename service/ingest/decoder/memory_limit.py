"""How much memory a decoder may take: a server decides what it sends, and libav keeps what it cannot use yet."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import cv2

MB = 2**20
MOST_THREADS = 16  # libav starts no more for one stream
STACK_MB = 8  # what each reserves, whatever it uses


def bound(most_mb: int) -> None:
    """Let this process take so much beyond what it has now, and its threads' stacks. More is a MemoryError.

    Elsewhere than on Linux there is no bound.
    """
    cv2.setNumThreads(1)  # a thread a core, for each camera, to shrink one picture?
    if sys.platform != "linux":
        return
    stacks_mb = min(os.cpu_count() or 1, MOST_THREADS) * STACK_MB
    most = _data_bytes() + (most_mb + stacks_mb) * MB
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(
        resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard)
    )


def _data_bytes() -> int:
    """What is allocated now: writable and private, used or not."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:"))
