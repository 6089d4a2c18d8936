"""/cameras/{camera}/events: what happened to the camera itself."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from lookout.service.api.dependencies import Here
from lookout.service.api.views import EventList, EventView

router = APIRouter(prefix="/cameras/{camera}/events", tags=["events"])


@router.get("")
def list_events(
    camera: str, here: Here, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> EventList:
    """Scene changes, tampering and its end, newest first. They are no anomalies, and no alerts."""
    here.store.camera(camera)
    return EventList(
        items=[EventView.of(event) for event in here.store.camera_events(camera, limit)]
    )
