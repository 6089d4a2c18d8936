"""What of a camera outlives its worker: the memory's items and what the scores are normalised with, at a frame."""

from __future__ import annotations

import hashlib
from typing import Any

from lookout.service.core.camera import Camera
from lookout.service.inference.camera_line import CameraLine
from lookout.service.inference.scene_watch import SceneWatch
from lookout.service.storage.store.snapshots import Snapshot


def take(line: CameraLine) -> Snapshot | None:
    """The line as its last finished frame left it. None where there is none, or where the bus is still to be told."""
    if line.done is None or line.unsent:
        return None
    state = {
        "of": line.identity,
        "scene": line.watch.as_json(),
        **line.state.state_dict(),
    }
    return Snapshot(line.done, state)


def restore(line: CameraLine, state: dict[str, Any]) -> None:
    """Make the line as it was, or raise ValueError, KeyError or TypeError and change nothing."""
    watch = SceneWatch.of_json(state["scene"])
    line.state.load_state_dict(state)
    line.watch = watch


def identity(camera: Camera, checkpoint_digest: str) -> str:
    """What was learned belongs to this camera, looking there, through these weights. Holds no password."""
    text = f"{camera.id} {camera.created_at!r} {camera.url} {camera.calibration} {camera.memory} {checkpoint_digest}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
