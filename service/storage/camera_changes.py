"""Changes of a camera that reach both servers: its record, and what no longer holds of it."""

from __future__ import annotations

from typing import Literal

from lookout.models.scoring.normalizer import PLACE_SCHEMES
from lookout.service.core.camera import Camera, CameraChange
from lookout.service.core.errors import ConflictError
from lookout.service.core.jobs import FormerModel, LearningJob
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store

RELEARN = {"url", "model", "calibration", "memory"}
"""A change of one of these makes what was learned worthless."""

KEEPS_PLACES = {"model", "score"}
"""A change of these alone leaves the memory of places as it is: it needs no network."""


def replace_camera(bus: Bus, store: Store, before: Camera, new: Camera) -> None:
    """Write a camera in the place of `before`, and forget what was learned and reported of it.

    Raises ConflictError where the stored camera is not `before`, and RequestError for one whose
    password cannot be read.
    """
    store.replace_camera(new, before)
    if new.revision != before.revision:
        changed = {name for name in RELEARN if getattr(before, name) != getattr(new, name)}
        if new.score in PLACE_SCHEMES and new.score != before.score:
            changed.add("score")
        if changed and changed <= KEEPS_PLACES:
            store.keep_places(before.id)
        elif changed:
            store.forget_snapshot(before.id)
        bus.forget_reports(before.id)


def promote(bus: Bus, store: Store, job: LearningJob) -> Camera:
    """Give a camera its job's checkpoint with the bounds that it was calibrated to; return it.

    A camera with a memory of places goes on learning its bounds: no calibration holds those.
    The model before is kept to go back to. Done again it changes nothing. Raises NotFoundError, and
    as `replace_camera`.
    """
    before = store.camera(job.camera)
    if before.model == job.checkpoint:
        return before
    former = FormerModel(before.model, before.calibration, before.score)
    store.push_former_model(job.camera, former)
    score = job.score_after(before.score)
    calibration: Literal["learn", "model"] = "model"
    if score in PLACE_SCHEMES:
        calibration = "learn"
    return set_model(bus, store, before, FormerModel(job.checkpoint, calibration, score))


def roll_back(bus: Bus, store: Store, camera: str) -> Camera:
    """Give a camera the model that it had before the last promotion; return the camera.

    Raises NotFoundError; ConflictError where it has no earlier model, and as `replace_camera`.
    """
    before = store.camera(camera)
    formers = [one for one in store.former_models(camera) if one.model != before.model]
    if not formers:
        raise ConflictError(
            f"camera {camera!r} has no earlier model to go back to", code="no_former", camera=camera
        )
    changed = set_model(bus, store, before, formers[0])
    store.drop_former_model(camera, formers[0])
    return changed


def set_model(bus: Bus, store: Store, before: Camera, model: FormerModel) -> Camera:
    """Change a camera's model, calibration and score, as a PATCH does; return the camera."""
    wanted = {"model": model.model, "calibration": model.calibration, "score": model.score}
    change = CameraChange(**{name: value for name, value in wanted.items() if value is not None})
    changed = before.changed(change)
    replace_camera(bus, store, before, changed)
    return changed
