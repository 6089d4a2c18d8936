"""What of a camera outlives its worker: the memory's items and what the scores are normalised with, at a frame."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lookout.models.memory_update import Rollback
from lookout.models.scoring.local import LocalScore
from lookout.models.scoring.normalizer import Learner
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
        "items": _packed(line.items),
        "learner": line.learner.as_json(),
        "scene": line.watch.as_json(),
        "rollback": line.rollback.as_json(),
        "local": line.local.as_json(),
    }
    return Snapshot(line.done, state)


def restore(line: CameraLine, state: dict[str, Any]) -> None:
    """Make the line as it was, or raise ValueError, KeyError or TypeError and change nothing."""
    items = _unpacked(state["items"], line.items)
    learner = Learner.of_json(state["learner"], line.learner.needed, line.camera.score)
    watch, rollback = SceneWatch.of_json(state["scene"]), Rollback.of_json(state["rollback"])
    local = LocalScore.of_json(state["local"])
    line.items, line.learner, line.watch, line.rollback, line.local = (
        items,
        learner,
        watch,
        rollback,
        local,
    )


def _unpacked(text: str, like: Tensor) -> Tensor:
    """The memory's items (M, D) float32, on `like`'s device. Raises ValueError where they do not fit."""
    items = np.frombuffer(base64.b64decode(text, validate=True), "<f4")
    if items.size != like.numel() or not np.isfinite(items).all():
        raise ValueError("the memory is not this model's")
    return torch.from_numpy(items.reshape(like.shape).copy()).to(like.device)


def _packed(items: Tensor) -> str:
    return base64.b64encode(items.cpu().numpy().astype("<f4").tobytes()).decode()


def identity(camera: Camera, checkpoint_digest: str) -> str:
    """What was learned belongs to this camera, looking there, through these weights. Holds no password."""
    text = f"{camera.id} {camera.created_at!r} {camera.url} {camera.calibration} {camera.memory} {checkpoint_digest}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
