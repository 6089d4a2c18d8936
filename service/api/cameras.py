"""/cameras: what is watched."""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query, Response
from pydantic import BaseModel, Field, ValidationError
from pydantic_core import to_json

from lookout.service.api.auth.access import IdentityDep, check_camera_fields
from lookout.service.api.checkpoints import PLACES, choose_model, trained_fps, usual_score
from lookout.service.api.dependencies import Services, ServicesDep
from lookout.service.api.json_body import JsonRoute
from lookout.service.api.problems import invalid_fields, problem
from lookout.service.api.views import (
    CameraList,
    CameraView,
    EventList,
    EventView,
    camera_fields_now,
    camera_view,
    hour_thresholds,
)
from lookout.service.core import urls
from lookout.service.core.camera import STRICT, Camera, CameraChange, CameraSpec, Learning
from lookout.service.core.errors import ConflictError, NotFoundError, RequestError, about_field
from lookout.service.core.messages import UNFRAMED, AlertId, CameraEvent, FrameId
from lookout.service.core.schedule import LATEST, ArmOverride
from lookout.service.storage.camera_changes import replace_camera

router = APIRouter(prefix="/cameras", tags=["cameras"], route_class=JsonRoute)

CONFLICT: dict[int | str, dict[str, Any]] = {409: {}}  # openapi.py describes it
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
    "restart": {"value": {"enabled": True}},
    "alert earlier": {"value": {"alert": {"threshold": 0.4}}},
    "one false alarm a day": {
        "value": {"alert": {"threshold": None, "alarm_budget": {"per_day": 1}}}
    },
}
ARM_EXAMPLES: dict[str, Any] = {
    "no alerts until a time": {"value": {"armed": False, "until": 4070908800.0}},
    "by the schedule again": {"value": {"armed": None}},
}


@router.post("", status_code=201, operation_id="create_camera", responses=CONFLICT)
def add_camera(
    spec: Annotated[CameraSpec, Body(openapi_examples=NEW_EXAMPLES)],
    response: Response,
    services: ServicesDep,
) -> CameraView:
    """Watch one more camera."""
    with about_field("url"):
        urls.check(spec.url, services.settings.media_dir)
    now = time.time()
    folders = services.settings.model_folders
    with about_field("model"):
        model = choose_model(folders, spec.model, spec.calibration, spec.score)
    score = spec.score or usual_score(folders, model, spec.calibration)
    fps = spec.fps
    if "fps" not in spec.model_fields_set:
        fps = trained_fps(folders, model)
    record = {
        **dict(spec),
        "id": spec.id or f"cam-{secrets.token_hex(3)}",
        "model": model,
        "score": score,
        "fps": fps,
        "learning": camera_learning(spec, model),
        "created_at": now,
        # Above every revision of a removed camera of the same name, so that no stage takes the new
        # camera for the old one.
        "revision": int(now * 1000),
    }
    camera = Camera.model_validate(record)
    with about_field("id"):
        clear_leftovers(services, camera.id)
    services.store.add_camera(camera, services.settings.max_cameras)
    response.headers["Location"] = f"/api/v1/cameras/{camera.id}"
    return camera_view(services.bus, services.store, camera)


def camera_learning(spec: CameraSpec, model: str) -> Learning:
    """Return whether a new camera with that checkpoint learns a network of its own.

    Where it does not say so, it learns by itself if it is a stream that left the choice to us: a
    file ends, and who names a model or a score wants that one.
    """
    if spec.learning is not None:
        return spec.learning
    is_open = spec.model is None and spec.score is None and model == PLACES
    return "auto" if is_open and not urls.is_file(spec.url) else "off"


def clear_leftovers(services: Services, camera: str) -> None:
    """Remove what a late writer left on the bus of a removed camera of the same name.

    Raises ConflictError where the camera is there.
    """
    try:
        services.store.camera(camera)
    except NotFoundError:
        services.bus.forget(camera)
    else:
        raise ConflictError(
            f"there is a camera {camera!r} already", code="camera_exists", camera=camera
        )


@router.get("", response_model=CameraList)
def list_cameras(
    services: ServicesDep,
    sender: IdentityDep,
    limit: Annotated[
        int | None, Query(ge=1, le=1000, description="cameras of a page; unset: all of them")
    ] = None,
    cursor: Annotated[
        str | None, Query(max_length=64, description="`next` of the page before")
    ] = None,
) -> Response:
    """Return cameras and their states, by id."""
    cameras, unreadable = services.store.cameras_and_unreadable()
    seen = [name for name in cameras if sender.sees(name)]
    names = [name for name in seen if cursor is None or name > cursor]
    page = names[:limit]
    shown = camera_fields_now(services.bus, services.store, [cameras[name] for name in page])
    following = page[-1] if len(page) < len(names) else None
    unusable = {name: reason for name, reason in unreadable.items() if sender.sees(name)}
    # FastAPI would validate every field again: most of the time of a long list.
    answer = {"items": list(shown.values()), "next": following, "unreadable": unusable}
    return Response(to_json(answer, inf_nan_mode="null"), media_type="application/json")


@router.get("/{camera}")
def get_camera(camera: str, response: Response, services: ServicesDep) -> CameraView:
    """Return one camera and its state; `ETag` is the version of its fields, for `If-Match`."""
    found = services.store.camera(camera)
    response.headers["ETag"] = version_tag(found)
    view = camera_view(services.bus, services.store, found)
    if view.budget is not None:
        timezone = services.settings.timezone
        view.budget.hour_thresholds = hour_thresholds(services.store, camera, timezone)
    return view


