"""How long to wait before a lost camera is tried again: longer each time, and not in step with other cameras."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(slots=True)
class Backoff:
    """Exponential back-off with jitter: the n-th delay is random in [first * 2^n, first * 2^(n+1)], at most `most`."""

    first_s: float
    most_s: float
    reset_after_s: float
    rng: random.Random = field(default_factory=random.Random)
    failures: int = 0

    def delay_s(self, ran_s: float) -> float:
        """The wait after a failure; `ran_s` is how long the source ran well before it."""
        if ran_s >= self.reset_after_s:
            self.failures = 0
        high = min(self.most_s, self.first_s * 2.0 ** min(self.failures + 1, 64))
        self.failures += 1
        return self.rng.uniform(max(self.first_s, high / 2), max(self.first_s, high))
