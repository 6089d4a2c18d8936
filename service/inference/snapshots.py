"""Snapshots: the part of a camera's state that outlives its worker, and how far it is saved."""

from __future__ import annotations

import time
from typing import Any

from lookout.models.scoring.camera_state import CameraState
from lookout.service.core.errors import Reason
from lookout.service.core.messages import FrameId
from lookout.service.inference.scene_watch import SceneWatch


class SnapshotProgress:
    """The newest snapshot of one camera in the store, and the one on its way there."""

    def __init__(self, snapshot_id: FrameId | None) -> None:
        self._snapshot_id = snapshot_id
        self._pending_id = snapshot_id
        self._requested_at = time.monotonic()
        self._error: Reason | None = None

    @property
    def snapshot_id(self) -> FrameId | None:
        """The store holds the state after this frame."""
        return self._snapshot_id

    @property
    def pending_snapshot_id(self) -> FrameId | None:
        """The newest snapshot that is saved or on its way is of this frame."""
        return self._pending_id

    @property
    def error(self) -> Reason | None:
        """Reason why the last snapshot could not be saved."""
        return self._error

    def age_s(self, now: float) -> float:
        """Return the time since a snapshot was last requested; now: `time.monotonic`."""
        return now - self._requested_at

    def unsaved_frames(self, accounted_id: FrameId | None) -> int:
        """Return how far the pending snapshot is behind, within the session."""
        if accounted_id is None:
            return 0
        pending = self._pending_id
        if pending is None or pending.session != accounted_id.session:
            return accounted_id.seq + 1
        return accounted_id.seq - pending.seq

    def request(self, snapshot_id: FrameId) -> bool:
        """Note a request; return False where this snapshot is saved or on its way already."""
        self._requested_at = time.monotonic()
        is_new = snapshot_id != self._pending_id
        self._pending_id = snapshot_id
        return is_new

    def confirm(self, snapshot_id: FrameId) -> None:
        """Note that a snapshot is in the store."""
        self._snapshot_id = snapshot_id
        self._error = None

    def fail(self, error: Reason) -> None:
        """Note that a snapshot was given up: the next request is a new one."""
        self._pending_id = self._snapshot_id
        self._error = error


def snapshot_state(
    identity: str, view: str, state: CameraState, watch: SceneWatch
) -> dict[str, Any]:
    """Return what a snapshot holds, as JSON-able values."""
    return {"of": identity, "view": view, "scene": watch.to_json(), **state.state_dict()}


def restore(state: CameraState, saved: dict[str, Any]) -> SceneWatch:
    """Continue a fresh state from `snapshot_state`'s result; return the scene watch.

    Raises ValueError, KeyError or TypeError where it cannot be used, and then changes nothing.
    """
    watch = SceneWatch.from_json(saved["scene"])
    state.load_state_dict(saved)
    return watch
