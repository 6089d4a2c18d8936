"""/healthz, /readyz, /summary and /metrics: for supervisors, people and Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Response
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from lookout.service.api import metrics
from lookout.service.api.auth.access import IdentityDep
from lookout.service.api.auth.token import TOKEN_SCHEMES
from lookout.service.api.dependencies import ServicesDep
from lookout.service.api.problems import problem
from lookout.service.api.views import Health, SummaryView
from lookout.service.core.stages import REQUIRED_NAMES
from lookout.service.storage.redis.connect import UNAVAILABLE

router = APIRouter(tags=["health"])
summary_router = APIRouter(tags=["cameras"])


@router.get("/healthz", response_model_exclude_none=True)
async def healthz() -> Health:
    """200 while this process lives; on the event loop, so that a hanging Redis cannot delay it."""
    return Health()


@router.get(
    "/readyz",
    response_model=Health,
    response_model_exclude_none=True,
    responses={503: {"description": "something is missing"}},
)
def readyz(services: ServicesDep) -> Health | Response:
    """200 when both servers answer and every required stage has a worker; else 503 and the rest."""
    missing = [
        server
        for server, ask in (("bus", services.bus.ping), ("store", services.store.ping))
        if not is_up(ask)
    ]
    if "bus" not in missing:
        missing += [name for name in REQUIRED_NAMES if not services.bus.has_workers(name)]
    if missing:
        return problem(503, f"not ready, missing: {', '.join(missing)}", missing=missing)
    try:
        return Health(detail=services.summaries.now().text)
    except UNAVAILABLE as error:  # since it answered above
        return problem(503, f"not ready: {type(error).__name__}", missing=[])


@summary_router.get("/summary", operation_id="read_summary")
def get_summary(services: ServicesDep, sender: IdentityDep) -> SummaryView:
    """Return the state of the whole watch in one line, and what it counts."""
    summary = services.summaries.now().within(sender.cameras)
    return SummaryView(
        text=summary.text,
        level=summary.level,
        enabled=summary.enabled,
        alerts=summary.alerts,
        cameras={name: list(cameras) for name, cameras in summary.cameras.items()},
    )


def is_up(ask: Callable[[], None]) -> bool:
    try:
        ask()
    except UNAVAILABLE:
        return False
    return True


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    dependencies=TOKEN_SCHEMES,
)
def get_metrics(services: ServicesDep, sender: IdentityDep) -> Response:
    """Return counters and states as Prometheus text, read from Redis now."""
    text = metrics.StateCollector(services, sender).text()
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})
