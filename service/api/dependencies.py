"""Services that every endpoint works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from lookout.service.api.audit import AuditTrail
from lookout.service.api.auth.oidc import OidcLogins
from lookout.service.api.auth.token import Authenticator
from lookout.service.api.idempotency import Repeats
from lookout.service.api.live.broadcaster import Broadcaster
from lookout.service.api.live.picture_streams import PictureStreams
from lookout.service.core.settings import Settings
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from lookout.service.storage.uploads import Uploads
from lookout.service.watch.watch_summary import WatchSummaries


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    bus: Bus
    store: Store
    broadcaster: Broadcaster
    summaries: WatchSummaries
    auth: Authenticator
    trail: AuditTrail
    pictures: PictureStreams
    repeats: Repeats
    uploads: Uploads
    oidc: OidcLogins | None = None  # where a provider is set


async def services_of(connection: HTTPConnection) -> Services:
    """Return the services of the app that serves a request.

    It runs on the event loop: while all threads wait for a store that hangs, a listener still
    gets in.
    """
    return cast(Services, connection.app.state.services)


ServicesDep = Annotated[Services, Depends(services_of)]
