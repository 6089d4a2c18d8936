"""/alerts: alerts, newest first."""

from __future__ import annotations

import base64
import contextlib
import heapq
import itertools
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query
from fastapi.responses import FileResponse
from pydantic import Field

from lookout.service.api.alert_views import (
    Acknowledged,
    AcknowledgeRequest,
    AlertChange,
    AlertList,
    AnsweredAlert,
)
from lookout.service.api.auth.access import IdentityDep
from lookout.service.api.dependencies import ServicesDep
from lookout.service.api.json_body import JsonRoute
from lookout.service.api.openapi import BINARY
from lookout.service.api.suppressions import learn_verdict
from lookout.service.api.views import AlertRule
from lookout.service.core.accounts import Identity
from lookout.service.core.errors import NotFoundError, RequestError
from lookout.service.core.evidence import ClipRecord, ClipState
from lookout.service.core.messages import Alert, AlertAnswer, AlertKind, AlertState, AlertVerdict
from lookout.service.storage import clips, pictures
from lookout.service.storage.store.alert_evidence import RegionRecord
from lookout.service.storage.store.store import Store

router = APIRouter(tags=["alerts"], route_class=JsonRoute)

CONFLICT: dict[int | str, dict[str, Any]] = {409: {}}  # openapi.py describes it

PAGE = 50  # alerts fetched from one camera at a time
MAX_AT_ONCE = 1000  # alerts that a request acknowledges
CLIP_MISSING: dict[ClipState, str] = {
    "pending": "it is not written yet",
    "ready": "its file is not here",
    "failed": "it could not be made",
    "none": "none was asked for",
}
LAST_ID = "\U0010ffff"  # behind every id
Time = Annotated[float, Field(ge=-1e12, le=1e12)]
Answered = tuple[Alert, AlertAnswer]
Position = tuple[float, str]  # opening time and id: the order of the list, without ties


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """The alerts of a list; None: any."""

    since: float | None = None  # opened then or later (s, UTC)
    until: float | None = None  # opened then or earlier
    state: AlertState | None = None
    kind: AlertKind | None = None
    zone: str | None = None
    verdict: AlertVerdict | Literal["none"] | None = None
    acknowledged: bool | None = None
    min_peak: float | None = None
    suppressed: bool | None = None

    def accepts(self, alert: Alert, answer: AlertAnswer) -> bool:
        """Tell whether an alert is listed, its time aside."""
        is_seen = answer.acknowledged_at is not None
        return (
            self.state in (None, alert.state)
            and self.kind in (None, alert.kind)
            and self.zone in (None, alert.zone)
            and self.verdict in (None, answer.verdict or "none")
            and self.acknowledged in (None, is_seen)
            and self.suppressed in (None, alert.suppressed_by is not None)
            and (self.min_peak is None or alert.peak_value >= self.min_peak)
        )


