"""/alerts: what was found, newest first."""

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

from lookout.service.api.dependencies import Services, ServicesDep
from lookout.service.api.views import AlertList, AlertRule, AlertView
from lookout.service.core.errors import NotFoundError, RequestError
from lookout.service.core.messages import Alert, AlertState
from lookout.service.storage import pictures
from lookout.service.storage.store.store import Store

router = APIRouter(tags=["alerts"])

PAGE = 50  # alerts fetched from one camera at a time
Place = tuple[float, str]  # opening time and id: the order of the list, without ties


@router.get("/alerts")
def list_alerts(
    services: ServicesDep,
    camera: str | None = None,
    state: AlertState | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
) -> AlertList:
    """Alerts of every camera, removed ones too, or of one; newest first."""
    before = _parse(cursor) if cursor else None
    cameras = [camera] if camera is not None else _all(services)
    newest_first = heapq.merge(
        *(_alerts(services.store, name, state, before, min(limit + 1, PAGE)) for name in cameras),
        key=_place,
        reverse=True,
    )
    # One more than asked for: whether there is a next page.
    found = list(itertools.islice(newest_first, limit + 1))
    items = found[:limit]
    return AlertList(
        items=[AlertView.of(alert) for alert in items],
        next=_cursor(_place(items[-1])) if len(found) > limit else None,
    )


@router.get("/alert-rule")
def alert_rule(services: ServicesDep) -> AlertRule:
    """When an alert opens and closes, as this process is set."""
    at = services.settings
    return AlertRule(
        threshold=at.alert_threshold,
        hysteresis=at.alert_hysteresis,
        min_duration_s=at.alert_min_duration_s,
        clear_after_s=at.alert_clear_after_s,
        quiet_after_s=at.alert_quiet_after_s,
    )


def _all(services: Services) -> list[str]:
    return sorted({*services.store.alerted_cameras(), *services.store.cameras()})


def _place(alert: Alert) -> Place:
    return (alert.opened_at, alert.id)


def _alerts(
    store: Store, camera: str, state: AlertState | None, before: Place | None, page: int
) -> Iterator[Alert]:
    """One camera's alerts behind a place, newest first, fetched as they are asked for."""
    if state == "open":
        yield from (
            alert for alert in store.open_alerts(camera) if before is None or _place(alert) < before
        )
        return
    while found := store.alerts(camera, before=before, limit=page):
        yield from (alert for alert in found if state is None or alert.state == state)
        before = _place(found[-1])


def _cursor(place: Place) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def _parse(cursor: str) -> Place:
    try:
        opened_at, alert_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        place = float(opened_at), str(alert_id)
    except (ValueError, TypeError, OverflowError, RecursionError):
        place = math.nan, ""
    if not math.isfinite(place[0]):
        raise RequestError("cursor: not one that this list gave")
    return place


@router.get("/alerts/{alert}")
def get_alert(alert: str, services: ServicesDep) -> AlertView:
    """One alert."""
    return AlertView.of(services.store.alert(alert.rpartition(":")[0], alert))


@router.get(
    "/alerts/{alert}/picture",
    response_class=FileResponse,
    responses={200: {"content": {"image/jpeg": {}}}},
)
def alert_picture(alert: str, services: ServicesDep) -> FileResponse:
    """The frame at which the alert opened, with its heatmap."""
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
