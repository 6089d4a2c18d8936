"""The application: routes, errors and the broadcaster put together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from lookout.service.api import (
    accounts,
    alerts,
    cameras,
    checkpoints,
    health,
    history,
    jobs,
    left_out,
    offered_masks,
    openapi,
    page,
    problems,
    recordings,
    replays,
    scores,
    sinks,
    suppressions,
    system,
)
from lookout.service.api.audit import AuditTrail
from lookout.service.api.auth import login, oidc_login
from lookout.service.api.auth.access import API, AccessMiddleware
from lookout.service.api.auth.logins import Logins
from lookout.service.api.auth.oidc import OidcLogins
from lookout.service.api.auth.token import TOKEN_SCHEMES, Authenticator
from lookout.service.api.dependencies import Services
from lookout.service.api.idempotency import Repeats
from lookout.service.api.live import asyncapi, pictures
from lookout.service.api.live import websocket as live
from lookout.service.api.live.broadcaster import Broadcaster
from lookout.service.api.live.picture_streams import PictureStreams
from lookout.service.api.middleware import (
    BodyLimitMiddleware,
    HeadMiddleware,
    HostMiddleware,
    QueryMiddleware,
    SafeHeadersMiddleware,
    SameOriginMiddleware,
    allowed_hosts,
)
from lookout.service.api.root_path import RootPathMiddleware
from lookout.service.core.errors import SettingsError
from lookout.service.core.settings import Settings
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from lookout.service.storage.uploads import MB, Uploads
from lookout.service.watch.watch_summary import WatchSummaries

BODY_LIMIT_BYTES = 64 * 1024
TIDY_EVERY_S = 600.0
HEALTH = {"/healthz", "/readyz", f"{API}/healthz", f"{API}/readyz"}
"""Paths that supervisors ask without a token, by address."""

LOGIN_PATHS = {
    page.LOGIN_PATH,
    *(f"{API}/session{below}" for below in ("", "/oidc", "/oidc/login")),
}


def oidc_logins(settings: Settings) -> OidcLogins | None:
    """Return the log-ins by the OpenID provider, None where none is set. Raises SettingsError."""
    if settings.oidc_issuer is None:
        return None
    try:
        from lookout.service.api.auth.oidc_provider import Provider  # noqa: PLC0415  of an extra
    except ImportError:
        raise SettingsError("LOOKOUT_OIDC_ISSUER needs `pip install 'lookout[oidc]'`") from None
    return OidcLogins(Provider(settings))


async def keep_tidy(uploads: Uploads) -> None:
    """Apply the retention of uploads now and then, until it is cancelled."""
    while True:
        with contextlib.suppress(OSError):  # tried again
            await run_in_threadpool(uploads.tidy)
        await asyncio.sleep(TIDY_EVERY_S)


def create_app(settings: Settings, bus: Bus, store: Store) -> FastAPI:
    broadcaster = Broadcaster(bus, store, settings.live_queue)
    token = settings.token.get_secret_value() if settings.token is not None else None
    oidc = oidc_logins(settings)
    uploads = Uploads(settings)
    logins = Logins(store, needs_key=token is None, has_provider=oidc is not None)
    auth = Authenticator(token, logins)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        broadcaster.start()
        following = await logins.start()
        tidying = asyncio.create_task(keep_tidy(uploads))
        try:
            yield
        finally:
            following.cancel()
            tidying.cancel()
            await broadcaster.aclose()

    app = FastAPI(
        title="Lookout",
        summary="Real-time anomaly scores, heatmaps and alerts of fixed cameras.",
        version="1",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # its Swagger UI would come from a CDN
        redoc_url=None,
        lifespan=lifespan,
        generate_unique_id_function=openapi.operation_id,
    )
    summaries = WatchSummaries(bus, store)
    trail = AuditTrail(store)
    streams = PictureStreams(bus)
    app.state.services = Services(
        settings,
        bus,
        store,
        broadcaster,
        summaries,
        auth,
        trail,
        streams,
        Repeats(store),
        uploads,
        oidc,
    )
    for router in (
        cameras.router,
        scores.router,
        history.router,
        pictures.router,
        alerts.router,
        offered_masks.router,
        suppressions.router,
        checkpoints.router,
        jobs.router,
        left_out.router,
        replays.router,
        recordings.router,
        sinks.router,
        health.summary_router,
        system.router,
        accounts.router,
        login.logins_router,
        asyncapi.router,
    ):
        app.include_router(router, prefix=API, dependencies=TOKEN_SCHEMES)
    app.include_router(login.router, prefix=API)
    app.include_router(oidc_login.router, prefix=API)
    app.include_router(live.router, prefix=API)
    app.include_router(health.router)
    app.include_router(health.router, prefix=API, include_in_schema=False)
    page.mount(app)
    problems.install(app)
    openapi.install(app)
    # The last one added is the first that a request meets.
    app.add_middleware(HeadMiddleware)
    app.add_middleware(QueryMiddleware)
    app.add_middleware(
        BodyLimitMiddleware, limit_bytes=BODY_LIMIT_BYTES, put_limit_bytes=settings.upload_mb * MB
    )
    app.add_middleware(AccessMiddleware, auth=auth, trail=trail, open_paths=HEALTH | LOGIN_PATHS)
    app.add_middleware(SameOriginMiddleware)
    app.add_middleware(
        HostMiddleware,
        hosts=allowed_hosts(settings),
        open_paths=HEALTH | {"/metrics", f"{API}/metrics"},
    )
    app.add_middleware(RootPathMiddleware, root_path=settings.root_path)
    app.add_middleware(SafeHeadersMiddleware)
    return app
