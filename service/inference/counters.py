"""What the forward passes of this worker took, until the bus has added it to what the others did."""

from __future__ import annotations

from collections import Counter

from lookout.service.core import metrics
from lookout.service.storage.bus.bus import Bus


class Tally:
    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._untold: Counter[str] = Counter()

    def step(self, frames: int, seconds: float) -> None:
        """One forward pass."""
        self._untold.update(metrics.observed(metrics.BATCH, frames))
        self._untold.update(metrics.observed(metrics.STEP, seconds))

    def tell(self, bus: Bus) -> None:
        """Have it counted. Raises one of UNAVAILABLE; it is told the next time then."""
        if self._untold:
            bus.count_stage(self._stage, self._untold)
            self._untold.clear()
