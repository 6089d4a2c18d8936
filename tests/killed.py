"""A kill within the test's own process."""

from __future__ import annotations


class KilledError(BaseException):
    """Stands for SIGKILL: nothing can be cleaned up."""
