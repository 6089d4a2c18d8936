"""The application: routes, errors and the live hub put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from lookout.service.api import alerts, cameras, checkpoints, events, health, page, problems, scores
from lookout.service.api.auth import login as session
from lookout.service.api.auth.middleware import Lock
from lookout.service.api.auth.same_origin import SameOrigin
from lookout.service.api.auth.token import ASKED, Door
from lookout.service.api.body_limit import BodyLimit
from lookout.service.api.dependencies import Services, look
from lookout.service.api.live import websocket as live
from lookout.service.api.live.broadcaster import Hub
from lookout.service.core.settings import Settings
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store

API = "/api/v1"
BODY_LIMIT_BYTES = 64 * 1024
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/problem+json": {}}}
    for status, text in {
        401: "the token is needed, or is wrong",
        404: "not there",
        422: "cannot be",
        503: "the database is away or refuses",
    }.items()
}
OPEN = {"/healthz", "/readyz", f"{API}/healthz", f"{API}/readyz", f"{API}/session"}
"""Behind no lock, as are the page's own files: what a supervisor asks, and the way in."""


def create_app(settings: Settings, bus: Bus, store: Store) -> FastAPI:
    hub = Hub(bus, store, look, settings.live_queue)
    door = Door(settings.token.get_secret_value()) if settings.token else None

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        hub.start()
        try:
            yield
        finally:
            await hub.aclose()

    app = FastAPI(
        title="Lookout",
        summary="Real-time anomaly scores, heatmaps and alerts of fixed cameras.",
        version="1",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # Swagger UI would come from a CDN
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.services = Services(settings, bus, store, hub, door)
    for router in (cameras.router, scores.router, events.router, alerts.router, checkpoints.router):
        app.include_router(router, prefix=API, responses=PROBLEMS, dependencies=ASKED)
    app.include_router(session.router, prefix=API)
    app.include_router(live.router, prefix=API)
    app.include_router(health.router)
    app.include_router(health.router, prefix=API, include_in_schema=False)
    page.mount(app)
    problems.install(app)
    app.add_middleware(BodyLimit, limit_bytes=BODY_LIMIT_BYTES)
    if door is not None:
        app.add_middleware(Lock, door=door, open_paths=OPEN)
    app.add_middleware(SameOrigin)
    app.add_middleware(page.SafeHeaders)
    return app
