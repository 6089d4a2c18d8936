"""/jobs/{job}/left-out: footage that a training left out, to be included or dropped."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from lookout.service.api.dependencies import ServicesDep
from lookout.service.api.json_body import JsonRoute
from lookout.service.api.openapi import BINARY
from lookout.service.core.camera import STRICT
from lookout.service.core.errors import NotFoundError
from lookout.service.core.jobs import LeftOut, LeftOutAnswer
from lookout.service.storage import pictures
from lookout.service.storage.store.store import Store

router = APIRouter(tags=["jobs"], route_class=JsonRoute)

LEFT_OUT_EXAMPLE: dict[str, JsonValue] = {
    "id": "1785000000000-420",
    "begins_at": 1785000042.0,
    "seconds": 2.1,
    "psnr_db": 24.6,
    "answer": None,
}
ANSWER_EXAMPLES: dict[str, Any] = {
    "it is normal": {"value": {"answer": "include"}},
    "it is not": {"value": {"answer": "drop"}},
}


class LeftOutView(BaseModel):
    model_config = ConfigDict(
        from_attributes=True, json_schema_extra={"examples": [LEFT_OUT_EXAMPLE]}
    )

    id: str = Field(description="of its first frame")
    begins_at: float
    seconds: float
    psnr_db: float = Field(
        description="of its worst window, by the checkpoint that training began with"
    )
    answer: LeftOutAnswer | None = Field(
        description="`include`: the next training takes it; `drop`: it never does; null: it is "
        "judged again"
    )


class LeftOutList(BaseModel):
    items: list[LeftOutView]


class LeftOutChange(BaseModel):
    model_config = STRICT

    answer: LeftOutAnswer | None = Field(examples=["include"])


@router.get("/jobs/{job}/left-out", operation_id="list_left_out")
def list_left_out(job: str, services: ServicesDep) -> LeftOutList:
    """Return the segments that a job left out, the strangest first."""
    return LeftOutList(
        items=[LeftOutView.model_validate(one) for one in left_out_of(services.store, job)]
    )


@router.get(
    "/jobs/{job}/left-out/{segment}/picture",
    response_class=FileResponse,
    responses={200: {"content": {"image/jpeg": {"schema": BINARY}}}},
    operation_id="get_left_out_frame",
)
def left_out_picture(job: str, segment: str, services: ServicesDep) -> FileResponse:
    """Return the strangest frame of a segment, as the model saw it."""
    known = find_left_out(services.store, job, segment)
    camera, _, _ = job.rpartition(":")
    path = pictures.left_out_picture_path(services.settings.data_dir, camera, known.id)
    if not path.is_file():
        raise NotFoundError(f"segment {segment!r} has no picture", code="no_picture")
    return FileResponse(path, media_type="image/jpeg", headers={"Cache-Control": "private"})


@router.patch("/jobs/{job}/left-out/{segment}", operation_id="answer_left_out")
def answer_left_out(
    job: str,
    segment: str,
    services: ServicesDep,
    change: Annotated[LeftOutChange, Body(openapi_examples=ANSWER_EXAMPLES)],
) -> LeftOutView:
    """Say what becomes of a segment at the camera's next training."""
    find_left_out(services.store, job, segment)
    camera, _, _ = job.rpartition(":")
    changed = services.store.answer_left_out(camera, segment, change.answer)
    return LeftOutView.model_validate(changed)


def left_out_of(store: Store, job: str) -> list[LeftOut]:
    """Return the segments that a job left out. Raises NotFoundError where there is no such job."""
    known = store.job(job)
    return [one for one in store.left_out(known.camera).values() if one.job == known.number]


def find_left_out(store: Store, job: str, segment: str) -> LeftOut:
    """Return one segment that a job left out. Raises NotFoundError."""
    for one in left_out_of(store, job):
        if one.id == segment:
            return one
    raise NotFoundError(f"job {job!r} left out no segment {segment!r}", code="no_segment")
