"""GET /cameras/{camera}/live.mjpeg: what a camera sees, up to ten pictures a second."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from lookout.service.api.auth.access import IdentityDep
from lookout.service.api.dependencies import Services, ServicesDep
from lookout.service.api.live import picture_streams
from lookout.service.api.live.picture_streams import PictureStreams, Viewer
from lookout.service.api.live.websocket import access_end
from lookout.service.api.middleware import IS_HEAD
from lookout.service.api.openapi import BINARY
from lookout.service.api.problems import RETRY_AFTER_S, problem
from lookout.service.core.errors import NotFoundError

router = APIRouter(prefix="/cameras/{camera}", tags=["scores"])

REPORT_S = 15.0  # so old a report of ingest may be
BOUNDARY = "picture"
MEDIA_TYPE = f"multipart/x-mixed-replace; boundary={BOUNDARY}"


class PictureResponse(StreamingResponse):
    """A response that lasts as long as its viewer looks and may look."""

    def __init__(self, streams: PictureStreams, viewer: Viewer, may_look: Callable[[], bool]):
        """may_look: asked before each picture, and once in SILENT_S."""
        super().__init__(
            parts(viewer, may_look), media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"}
        )
        self._streams = streams
        self._viewer = viewer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send pictures; whatever ends it, the viewer leaves."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.leave(self._viewer)


async def parts(viewer: Viewer, may_look: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Yield each picture as a part of the response; the last one again after SILENT_S."""
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(picture_streams.SILENT_S):
                await viewer.due.wait()
        viewer.due.clear()
        if viewer.is_ended or not may_look():
            return
        if viewer.jpeg is not None:
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: "
            yield f"{head}{len(viewer.jpeg)}\r\n\r\n".encode() + viewer.jpeg + b"\r\n"


@router.get(
    "/live.mjpeg",
    operation_id="get_live_pictures",
    response_class=Response,
    responses={200: {"content": {"multipart/x-mixed-replace": {"schema": BINARY}}}, 503: {}},
)
async def live_pictures(
    camera: str, request: Request, services: ServicesDep, sender: IdentityDep
) -> Response:
    """Return what the camera sees, up to ten JPEG pictures a second, until the client leaves.

    They are of the source's aspect, 1280x720 at most. 404 while the camera is away.
    """
    await run_in_threadpool(check_watched, services, camera)
    if request.scope.get(IS_HEAD):
        return Response(media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})
    streams = services.pictures
    if not streams.has_room:
        most = picture_streams.MOST_VIEWERS
        reason = f"{most} live pictures are open, as many as may be; try again"
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        return problem(503, reason, headers, code="live_full", values={"most": most})
    viewer = streams.join(camera)
    return PictureResponse(streams, viewer, lambda: access_end(request, services, sender) is None)


def check_watched(services: Services, camera: str) -> None:
    """Raise NotFoundError where a camera is not there, or gives no picture now."""
    services.store.camera(camera)
    report = services.bus.ingest_report(camera)
    if report is None or time.time() - report.at > REPORT_S:
        raise NotFoundError(
            f"camera {camera!r} has no live picture: no ingest worker has it",
            code="live_unowned",
            camera=camera,
        )
    if report.state != "online":
        said = f"camera {camera!r} has no live picture: it is {report.state}"
        if report.reason is None:
            raise NotFoundError(said, code="live_away", camera=camera, state=report.state)
        raise NotFoundError(
            f"{said} ({report.reason})",
            code="live_away_for",
            camera=camera,
            state=report.state,
            why=report.reason,
        )
