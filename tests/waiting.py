"""Wait for a condition in tests, never for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    holds: Callable[[], T], what: str, limit_s: float = 30.0, every_s: float = 0.02
) -> T:
    """Return the answer of `holds()` as soon as it is true.

    Fail the test, naming `what`, after the limit.
    """
    deadline = time.monotonic() + limit_s
    while not (answer := holds()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit_s:g} s: {what}")
        time.sleep(every_s)
    return answer
