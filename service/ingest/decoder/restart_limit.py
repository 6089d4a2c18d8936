"""How often a stream may begin anew by itself: a server that never stops doing so floods the store with sessions."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from lookout.service.core.errors import SourceLostError

MOST = 20
WITHIN_S = 10.0


@dataclass(slots=True)
class Cuts:
    """Counts a live stream's sessions after its first: its clock jumped, or its frame size changed."""

    _times: deque[float] = field(default_factory=lambda: deque(maxlen=MOST))

    def another(self, now: float) -> None:
        """`now`: s, a clock that only goes forward. Raises SourceLostError where it is more than MOST in WITHIN_S."""
        if len(self._times) == MOST and now - self._times[0] < WITHIN_S:
            raise SourceLostError("the stream changes its clock or its frame size all the time")
        self._times.append(now)
