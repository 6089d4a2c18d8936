"""/jobs: cameras that learn a network of their own, and recordings that are replayed."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body

from lookout.models.scoring.normalizer import PLACE_SCHEMES
from lookout.service.api.auth.access import IdentityDep
from lookout.service.api.checkpoints import choose_model
from lookout.service.api.dependencies import Services, ServicesDep
from lookout.service.api.job_views import JobList, JobView, ReplayView
from lookout.service.api.json_body import JsonRoute
from lookout.service.api.replays import cancel_replay, is_replay, replay_view, replay_views
from lookout.service.api.views import CameraView, camera_view
from lookout.service.core import urls
from lookout.service.core.camera import Calibration
from lookout.service.core.errors import NO_REASON, ConflictError, Reason, reason_fields
from lookout.service.core.jobs import NO_WORKER, LearningJob, LearnRequest
from lookout.service.core.stages import LEARNING
from lookout.service.storage.camera_changes import promote, roll_back

router = APIRouter(tags=["jobs"], route_class=JsonRoute)

CONFLICT: dict[int | str, dict[str, Any]] = {409: {}}  # openapi.py describes it
TRIES = 5
"""A job changes under a request: so often it is read anew."""

AS_SET = LearnRequest()
LEARN_EXAMPLES: dict[str, Any] = {
    "as the settings say": {"value": {}},
    "a recording": {"value": {"recording": "gate/monday.mp4", "footage_s": 120}},
    "a first try": {"value": {"footage_s": 60, "minutes": 1, "promote": "hand"}},
}


@router.post(
    "/cameras/{camera}/learn", status_code=202, operation_id="learn_camera", responses=CONFLICT
)
def learn(
    camera: str,
    services: ServicesDep,
    wanted: Annotated[LearnRequest, Body(openapi_examples=LEARN_EXAMPLES)] = AS_SET,
) -> JobView:
    """Train a network of the camera's own, from its present one; 409 names a job under way."""
    services.store.camera(camera)
    settings = services.settings
    if wanted.recording is not None:
        urls.recording_path(wanted.recording, settings.media_dir)
    now = time.time()
    shadow_s = settings.learning_shadow_s
    if wanted.shadow_s is not None:
        shadow_s = wanted.shadow_s
    job = LearningJob(
        camera,
        "queued",
        now,
        now,
        footage_s=wanted.footage_s or settings.learning_footage_s,
        limit_s=60 * (wanted.minutes or settings.learning_minutes),
        promote=wanted.promote,
        recording=wanted.recording or "",
        shadow_s=shadow_s,
    )
    return view(services, services.store.add_job(job))


@router.get("/jobs")
def list_jobs(
    services: ServicesDep,
    sender: IdentityDep,
    camera: str | None = None,
    latest: bool = False,
    kind: Literal["learning", "replay"] = "learning",
) -> JobList:
    """Return the jobs of all cameras, or of one, newest first: the last 20 of each.

    latest: the newest of each camera alone. kind: `replay` for the last 10 replays of each.
    """
    cameras = [camera] if camera is not None else list(services.store.cameras())
    seen = [name for name in cameras if sender.sees(name)]
    if kind == "replay":
        return JobList(items=list(replay_views(services, seen, latest=latest)))
    jobs = services.store.jobs(seen)
    if latest:
        newest: dict[str, LearningJob] = {}
        for job in jobs:
            newest.setdefault(job.camera, job)
        jobs = list(newest.values())
    return JobList(items=[view(services, job) for job in jobs])


@router.get("/jobs/{job}")
def get_job(job: str, services: ServicesDep) -> JobView | ReplayView:
    """Return one job."""
    if is_replay(job):
        return replay_view(services, services.store.replay(job))
    return view(services, services.store.job(job))


@router.delete("/jobs/{job}", operation_id="cancel_job", responses=CONFLICT)
def cancel_job(job: str, services: ServicesDep) -> JobView | ReplayView:
    """Cancel a job that is not over; the camera's model stays."""
    if is_replay(job):
        return cancel_replay(services, job)
    for _ in range(TRIES):
        before = services.store.job(job)
        if not before.is_active:
            break
        over = reason_fields("reason", NO_REASON)
        cancelled = replace(before, state="cancelled", left_s=None, paused=False, **over)
        if services.store.save_job(before, cancelled):
            return view(services, services.store.job(job))
    raise ConflictError(f"job {job!r} is over: {services.store.job(job).state}", code="job_over")


@router.post("/jobs/{job}/promote", operation_id="promote_job", responses=CONFLICT)
def promote_job(job: str, services: ServicesDep) -> JobView:
    """Give the camera the checkpoint of a job that has trained it."""
    before = services.store.job(job)
    if before.state != "trained":
        raise ConflictError(
            f"job {job!r} has no checkpoint that waits: it is {before.state}",
            code="job_not_trained",
        )
    camera = services.store.camera(before.camera)
    folders = services.settings.model_folders
    score = before.score_after(camera.score)
    calibration: Calibration = "learn" if score in PLACE_SCHEMES else "model"
    choose_model(folders, before.checkpoint, calibration, score)
    promote(services.bus, services.store, before)
    by_hand = reason_fields("reason", Reason("by hand", code="job_by_hand"))
    services.store.save_job(before, replace(before, state="promoted", **by_hand))
    return view(services, services.store.job(job))


@router.post(
    "/cameras/{camera}/rollback",
    tags=["cameras"],
    operation_id="roll_back_camera",
    responses=CONFLICT,
)
def roll_back_camera(camera: str, services: ServicesDep) -> CameraView:
    """Give the camera the model that it had before its last promotion."""
    changed = roll_back(services.bus, services.store, camera)
    return camera_view(services.bus, services.store, changed)


def view(services: Services, job: LearningJob) -> JobView:
    """Return a job as it is shown: with a reason, too, where no worker is there for it."""
    if job.is_active and not services.bus.has_workers(LEARNING.name):
        job = replace(job, **reason_fields("reason", NO_WORKER))
    return JobView.of(job)
