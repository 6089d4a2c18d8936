"""How a server that is away is spoken of: once when it goes, once when it is back, and not at every attempt between."""

from __future__ import annotations

import time

CALM_S = 5.0
"""So long without trouble, and it is over. A server that refuses writes only looks well at every read between."""


class Outage:
    def __init__(self, calm_s: float = CALM_S) -> None:
        self._calm_s = calm_s
        self._failed_at: float | None = None

    def failed(self) -> bool:
        """Note a failure; True for the first of an outage, which is the one to log."""
        first = self._failed_at is None
        self._failed_at = time.monotonic()
        return first

    def worked(self) -> bool:
        """Note a success; True, once, when the outage is over."""
        if self._failed_at is None or time.monotonic() - self._failed_at < self._calm_s:
            return False
        self._failed_at = None
        return True
