"""The time that a training takes, and may take."""

from __future__ import annotations

import math
import time


class Clock:
    """How long a training has been going on, over all processes that had a part in it, and how long it still may."""

    def __init__(self, most_s: float = 0.0, before_s: float = 0.0) -> None:
        """most_s: that it may take; 0: no limit."""
        self._most_s, self._before_s = most_s or math.inf, before_s
        self._since_s: float | None = None  # monotonic; None: it stands

    def start(self) -> None:
        self._since_s = time.monotonic()

    @property
    def spent_s(self) -> float:
        return self._before_s + (0.0 if self._since_s is None else time.monotonic() - self._since_s)

    @property
    def left_s(self) -> float:
        """inf where there is no limit."""
        return max(0.0, self._most_s - self.spent_s)

    @property
    def is_over(self) -> bool:
        return self.left_s == 0
