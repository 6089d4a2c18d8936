"""Follows the values of the cameras that learn: whether they are still those that were learned."""

from __future__ import annotations

import time
from collections.abc import Iterable

from lookout.service.core.camera import Camera
from lookout.service.core.drift import DriftState, ValueDrift
from lookout.service.core.messages import InferenceReport
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store

SAMPLE_EVERY_S = 1.0
SAVE_EVERY_S = 300.0
"""A worker that dies loses so much of two days."""


class DriftWatch:
    """Counts the newest value of each camera once a second. Methods may raise one of UNAVAILABLE.

    The state is in the store, so that another worker goes on with it.
    """

    def __init__(self, bus: Bus, store: Store) -> None:
        self._bus = bus
        self._store = store
        self._states: dict[str, DriftState] = {}
        self._drifts: dict[str, ValueDrift | None] = {}
        self._seen_at: dict[str, float] = {}  # time of the newest counted report
        self._saved_at: dict[str, float] = {}  # monotonic s
        self._due_at = 0.0  # monotonic s

    def follow(self, cameras: Iterable[Camera]) -> None:
        """Count a value of each camera, where it has a new one; forget all other cameras."""
        if time.monotonic() < self._due_at:
            return
        self._due_at = time.monotonic() + SAMPLE_EVERY_S
        records = {camera.id: camera for camera in cameras}
        for name in self._states.keys() - records.keys():
            del self._states[name]
        overviews = self._bus.overview(records)
        for name, camera in records.items():
            report = overviews[name].inference
            if report is not None and report.revision == camera.revision:
                self._count(camera, report)

    def is_drifted(self, camera: Camera) -> bool:
        """Tell whether a followed camera's values have drifted since it learned."""
        if camera.id not in self._states or self._states[camera.id].revision != camera.revision:
            return False
        drift = self._drifts[camera.id]
        return drift is not None and drift.is_drifted

    def _count(self, camera: Camera, report: InferenceReport) -> None:
        """Count the newest value of a camera; save now and then, and when an hour has ended."""
        name = camera.id
        state = self._states.get(name)
        if state is None:
            state = self._store.drift_state(name) or DriftState(camera.revision)
            self._drifts[name] = state.drift()
            self._saved_at[name] = time.monotonic()
        if state.revision != camera.revision:  # other values: another model, address or score
            state = DriftState(camera.revision)
            self._drifts[name] = None
        self._states[name] = state
        at = report.last_captured_at
        is_new = at is not None and at != self._seen_at.get(name)
        if at is None or report.score is None or not is_new:
            return
        self._seen_at[name] = at
        ended = state.add(report.score, at)
        if ended:
            self._drifts[name] = state.drift()
        if ended or time.monotonic() - self._saved_at[name] >= SAVE_EVERY_S:
            self._store.save_drift(name, state, self._drifts[name])
            self._saved_at[name] = time.monotonic()