@router.get("/alerts")
def list_alerts(
    services: ServicesDep,
    sender: IdentityDep,
    camera: str | None = None,
    state: AlertState | None = None,
    kind: AlertKind | None = None,
    zone: Annotated[str | None, Query(description="a watched zone's name")] = None,
    verdict: Annotated[
        AlertVerdict | Literal["none"] | None, Query(description="`none`: without a verdict")
    ] = None,
    acknowledged: bool | None = None,
    min_peak: Annotated[float | None, Query(ge=0, le=1)] = None,
    suppressed: Annotated[
        bool | None, Query(description="whether sinks are not told of it, see `suppressed_by`")
    ] = None,
    since: Annotated[
        Time | None, Query(alias="from", description="opened then or later (s, UTC)")
    ] = None,
    until: Annotated[
        Time | None, Query(alias="to", description="opened then or earlier (s, UTC)")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
) -> AlertList:
    """Return alerts of every camera, removed ones too, or of one; newest first."""
    before = decode_cursor(cursor) if cursor else None
    chosen = AlertFilter(
        since, until, state, kind, zone, verdict, acknowledged, min_peak, suppressed
    )
    # One more than asked for tells whether there is a next page.
    cameras = seen_cameras(services.store, sender, camera)
    found = list(
        itertools.islice(newest_first(services.store, cameras, chosen, before, limit), limit + 1)
    )
    items = found[:limit]
    return AlertList(
        items=with_evidence(services.store, items),
        next=encode_cursor(position(items[-1][0])) if len(found) > limit else None,
    )


def with_evidence(store: Store, answered: list[Answered]) -> list[AnsweredAlert]:
    """Return the views of alerts with their answers, clips and regions, in their order."""
    by_camera: dict[str, list[str]] = {}
    for alert, _ in answered:
        by_camera.setdefault(alert.camera, []).append(alert.id)
    clip_of: dict[str, ClipRecord] = {}
    regions_of: dict[str, RegionRecord] = {}
    until: dict[str, float] = {}
    for camera, ids in by_camera.items():
        clip_of |= zip(ids, store.alert_clips(camera, ids), strict=True)
        regions_of |= zip(ids, store.alert_regions(camera, ids), strict=True)
        until |= {one.id: one.expires_at for one in store.suppressions(camera).values()}
    return [
        AnsweredAlert.answered(
            alert, answer, clip_of[alert.id], regions_of[alert.id], until.get(alert.id)
        )
        for alert, answer in answered
    ]


def newest_first(
    store: Store, cameras: set[str], chosen: AlertFilter, before: Position | None, limit: int
) -> Iterator[Answered]:
    """Yield the alerts of a list with their answers, after a position.

    limit: how many are asked for, as a rule.
    """
    if chosen.until is not None:
        last = (chosen.until, LAST_ID)
        before = last if before is None else min(before, last)
    return heapq.merge(
        *(alerts_before(store, name, chosen, before, min(limit + 1, PAGE)) for name in cameras),
        key=lambda one: position(one[0]),
        reverse=True,
    )


@router.post("/acknowledgements", operation_id="acknowledge_alerts")
def acknowledge_alerts(
    wanted: Annotated[AcknowledgeRequest, Body()], services: ServicesDep, sender: IdentityDep
) -> Acknowledged:
    """Acknowledge many alerts; of those without ids, at most 1,000 at once.

    What is acknowledged already stays as it is.
    """
    now = time.time()
    ids = wanted.ids
    more = False
    if ids is None:
        chosen = AlertFilter(until=wanted.until or now, acknowledged=False)
        cameras = seen_cameras(services.store, sender, wanted.camera)
        found = newest_first(services.store, cameras, chosen, None, MAX_AT_ONCE)
        ids = [alert.id for alert, _ in itertools.islice(found, MAX_AT_ONCE + 1)]
        more = len(ids) > MAX_AT_ONCE
    count = 0
    for alert_id in ids[:MAX_AT_ONCE]:
        camera = alert_id.rpartition(":")[0]
        if not sender.sees(camera):
            continue
        with contextlib.suppress(NotFoundError):  # it was removed meanwhile
            services.store.answer_alert(
                camera, alert_id, lambda answer: seen(answer, sender.name, now)
            )
            count += 1
    return Acknowledged(count=count, more=more)


def seen(answer: AlertAnswer, who: str, now: float) -> AlertAnswer:
    """Return an answer as acknowledged, by whoever was the first."""
    if answer.acknowledged_at is not None:
        return answer
    return replace(answer, acknowledged_at=now, acknowledged_by=who)


@router.patch("/alerts/{alert}", operation_id="answer_alert", responses=CONFLICT)
def answer_alert(
    alert: str,
    change: Annotated[
        AlertChange,
        Body(openapi_examples={"a false alarm": {"value": {"verdict": "false_alarm"}}}),
    ],
    services: ServicesDep,
    sender: IdentityDep,
) -> AnsweredAlert:
    """Answer an alert: acknowledged, verdict, note, keep. What is not named stays.

    Unless LOOKOUT_SUPPRESS_DAYS is 0, the verdicts `false_alarm` and `usual_here` suppress its
    look-alikes; the others end that.
    """
    camera = alert.rpartition(":")[0]
    found = services.store.alert(camera, alert)
    given = change.model_dump(exclude_unset=True)
    is_seen = given.pop("acknowledged", None)

    def changed(answer: AlertAnswer) -> AlertAnswer:
        if is_seen:
            answer = seen(answer, sender.name, time.time())
        elif is_seen is False:
            answer = replace(answer, acknowledged_at=None, acknowledged_by="")
        return replace(answer, **given)

    if "verdict" in given:
        learn_verdict(services, found, change.verdict, sender)
    answer = services.store.answer_alert(camera, alert, changed)
    (view,) = with_evidence(services.store, [(found, answer)])
    return view


@router.get("/alert-rule", operation_id="get_alert_rule")
def alert_rule(services: ServicesDep) -> AlertRule:
    """Return the default alert policy, from the settings."""
    at = services.settings
    return AlertRule(
        threshold=at.alert_threshold,
        hysteresis=at.alert_hysteresis,
        min_duration_s=at.alert_min_duration_s,
        clear_after_s=at.alert_clear_after_s,
        cooldown_s=at.alert_cooldown_s,
        quiet_after_s=at.alert_quiet_after_s,
    )


def seen_cameras(store: Store, sender: Identity, camera: str | None) -> set[str]:
    """Return the cameras in a sender's scope whose alerts are listed.

    camera: that one alone; None: those that had an alert, removed ones too, and those there are.
    """
    cameras = {camera} if camera is not None else {*store.alerted_cameras(), *store.cameras()}
    return {name for name in cameras if sender.sees(name)}


def position(alert: Alert) -> Position:
    """Return where an alert stands in the list."""
    return (alert.opened_at, alert.id)


def alerts_before(
    store: Store, camera: str, chosen: AlertFilter, before: Position | None, page: int
) -> Iterator[Answered]:
    """Yield one camera's alerts after a position, newest first, a page at a time."""
    if chosen.state == "open":
        found = [
            alert
            for alert in store.open_alerts(camera)
            if before is None or position(alert) < before
        ]
        yield from accepted(store, camera, chosen, found)
        return
    while found := store.alerts(camera, before=before, limit=page):
        yield from accepted(store, camera, chosen, found)
        before = position(found[-1])
        if chosen.since is not None and before[0] < chosen.since:
            return


def accepted(
    store: Store, camera: str, chosen: AlertFilter, alerts: list[Alert]
) -> Iterator[Answered]:
    """Yield those alerts that are listed, with their answers."""
    since = chosen.since
    wanted = [alert for alert in alerts if since is None or alert.opened_at >= since]
    answers = store.alert_answers(camera, [alert.id for alert in wanted])
    for alert, answer in zip(wanted, answers, strict=True):
        if chosen.accepts(alert, answer):
            yield alert, answer


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
        raise RequestError("cursor: not one that this list gave", code="no_cursor")
    return last


@router.get("/alerts/{alert}")
def get_alert(alert: str, services: ServicesDep) -> AnsweredAlert:
    """Return one alert."""
    camera = alert.rpartition(":")[0]
    found = services.store.alert(camera, alert)
    (answer,) = services.store.alert_answers(camera, [alert])
    (view,) = with_evidence(services.store, [(found, answer)])
    return view


@router.get(
    "/alerts/{alert}/picture",
    response_class=FileResponse,
    responses={200: {"content": {"image/jpeg": {"schema": BINARY}}}},
    operation_id="get_alert_picture",
)
def alert_picture(
    alert: str,
    services: ServicesDep,
    which: Annotated[
        pictures.Which,
        Query(
            description="`heat`: the frame at which the alert opened, with its heatmap; `open`, "
            "`peak`: a clean picture of its opening or its peak, at the size of the source"
        ),
    ] = "heat",
) -> FileResponse:
    """Return a picture of an alert."""
    services.store.alert(alert.rpartition(":")[0], alert)
    try:
        path = pictures.picture_path(services.settings.data_dir, alert, which)
    except ValueError as error:
        raise NotFoundError(f"there is no alert {alert!r}", code="no_alert") from error
    if not path.is_file():
        raise NotFoundError(f"alert {alert!r} has no picture", code="no_picture")
    kept_s = 0 if which == "peak" else 86_400  # a peak may rise
    return FileResponse(
        path, media_type="image/jpeg", headers={"Cache-Control": f"private, max-age={kept_s}"}
    )


@router.get(
    "/alerts/{alert}/clip",
    response_class=FileResponse,
    responses={
        200: {"content": {"video/mp4": {"schema": BINARY}}},
        206: {"description": "A part of it", "content": {"video/mp4": {"schema": BINARY}}},
    },
    operation_id="get_alert_clip",
)
def alert_clip(alert: str, services: ServicesDep) -> FileResponse:
    """Return the clip of an alert, or a part of it (`Range`)."""
    camera = alert.rpartition(":")[0]
    services.store.alert(camera, alert)
    (record,) = services.store.alert_clips(camera, [alert])
    record = record.at(time.time())
    try:
        path = clips.clip_path(services.settings.data_dir, alert)
    except ValueError as error:
        raise NotFoundError(f"there is no alert {alert!r}", code="no_alert") from error
    if record.state != "ready" or not path.is_file():
        reason = record.error or CLIP_MISSING[record.state]
        raise NotFoundError(f"alert {alert!r} has no clip: {reason}", code="no_clip")
    return FileResponse(
        path,
        media_type="video/mp4",
        filename=f"{alert.replace(':', '_')}.mp4",
        content_disposition_type="inline",
        headers={"Cache-Control": "private, max-age=86400", "ETag": f'"{record.sha256}"'},
    )
