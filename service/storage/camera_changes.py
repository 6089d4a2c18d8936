"""Changes of a camera that reach both servers: its record, and what no longer holds of it."""

from __future__ import annotations

from typing import Literal

from lookout.models.scoring.normalizer import PLACE_SCHEMES
from lookout.service.core.camera import Camera, CameraChange
from lookout.service.core.errors import ConflictError
from lookout.service.core.jobs import FormerModel
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store

RELEARN = {"url", "model", "calibration", "memory"}
"""A change of one of these makes what was learned worthless."""


def replace_camera(bus: Bus, store: Store, before: Camera, new: Camera) -> None:
    """Write a camera in the place of `before`, and forget what was learned and reported of it.

    Raises ConflictError where the stored camera is not `before`, and RequestError for one whose
    password cannot be read.
    """
    store.replace_camera(new, before)
    if new.revision != before.revision:
        places = new.score in PLACE_SCHEMES and new.score != before.score
        if places or any(getattr(before, name) != getattr(new, name) for name in RELEARN):
            store.forget_snapshot(before.id)
        bus.forget_reports(before.id)


def promote(bus: Bus, store: Store, camera: str, checkpoint: str) -> Camera:
    """Give a camera a checkpoint with the bounds that it was calibrated to; return the camera.

    A camera with a memory of places goes on learning its bounds: no calibration holds those.
    The model before is kept to go back to. Done again it changes nothing. Raises NotFoundError, and
    as `replace_camera`.
    """
    before = store.camera(camera)
    if before.model == checkpoint:
        return before
    store.push_former_model(camera, FormerModel(before.model, before.calibration))
    calibration: Literal["learn", "model"] = "model"
    if before.score in PLACE_SCHEMES:
        calibration = "learn"
    return set_model(bus, store, before, checkpoint, calibration)


def roll_back(bus: Bus, store: Store, camera: str) -> Camera:
    """Give a camera the model that it had before the last promotion; return the camera.

    Raises NotFoundError; ConflictError where it has no earlier model, and as `replace_camera`.
    """
    before = store.camera(camera)
    formers = [one for one in store.former_models(camera) if one.model != before.model]
    if not formers:
        raise ConflictError(f"camera {camera!r} has no earlier model to go back to")
    changed = set_model(bus, store, before, formers[0].model, formers[0].calibration)
    store.drop_former_model(camera, formers[0])
    return changed


def set_model(
    bus: Bus, store: Store, before: Camera, model: str, calibration: Literal["learn", "model"]
) -> Camera:
    """Change a camera's model and calibration, as a PATCH does; return the camera."""
    changed = before.changed(CameraChange(model=model, calibration=calibration))
    replace_camera(bus, store, before, changed)
    return changed
