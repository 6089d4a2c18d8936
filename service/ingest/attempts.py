"""The budget that all cameras of a worker share for their attempts to connect.

An address is probed first (`probe.py`); only one that answers, or a file, gets a decoder process.
Of decoders, no more start at once than there are cores. A camera that
answers and whose last decoder showed no picture is tried without one (`trials.py`); as soon as it
sends packets it gets a decoder like any other. Where a trial cannot tell, or was wrong, it waits
behind those that work, and for a rate: a quick one while it has shown pictures before and fails for
the first times, else a slow one, which slows further down while no such decoder shows any.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from lookout.service.core.camera import Camera
from lookout.service.ingest.probe import Answer, Probe, Prober
from lookout.service.ingest.trials import Trials

FAILING_EVERY_S = 3.0  # between decoders for cameras that answer and showed no picture last time
MOST_FAILING_EVERY_S = 40.0  # the same, where they go on failing: less than 2 % of a core
HOPEFUL_FAILURES = 3  # of a camera that worked before: it may only be starting again
LEAST_AT_ONCE = 2


Failures = tuple[bool, int]
"""Whether a camera's decoders start at the slow rate, and how many of them failed in a row."""


class AttemptBudget(Protocol):
    """The part of the budget that a runner uses. No method waits."""

    def ask(self, camera: Camera, limit_s: float, *, failing: bool, tried: bool) -> Probe:
        """Begin to probe the camera's address; tried: and then to try whether it sends pictures."""

    def may_start(self, camera: str, failures: int, now: float, *, worked: bool) -> bool:
        """Return whether the camera's decoder may start now; ask again until it may."""

    def recovered(self) -> None:
        """Note that a camera works whose last decoder showed no picture."""

    def started(self, camera: str) -> None:
        """Note that the camera's decoder has loaded or ended, or that none is wanted any more."""


@dataclass(slots=True)
class ProbeAndTrial:
    """A probe, and a trial of the camera that answers it."""

    probe: Probe
    begin: Callable[[], Probe]
    _trial: Probe | None = None

    def answer(self) -> Answer | None:
        """Return how both ended; None while they run."""
        if self._trial is None:
            answer = self.probe.answer()
            if answer is None or answer.error is not None:
                return answer
            self._trial = self.begin()
        return self._trial.answer()

    def cancel(self) -> None:
        """Give both up."""
        (self._trial or self.probe).cancel()


class Attempts:
    """The budget of one worker."""

    def __init__(self, prober: Prober, trials: Trials, at_once: int | None = None) -> None:
        """at_once: decoders that may load their libraries at the same time; None: one a core."""
        self._prober = prober
        self._trials = trials
        self._at_once = at_once or max(LEAST_AT_ONCE, os.cpu_count() or 1)
        self._loading: set[str] = set()
        self._waiting: dict[str, Failures] = {}  # of each camera, oldest first
        self._quick_at = 0.0  # when a decoder may start again: for a camera that worked before
        self._slow_at = 0.0  # for one that never did, or has failed too often
        self._slow_every_s = FAILING_EVERY_S

    def ask(self, camera: Camera, limit_s: float, *, failing: bool, tried: bool) -> Probe:
        """Begin to probe the camera's address; tried: and then to try whether it sends pictures."""
        probe = self._prober.ask(camera, limit_s, failing=failing)
        return ProbeAndTrial(probe, partial(self._trials.ask, camera)) if tried else probe

    def may_start(self, camera: str, failures: int, now: float, *, worked: bool) -> bool:
        """Return whether the camera's decoder may start now; ask again until it may.

        failures: decoders in a row that showed no picture; those with the fewest go first. worked:
        an earlier decoder of this camera showed pictures.
        """
        is_slow = failures > HOPEFUL_FAILURES if worked else failures > 0
        self._waiting[camera] = (is_slow, failures)
        if len(self._loading) >= self._at_once:
            return False
        if now < self._next_start(is_slow, failures):
            return False
        if camera != min(self._waiting, key=self._waiting.__getitem__):
            return False
        if is_slow:
            self._slow_at = now + self._slow_every_s
            self._slow_every_s = min(2 * self._slow_every_s, MOST_FAILING_EVERY_S)
        elif failures:
            self._quick_at = now + FAILING_EVERY_S
        del self._waiting[camera]
        self._loading.add(camera)
        return True

    def recovered(self) -> None:
        """Note that a camera works whose last decoder showed no picture: others may work, too."""
        self._slow_every_s = FAILING_EVERY_S
        self._slow_at = min(self._slow_at, self._quick_at)

    def _next_start(self, is_slow: bool, failures: int) -> float:
        if is_slow:
            return self._slow_at
        return self._quick_at if failures else 0.0

    def started(self, camera: str) -> None:
        """Note that the camera's decoder has loaded or ended, or that none is wanted any more."""
        self._loading.discard(camera)
        self._waiting.pop(camera, None)
