"""/recordings: recordings that clients upload, for replays and for learning."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from lookout.service.api.dependencies import ServicesDep
from lookout.service.api.openapi import BINARY
from lookout.service.core.errors import NoRoomError
from lookout.service.storage.uploads import MB, NAME

router = APIRouter(prefix="/recordings", tags=["jobs"])

REFUSALS: dict[int | str, dict[str, Any]] = {408: {}, 409: {}, 507: {}}  # openapi.py describes them
BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": BINARY}},
    }
}
EXAMPLE: dict[str, JsonValue] = {
    "name": "uploads/monday.mp4",
    "at": 1785000000.0,
    "size_bytes": 104857600,
}
RecordingName = Annotated[str, Path(pattern=NAME, examples=["monday.mp4"])]


class RecordingView(BaseModel):
    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [EXAMPLE]})

    name: str = Field(description="below the media folder, as a job takes it")
    at: float = Field(description="when it was uploaded (s, UTC)")
    size_bytes: int


class RecordingList(BaseModel):
    items: list[RecordingView] = Field(description="the newest first")
    most_bytes: int = Field(description="of one upload; 0: nothing is uploaded here")


@router.get("", operation_id="list_recordings")
def list_recordings(services: ServicesDep) -> RecordingList:
    """Return the recordings that were uploaded and are still there."""
    files = services.uploads.files()[::-1]
    items = [RecordingView.model_validate(file) for file in files]
    return RecordingList(items=items, most_bytes=services.settings.upload_mb * MB)


@router.put(
    "/{name}",
    status_code=201,
    operation_id="put_recording",
    responses=REFUSALS,
    openapi_extra=BODY,
)
async def put_recording(
    name: RecordingName, request: Request, services: ServicesDep
) -> RecordingView:
    """Upload a recording, its bytes as the body; 409 where there is one of this name.

    It stays for LOOKOUT_UPLOADS_DAYS, as long as LOOKOUT_UPLOADS_TOTAL_MB has room for it.
    """
    stated = request.headers.get("content-length", "0")
    stated_bytes = int(stated) if stated.isdecimal() else 0
    try:
        upload = await run_in_threadpool(services.uploads.begin, name, stated_bytes)
        try:
            async for chunk in request.stream():
                await run_in_threadpool(upload.write, chunk)
            return RecordingView.model_validate(await run_in_threadpool(upload.finish))
        finally:
            upload.close()
    except ClientDisconnect as error:
        raise HTTPException(400, "the body ended early") from error
    except OSError as error:
        why = error.strerror or str(error)
        raise NoRoomError(
            f"the media folder cannot be written: {why}", code="media_unwritable", reason=why
        ) from error


@router.delete("/{name}", status_code=204, operation_id="delete_recording")
def delete_recording(name: RecordingName, services: ServicesDep) -> None:
    """Remove a recording that was uploaded; a job that reads it goes on, one that waits fails."""
    services.uploads.drop(name)
