"""/alerts: alerts, newest first."""

from __future__ import annotations

import base64
import heapq
import itertools
import json
import math
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse

from lookout.service.api.dependencies import ServicesDep
from lookout.service.api.openapi import BINARY
from lookout.service.api.views import AlertList, AlertRule, AlertView
from lookout.service.core.errors import NotFoundError, RequestError
from lookout.service.core.messages import Alert, AlertState
from lookout.service.storage import pictures
from lookout.service.storage.store.store import Store

router = APIRouter(tags=["alerts"])

PAGE = 50  # alerts fetched from one camera at a time
Position = tuple[float, str]  # opening time and id: the order of the list, without ties


@router.get("/alerts")
def list_alerts(
    services: ServicesDep,
    camera: str | None = None,
    state: AlertState | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
) -> AlertList:
    """Return alerts of every camera, removed ones too, or of one; newest first."""
    before = decode_cursor(cursor) if cursor else None
    cameras = alerted_or_present(services.store) if camera is None else {camera}
    newest_first = heapq.merge(
        *(
            alerts_before(services.store, name, state, before, min(limit + 1, PAGE))
            for name in cameras
        ),
        key=position,
        reverse=True,
    )
    # One more than asked for tells whether there is a next page.
    found = list(itertools.islice(newest_first, limit + 1))
    items = found[:limit]
    return AlertList(
        items=[AlertView.of(alert) for alert in items],
        next=encode_cursor(position(items[-1])) if len(found) > limit else None,
    )


@router.get("/alert-rule", operation_id="get_alert_rule")
def alert_rule(services: ServicesDep) -> AlertRule:
    """Return the default alert policy, from the settings."""
    at = services.settings
    return AlertRule(
        threshold=at.alert_threshold,
        hysteresis=at.alert_hysteresis,
        min_duration_s=at.alert_min_duration_s,
        clear_after_s=at.alert_clear_after_s,
        quiet_after_s=at.alert_quiet_after_s,
    )


def alerted_or_present(store: Store) -> set[str]:
    """Return the cameras that had an alert, removed ones too, and those there are."""
    return {*store.alerted_cameras(), *store.cameras()}


def position(alert: Alert) -> Position:
    """Return where an alert stands in the list."""
    return (alert.opened_at, alert.id)


def alerts_before(
    store: Store, camera: str, state: AlertState | None, before: Position | None, page: int
) -> Iterator[Alert]:
    """Yield one camera's alerts after a position, newest first, a page at a time."""
    if state == "open":
        yield from (
            alert
            for alert in store.open_alerts(camera)
            if before is None or position(alert) < before
        )
        return
    while found := store.alerts(camera, before=before, limit=page):
        yield from (alert for alert in found if state is None or alert.state == state)
        before = position(found[-1])


def encode_cursor(last: Position) -> str:
    """Return the opaque cursor of a page that ends at `last`."""
    return base64.urlsafe_b64encode(json.dumps(last).encode()).decode()


def decode_cursor(cursor: str) -> Position:
    """Return the position of a cursor. Raises RequestError where it is none."""
    try:
        opened_at, alert_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        last = (float(opened_at), str(alert_id))
    except (ValueError, TypeError, OverflowError, RecursionError):
        last = (math.nan, "")
    if not math.isfinite(last[0]):
        raise RequestError("cursor: not one that this list gave")
    return last


@router.get("/alerts/{alert}")
def get_alert(alert: str, services: ServicesDep) -> AlertView:
    """Return one alert."""
    return AlertView.of(services.store.alert(alert.rpartition(":")[0], alert))


@router.get(
    "/alerts/{alert}/picture",
    response_class=FileResponse,
    responses={200: {"content": {"image/jpeg": {"schema": BINARY}}}},
    operation_id="get_alert_picture",
)
def alert_picture(alert: str, services: ServicesDep) -> FileResponse:
    """Return the frame at which the alert opened, with its heatmap."""
    services.store.alert(alert.rpartition(":")[0], alert)
    try:
        path = pictures.picture_path(services.settings.data_dir, alert)
    except ValueError as error:
        raise NotFoundError(f"there is no alert {alert!r}") from error
    if not path.is_file():
        raise NotFoundError(f"alert {alert!r} has no picture")
    return FileResponse(
        path, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"}
    )