def version_tag(camera: Camera) -> str:
    """Return the strong entity tag of a camera's fields; its state has no part in it.

    Neither has the address, which may hold a password: another one changes the revision.
    """
    fields = camera.model_dump_json(exclude={"url", "unreadable", "mark"})
    return f'"{hashlib.sha256(fields.encode()).hexdigest()[:16]}"'


def is_version(camera: Camera, if_match: str | None) -> bool:
    """Tell whether `If-Match` (RFC 9110, 13.1.1) names a camera's version; None names any."""
    if if_match is None or if_match.strip() == "*":
        return True
    return version_tag(camera) in {tag.strip() for tag in if_match.split(",")}


@router.patch(
    "/{camera}",
    operation_id="update_camera",
    responses={**CONFLICT, 412: {}},
    response_model=CameraView,
)
def change_camera(
    camera: str,
    change: Annotated[
        CameraChange,  # type: ignore[valid-type]
        Body(openapi_examples=CHANGE_EXAMPLES),
    ],
    response: Response,
    services: ServicesDep,
    sender: IdentityDep,
    if_match: Annotated[
        str | None,
        Header(description="`ETag` of the camera as it was read: 412 where it is another by now"),
    ] = None,
) -> CameraView | Response:
    """Change a camera and restart it; `{"enabled": true}` plays a file that has ended again.

    A change of `alert`, `schedule` or `learning` alone does not restart it. Anything but `enabled`
    needs the role `admin`.
    """
    check_camera_fields(sender, change)
    before = services.store.camera(camera)
    if not is_version(before, if_match):
        return changed_meanwhile(services, before, change)
    try:
        new = before.changed(change)
    except ValidationError as error:
        raise invalid_fields(error) from error
    response.headers["ETag"] = version_tag(new)
    if new == before:
        return camera_view(services.bus, services.store, before)
    check_change(services, before, new)
    replace_camera(services.bus, services.store, before, new)
    return camera_view(services.bus, services.store, new)


def changed_meanwhile(services: Services, camera: Camera, change: BaseModel) -> Response:
    """Return the 412 of a change of another version, with both: `current`, and what was `sent`."""
    sent = change.model_dump(mode="json", exclude_unset=True)
    if "url" in sent:
        sent["url"] = urls.mask(sent["url"])
    current = camera_view(services.bus, services.store, camera).model_dump(mode="json")
    return problem(
        412,
        f"camera {camera.id!r} was changed meanwhile: look at both versions, and send again with "
        "the new `ETag`",
        {"ETag": version_tag(camera)},
        code="two_versions",
        values={"camera": camera.id},
        current=current,
        sent=sent,
    )


def check_change(services: Services, before: Camera, new: Camera) -> None:
    """Check against settings and files what has changed.

    The rest is not checked: a camera whose file is gone can still be disabled.
    Raises RequestError or SourceRefusedError.
    """
    if new.url != before.url:
        with about_field("url"):
            urls.check(new.url, services.settings.media_dir)
    chosen = (new.model, new.calibration, new.score)
    if chosen != (before.model, before.calibration, before.score):
        with about_field("model"):
            choose_model(services.settings.model_folders, *chosen)


class ArmRequest(BaseModel):
    """A word against the schedule."""

    model_config = STRICT

    armed: bool | None = Field(description="null: by the schedule again")
    until: Annotated[float, Field(ge=0, le=LATEST)] | None = Field(
        default=None, description="s, UTC; null: until it is taken back"
    )


@router.post("/{camera}/arm", operation_id="arm_camera", responses=CONFLICT)
def arm_camera(
    camera: str,
    wanted: Annotated[ArmRequest, Body(openapi_examples=ARM_EXAMPLES)],
    services: ServicesDep,
) -> CameraView:
    """Let alerts open or not, whatever the schedule says, until a time; scores go on."""
    now = time.time()
    if wanted.until is not None and wanted.until <= now:
        raise RequestError("until: it is a time (s, UTC) that is past", code="past")
    override = None
    if wanted.armed is not None:
        override = ArmOverride(armed=wanted.armed, since=now, until=wanted.until)
    before = services.store.camera(camera)
    new = before.model_copy(update={"override": override})
    replace_camera(services.bus, services.store, before, new)
    return camera_view(services.bus, services.store, new)


class MadeAlert(BaseModel):
    """A test alert on its way."""

    id: str = Field(description="of the alert, once alerting has taken it up")


@router.post("/{camera}/test-alert", status_code=202, operation_id="test_alert")
def make_test_alert(camera: str, services: ServicesDep) -> MadeAlert:
    """Have alerting make an alert of kind `test`: it is listed, and over at once."""
    services.store.camera(camera)
    now = time.time()
    frame = FrameId(int(now * 1000), UNFRAMED)
    services.store.add_camera_event(
        CameraEvent("test", camera, *frame, now, "a test alert that somebody asked for")
    )
    return MadeAlert(id=str(AlertId(camera, frame)))


@router.delete("/{camera}", status_code=204, operation_id="delete_camera")
def remove_camera(camera: str, services: ServicesDep) -> None:
    """Remove a camera and what it learned; its alerts stay listed."""
    services.store.remove_camera(camera)
    services.bus.forget(camera)


@router.get("/{camera}/events", tags=["events"])
def list_events(
    camera: str, services: ServicesDep, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> EventList:
    """Scene changes, tampering and its end, newest first. They are not anomalies, nor alerts."""
    services.store.camera(camera)
    events = services.store.camera_events(camera, limit)
    return EventList(items=[EventView.of(event) for event in events])
