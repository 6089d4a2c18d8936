"""A kill within the test's own process."""

from __future__ import annotations


class KilledError(BaseException):
    """As SIGKILL: nobody has time for anything."""
