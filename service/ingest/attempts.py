"""The budget that all cameras of a worker share for their attempts to connect.

An address is probed first (`probe.py`); only one that answers, or a file, gets a decoder process.
Of decoders, no more start at once than there are cores to load their libraries on; a camera whose
last decoder showed no picture waits behind those that did, and for a rate.
"""

from __future__ import annotations

import os
from typing import Protocol

from lookout.service.core.camera import Camera
from lookout.service.ingest.probe import Probe, Prober

FAILING_EVERY_S = 3.0  # between decoders for cameras that answer and showed no picture last time
LEAST_AT_ONCE = 2


class AttemptBudget(Protocol):
    """The part of the budget that a runner uses. No method waits."""

    def ask(self, camera: Camera, limit_s: float, *, failing: bool) -> Probe:
        """Begin to probe the camera's address."""

    def may_start(self, camera: str, failures: int, now: float) -> bool:
        """Return whether the camera's decoder may start now; ask again until it may."""

    def started(self, camera: str) -> None:
        """Note that the camera's decoder has loaded or ended, or that none is wanted any more."""


class Attempts:
    """The budget of one worker."""

    def __init__(self, prober: Prober, at_once: int | None = None) -> None:
        """at_once: decoders that may load their libraries at the same time; None: one a core."""
        self._prober = prober
        self._at_once = at_once or max(LEAST_AT_ONCE, os.cpu_count() or 1)
        self._loading: set[str] = set()
        self._waiting: dict[str, int] = {}  # camera → failures of its decoders, oldest first
        self._failing_at = 0.0  # when a decoder that failed may start again

    def ask(self, camera: Camera, limit_s: float, *, failing: bool) -> Probe:
        """Begin to probe the camera's address."""
        return self._prober.ask(camera, limit_s, failing=failing)

    def may_start(self, camera: str, failures: int, now: float) -> bool:
        """Return whether the camera's decoder may start now; ask again until it may.

        failures: decoders in a row that showed no picture. Those with the fewest go first.
        """
        self._waiting[camera] = failures
        if len(self._loading) >= self._at_once:
            return False
        if camera != min(self._waiting, key=self._waiting.__getitem__):
            return False
        if failures:
            if now < self._failing_at:
                return False
            self._failing_at = now + FAILING_EVERY_S
        del self._waiting[camera]
        self._loading.add(camera)
        return True

    def started(self, camera: str) -> None:
        """Note that the camera's decoder has loaded or ended, or that none is wanted any more."""
        self._loading.discard(camera)
        self._waiting.pop(camera, None)
