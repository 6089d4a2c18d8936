"""A copy of all that decides what a camera makes of its next frames, for a replay."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from lookout.models.checkpoint.header import digest, find_checkpoints, read_header
from lookout.models.errors import CheckpointError
from lookout.service.core.camera import Camera
from lookout.service.core.errors import BrokenMessageError, RequestError
from lookout.service.core.replay import FROM_SETTINGS, MASKED_URL, CameraCopy
from lookout.service.core.settings import Settings
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.snapshots import camera_identity, view_identity
from lookout.service.storage.store.store import Store


def copy_camera(settings: Settings, bus: Bus, store: Store, name: str) -> CameraCopy:
    """Return a copy of a camera as it is now, without its address.

    Raises NotFoundError, RequestError where its checkpoint cannot be used, or one of UNAVAILABLE.
    """
    camera = store.camera(name)
    path = checkpoint_path(settings, camera)
    try:
        header = read_header(path)
        content = digest(path)
    except (CheckpointError, OSError) as error:
        raise RequestError(f"model {camera.model!r} cannot be used: {error}") from error
    snapshot = store.snapshot(name)
    alerting: dict[str, Any] = {}
    with contextlib.suppress(BrokenMessageError):  # alerting starts anew, too
        alerting = store.alerting_state(name) or {}
    seen = bus.overview([name])[name].inference
    live_fps = None if seen is None else seen.fps
    record = camera.model_dump(mode="json", exclude={"unreadable", "mark"})
    return CameraCopy(
        camera=record | {"url": MASKED_URL},
        identity=camera_identity(camera, content),
        view=view_identity(camera, header.preprocess),
        checkpoint=content,
        cursor=None if snapshot is None else str(snapshot.cursor),
        state={} if snapshot is None else snapshot.state,
        alerting={name: alerting[name] for name in ("budget", "zones") if name in alerting},
        fps=camera.fps or live_fps or header.fps,
        settings={name: getattr(settings, name) for name in FROM_SETTINGS},
    )


def checkpoint_path(settings: Settings, camera: Camera) -> Path:
    """Return the file of a camera's checkpoint. Raises RequestError where there is none."""
    path = find_checkpoints(*settings.model_folders).get(camera.model)
    if path is None:
        raise RequestError(f"there is no model {camera.model!r}: its checkpoint is gone")
    return path
