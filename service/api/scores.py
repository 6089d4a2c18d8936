"""/cameras/{camera}/scores, heatmap and frame."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from lookout.models.arrays import Pixels
from lookout.models.vision.overlay import jpeg, layer_png, overlay, png, raw_png
from lookout.service.api.dependencies import Services, ServicesDep
from lookout.service.api.openapi import BINARY
from lookout.service.api.views import ScoreList, ScoreView
from lookout.service.core.errors import NotFoundError, RequestError
from lookout.service.core.messages import FRAME_ID, Frame, FrameId, Heat, Score

router = APIRouter(prefix="/cameras/{camera}", tags=["scores"])

PICTURES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/png": {"schema": BINARY}, "image/jpeg": {"schema": BINARY}}}
}

Encoding = Annotated[Literal["png", "jpeg"], Query(alias="format")]
FORM: dict[str, Any] = {"pattern": FRAME_ID}  # `parse_frame_id` checks it, with a better message
WantedId = Annotated[
    str | None,
    Query(alias="id", description="a frame's id; without it the newest", json_schema_extra=FORM),
]


@router.get("/scores", operation_id="list_scores")
def scores(
    camera: str,
    services: ServicesDep,
    since: Annotated[
        str | None, Query(description="a frame id; only newer scores", json_schema_extra=FORM)
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> ScoreList:
    """Return scores in ascending order: the newest, or those after `since`."""
    after = parse_frame_id(since, "since")
    services.store.camera(camera)
    if after is None:
        return score_page(services.bus.newest_scores(camera, limit), more=False)
    # One more than asked for tells whether there is a next page.
    found = services.bus.scores_after({camera: after}, limit + 1).get(camera, [])
    return score_page(found[:limit], more=len(found) > limit)


def score_page(found: list[Score], *, more: bool) -> ScoreList:
    return ScoreList(
        items=[ScoreView.of(score) for score in found], next=str(found[-1].id) if more else None
    )


@router.get("/heatmap", operation_id="get_heatmap", response_class=Response, responses=PICTURES)
def heatmap(
    camera: str,
    services: ServicesDep,
    wanted: WantedId = None,
    encoding: Encoding = "png",
    raw: Annotated[
        bool,
        Query(description="the map itself, 16-bit grayscale PNG: value / 65535 = RMSE, peak 1"),
    ] = False,
    layer: Annotated[
        bool, Query(description="the heatmap alone, as PNG with opacity, for a live picture")
    ] = False,
) -> Response:
    """Return the frame with its heatmap over it: red where the prediction was wrong."""
    frame_id = parse_frame_id(wanted, "id")
    services.store.camera(camera)
    heat = services.bus.heat(camera, frame_id)
    if heat is None:
        raise NotFoundError(
            f"camera {camera!r} has no heatmap {frame_id or 'yet'}", code="no_picture"
        )
    if raw:
        return picture_response(raw_png(heat.cells), "png", heat, fixed=frame_id is not None)
    if layer:
        return picture_response(layer_png(heat.cells), "png", heat, fixed=frame_id is not None)
    frame = get_frame(services, camera, FrameId(heat.session, heat.seq))
    pixels = overlay(frame.pixels, heat.cells)
    return picture_response(encode(pixels, encoding), encoding, frame, fixed=frame_id is not None)


@router.get("/frame", operation_id="get_frame", response_class=Response, responses=PICTURES)
def plain_frame(
    camera: str, services: ServicesDep, wanted: WantedId = None, encoding: Encoding = "png"
) -> Response:
    """Return the frame as the model received it."""
    frame_id = parse_frame_id(wanted, "id")
    services.store.camera(camera)
    frame = get_frame(services, camera, frame_id)
    return picture_response(
        encode(frame.pixels, encoding), encoding, frame, fixed=frame_id is not None
    )


def parse_frame_id(text: str | None, name: str) -> FrameId | None:
    if text is None:
        return None
    try:
        return FrameId.parse(text)
    except ValueError as error:
        raise RequestError(f"{name}: {error}", code="no_cursor") from error


def get_frame(services: Services, camera: str, frame_id: FrameId | None) -> Frame:
    frame = services.bus.frame(camera, frame_id)
    if frame is None:
        reason = "yet" if frame_id is None else f"{frame_id} any more"
        raise NotFoundError(f"camera {camera!r} has no frame {reason}", code="no_picture")
    return frame


def encode(pixels: Pixels, encoding: Literal["png", "jpeg"]) -> bytes:
    if encoding == "png":
        return png(pixels)
    return jpeg(pixels)


def picture_response(
    data: bytes, encoding: Literal["png", "jpeg"], of: Frame | Heat, *, fixed: bool
) -> Response:
    headers = {
        "X-Frame-Id": f"{of.session}-{of.seq}",
        "Cache-Control": "private, max-age=3600" if fixed else "no-store",
    }
    if isinstance(of, Frame):
        headers["X-Captured-At"] = repr(of.captured_at)
    return Response(data, media_type=f"image/{encoding}", headers=headers)
