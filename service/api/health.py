"""/healthz, /readyz and /metrics: for supervisors and Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Response
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from lookout.service.api import metrics
from lookout.service.api.auth.token import TOKEN_SCHEMES
from lookout.service.api.dependencies import ServicesDep
from lookout.service.api.problems import problem
from lookout.service.api.views import Health
from lookout.service.core.stages import REQUIRED_NAMES
from lookout.service.storage.redis.connect import UNAVAILABLE

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> Health:
    """200 while this process lives; on the event loop, so that a hanging Redis cannot delay it."""
    return Health()


@router.get(
    "/readyz", response_model=Health, responses={503: {"description": "something is missing"}}
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
    return Health()


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
def get_metrics(services: ServicesDep) -> Response:
    """Return counters and states as Prometheus text, read from Redis now."""
    text = metrics.StateCollector(services).text()
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})
