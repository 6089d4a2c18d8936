"""/cameras/{camera}/history: the highest score of each minute."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query

from lookout.service.api.alerts import Time
from lookout.service.api.dependencies import ServicesDep
from lookout.service.api.views import HistoryView
from lookout.service.core.errors import BrokenMessageError, RequestError
from lookout.service.storage.store.history import DAY_MINUTES, DAYS_KEPT, MINUTE_S
from lookout.service.storage.store.store import Store

router = APIRouter(prefix="/cameras/{camera}", tags=["scores"])

DAY_S = MINUTE_S * DAY_MINUTES


@router.get("/history", operation_id="get_history")
def history(
    camera: str,
    services: ServicesDep,
    since: Annotated[
        Time | None, Query(alias="from", description="a time (s, UTC); unset: a day before `to`")
    ] = None,
    until: Annotated[
        Time | None, Query(alias="to", description="a time (s, UTC); unset: now")
    ] = None,
) -> HistoryView:
    """Return the peak of each minute that begins from `from` to `to`, at most 31 days of them."""
    services.store.camera(camera)
    if until is None:
        until = time.time()
    if since is None:
        since = max(0.0, until - DAY_S)
    first = int(-(-since // MINUTE_S))
    count = int(until // MINUTE_S) - first + 1
    if count < 1:
        raise RequestError("`from` must come before `to`, by a minute or more", code="no_span")
    if count > DAYS_KEPT * DAY_MINUTES:
        raise RequestError(
            f"at most {DAYS_KEPT} days can be had at once", code="long_span", days=DAYS_KEPT
        )
    peaks = services.store.peaks(camera, first, count)
    minute, peak = open_minute(services.store, camera)
    if 0 <= minute - first < count:
        peaks[minute - first] = max(peak, peaks[minute - first] or 0.0)
    return HistoryView(since=first * MINUTE_S, step_s=MINUTE_S, peaks=peaks)


def open_minute(store: Store, camera: str) -> tuple[int, float]:
    """Return the minute that alerting is in, and its peak so far; minute -1 where there is none."""
    try:
        state = store.alerting_state(camera) or {}
        minute, peak = state["minute"]
        return int(minute), float(peak)
    except (BrokenMessageError, KeyError, ValueError, TypeError):  # nothing is saved yet
        return -1, 0.0
