"""Replays of recordings: the copy of a camera for the command, and jobs that replay."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Body
from fastapi.responses import FileResponse
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from lookout.service.api.auth.access import IdentityDep
from lookout.service.api.dependencies import Services, ServicesDep
from lookout.service.api.job_views import ReplayView
from lookout.service.api.json_body import JsonRoute
from lookout.service.api.openapi import BINARY
from lookout.service.core import urls
from lookout.service.core.errors import (
    NO_REASON,
    ConflictError,
    NotFoundError,
    RequestError,
    reason_fields,
)
from lookout.service.core.jobs import NO_WORKER
from lookout.service.core.replay import (
    REPLAY,
    CameraCopy,
    ReplayJob,
    ReplayOptions,
    ReplayReport,
    ReplayRequest,
)
from lookout.service.core.stages import LEARNING
from lookout.service.storage.camera_copy import copy_camera
from lookout.service.storage.replay_files import MEDIA_TYPES, ReplayFiles

router = APIRouter(tags=["jobs"], route_class=JsonRoute)

REFUSALS: dict[int | str, dict[str, Any]] = {404: {}, 409: {}}  # openapi.py describes them
TRIES = 5
"""A job changes under a request: so often it is read anew."""

EXAMPLES: dict[str, Any] = {
    "as the camera is": {"value": {"kind": "replay", "camera": "gate", "video": "gate/monday.mp4"}},
    "another threshold": {
        "value": {
            "kind": "replay",
            "camera": "gate",
            "video": "gate/monday.mp4",
            "threshold": 0.8,
        }
    },
    "a period of the camera": {
        "value": {
            "kind": "replay",
            "camera": "gate",
            "from": 1785000000.0,
            "to": 1785003600.0,
        }
    },
}


@router.get("/cameras/{camera}/copy", operation_id="copy_camera")
def get_camera_copy(camera: str, services: ServicesDep) -> CameraCopy:
    """Return what the camera has learned, and its settings, for `lookout replay`."""
    return copy_camera(services.settings, services.bus, services.store, camera)


@router.post("/jobs", status_code=202, operation_id="replay_recording", responses=REFUSALS)
def replay_recording(
    wanted: Annotated[ReplayRequest, Body(openapi_examples=EXAMPLES)],
    services: ServicesDep,
    sender: IdentityDep,
) -> ReplayView:
    """Score a recording as a camera would score it now; 409 names a replay of it under way.

    In place of a recording, a period of the camera: as much of it as the learning stage has kept.
    """
    if not sender.sees(wanted.camera):
        raise NotFoundError(
            f"there is no camera {wanted.camera!r}", code="no_camera", camera=wanted.camera
        )
    camera = services.store.camera(wanted.camera)
    now = time.time()
    wanted.check_source(now)
    if wanted.video is not None:
        urls.recording_path(wanted.video, services.settings.media_dir)
    try:
        wanted.options.apply(camera)
    except PydanticCustomError as error:
        named = error.context or {}
        raise RequestError(f"zones: {error.message()}", code=error.type, **named) from error
    job = ReplayJob(
        wanted.camera,
        "queued",
        now,
        now,
        wanted.video or "",
        wanted.options.model_dump_json(),
        until=wanted.until,
    )
    return replay_view(services, services.store.add_replay(job))


@router.get(
    "/jobs/{job}/files/{name}",
    response_class=FileResponse,
    responses={200: {"content": {kind: {"schema": BINARY} for kind in MEDIA_TYPES.values()}}},
    operation_id="get_job_file",
)
def get_job_file(job: str, name: str, services: ServicesDep) -> FileResponse:
    """Return a file of a replay that is done."""
    found = services.store.replay(job)
    if found.state != "done":
        raise NotFoundError(f"job {job!r} has no files: it is {found.state}", code="no_file")
    path = ReplayFiles.of(services.settings.data_dir, found).file(name)
    return FileResponse(
        path, media_type=MEDIA_TYPES[path.suffix], headers={"Cache-Control": "private"}
    )


def is_replay(job: str) -> bool:
    """Tell whether a job's id is one of a replay."""
    return job.rpartition(":")[2].startswith(REPLAY)


def replay_views(services: Services, cameras: Iterable[str], *, latest: bool) -> list[ReplayView]:
    """Return the replays of cameras, newest first, without their reports.

    latest: the newest of each camera alone.
    """
    jobs = services.store.replays(cameras)
    if latest:
        newest: dict[str, ReplayJob] = {}
        for job in jobs:
            newest.setdefault(job.camera, job)
        jobs = list(newest.values())
    return [replay_view(services, job, with_report=False) for job in jobs]


def cancel_replay(services: Services, job: str) -> ReplayView:
    """Cancel a replay that is not over, and return it. Raises ConflictError where it is."""
    for _ in range(TRIES):
        before = services.store.replay(job)
        if not before.is_active:
            break
        over = reason_fields("reason", NO_REASON)
        cancelled = replace(before, state="cancelled", paused=False, **over)
        if services.store.save_replay(before, cancelled):
            return replay_view(services, services.store.replay(job))
    state = services.store.replay(job).state
    raise ConflictError(f"job {job!r} is over: {state}", code="job_over")


def replay_view(services: Services, job: ReplayJob, *, with_report: bool = True) -> ReplayView:
    """Return a replay as it is shown: with a reason, too, where no worker is there for it."""
    if job.is_active and not services.bus.has_workers(LEARNING.name):
        job = replace(job, **reason_fields("reason", NO_WORKER))
    report: ReplayReport | None = None
    names: list[str] = []
    if job.state == "done":
        files = ReplayFiles.of(services.settings.data_dir, job)
        names = files.names()
        if with_report:
            report = files.report()
    try:
        options = ReplayOptions.model_validate_json(job.options)
    except ValidationError:
        options = ReplayOptions()
    return ReplayView(
        id=job.id,
        camera=job.camera,
        state=job.state,
        created_at=job.created_at,
        changed_at=job.changed_at,
        video=job.video,
        until=job.until,
        options=options,
        progress=job.progress,
        paused=job.paused,
        reason=job.reason,
        reason_code=job.reason_code,
        reason_values=job.reason_values,
        files=names,
        report=report,
    )
