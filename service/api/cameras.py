"""/cameras: what is watched."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Body, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from lookout.service.api.checkpoints import choose_model
from lookout.service.api.dependencies import Here, Services, look
from lookout.service.api.views import SCORE, CameraList, CameraView
from lookout.service.core import urls
from lookout.service.core.errors import ConflictError, NotFoundError
from lookout.service.core.messages import (
    Calibration,
    Camera,
    MemoryMode,
    Pace,
    ScoreScheme,
    Transport,
)

router = APIRouter(prefix="/cameras", tags=["cameras"])

ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
RELEARN = {
    "url",
    "model",
    "calibration",
    "memory",
}  # a change of one of these makes what was learned worthless

Url = Annotated[str, Field(min_length=1, max_length=4096)]
Fps = Annotated[
    float,
    Field(gt=0, le=120, allow_inf_nan=False, description="frames a second to keep; null keeps all"),
]


class NewCamera(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: Annotated[str, Field(pattern=ID_PATTERN)] | None = None
    url: Url = Field(
        description="rtsp://, rtsps://, file:/// or an absolute path below the media folder"
    )
    model: str | None = Field(
        None, max_length=255, description="a checkpoint's name; the only one if there is one"
    )
    fps: Fps | None = None
    pace: Pace = Field(
        "realtime", description="of a file: as it was filmed, or as quick as the line takes it"
    )
    transport: Transport = Field("tcp", description="of an rtsp:// camera; rtsps:// is always tcp")
    calibration: Calibration = Field(
        "learn", description="bounds of normal: learned here first, or the model's own"
    )
    memory: MemoryMode = Field(
        "paper", description="how it follows what it sees: as published, or held near training"
    )
    score: ScoreScheme = Field("paper", description=SCORE)
    enabled: bool = True


class CameraChange(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    url: Url | None = None
    model: str | None = Field(None, max_length=255)
    fps: Fps | None = None
    pace: Pace | None = None
    transport: Transport | None = None
    calibration: Calibration | None = None
    memory: MemoryMode | None = None
    score: ScoreScheme | None = None
    enabled: bool | None = None

    @model_validator(mode="after")
    def _only_fps_may_be_null(self) -> CameraChange:
        if empty := sorted(
            name for name in self.model_fields_set - {"fps"} if getattr(self, name) is None
        ):
            raise ValueError(f"may not be null: {', '.join(empty)}")
        return self


NEW_EXAMPLES: dict[str, Any] = {
    "a camera": {
        "value": {"id": "gate", "url": "rtsp://user:password@10.0.0.7/stream1", "fps": 10}
    },
    "a file": {
        "value": {"url": "file:///srv/media/clip.mp4", "pace": "fast", "calibration": "model"}
    },
}
CHANGE_EXAMPLES: dict[str, Any] = {
    "pause": {"value": {"enabled": False}},
    "start anew": {"value": {"enabled": True}},
}


@router.post("", status_code=201)
def add_camera(
    wanted: Annotated[NewCamera, Body(openapi_examples=NEW_EXAMPLES)],
    response: Response,
    here: Here,
) -> CameraView:
    """Watch one more camera."""
    urls.check(wanted.url, here.settings.media_dir)
    urls.check_transport(wanted.url, wanted.transport)
    now = time.time()
    camera = Camera(
        id=wanted.id or f"cam-{secrets.token_hex(3)}",
        url=wanted.url,
        model=choose_model(
            here.settings.models_dir, wanted.model, wanted.calibration, wanted.score
        ),
        fps=wanted.fps,
        pace=wanted.pace,
        transport=wanted.transport,
        calibration=wanted.calibration,
        memory=wanted.memory,
        score=wanted.score,
        enabled=wanted.enabled,
        created_at=now,
        # No number of a removed camera of the same name comes back: a stage would take the new one for the old.
        revision=int(now * 1000),
    )
    _clear_the_way(here, camera.id)
    here.store.add_camera(camera)
    response.headers["Location"] = f"/api/v1/cameras/{camera.id}"
    return _seen(here, camera)


def _clear_the_way(here: Services, camera: str) -> None:
    """Whatever a late writer left on the bus of a removed camera of the same name."""
    try:
        here.store.camera(camera)
    except NotFoundError:
        here.bus.forget(camera)
    else:
        raise ConflictError(f"there is a camera {camera!r} already")


@router.get("")
def list_cameras(here: Here) -> CameraList:
    """Every camera and what it is doing."""
    return CameraList(items=list(look(here.bus, here.store.cameras().values()).values()))


@router.get("/{camera}")
def get_camera(camera: str, here: Here) -> CameraView:
    """One camera and what it is doing."""
    return _seen(here, here.store.camera(camera))


@router.patch("/{camera}")
def change_camera(
    camera: str, change: Annotated[CameraChange, Body(openapi_examples=CHANGE_EXAMPLES)], here: Here
) -> CameraView:
    """Change a camera; it starts anew. `{"enabled": true}` on a camera that has ended plays it again."""
    now = here.store.camera(camera)
    given = {name: getattr(change, name) for name in change.model_fields_set}
    if not given:
        return _seen(here, now)
    restarts = given.keys() != {"alert"}  # of no concern to ingest and inference
    new = replace(now, **given, revision=now.revision + restarts)
    _check_change(here, now, new)
    here.store.replace_camera(new, now)
    if not restarts:
        return _seen(here, new)
    if any(getattr(now, name) != getattr(new, name) for name in RELEARN):
        here.store.forget_snapshot(camera)
    here.bus.forget_run(camera)
    return _seen(here, new)


def _check_change(here: Services, now: Camera, new: Camera) -> None:
    """What is not changed is not checked: a camera whose file is gone can still be disabled."""
    if new.url != now.url:
        urls.check(new.url, here.settings.media_dir)
    if (new.url, new.transport) != (now.url, now.transport):
        urls.check_transport(new.url, new.transport)
    if (new.model, new.calibration, new.score) != (now.model, now.calibration, now.score):
        choose_model(here.settings.models_dir, new.model, new.calibration, new.score)


@router.delete("/{camera}", status_code=204)
def remove_camera(camera: str, here: Here) -> None:
    """Watch it no longer, and forget what it learned; its alerts stay listed."""
    here.store.remove_camera(camera)
    here.bus.forget(camera)


def _seen(here: Services, camera: Camera) -> CameraView:
    return look(here.bus, [camera])[camera.id]
