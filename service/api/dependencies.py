"""What every endpoint works with."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from lookout.service.api.auth.token import Door
from lookout.service.api.camera_status import Beats
from lookout.service.api.live.broadcaster import Hub
from lookout.service.api.views import CameraView, camera_view
from lookout.service.core.camera import Camera
from lookout.service.core.settings import Settings
from lookout.service.core.stages import INFERENCE, INGEST
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    bus: Bus
    store: Store
    hub: Hub
    door: Door | None = None  # None: no token is set, and nobody is asked


def look(bus: Bus, cameras: Iterable[Camera]) -> dict[str, CameraView]:
    """The cameras as everybody is shown them, now."""
    wanted = {camera.id: camera for camera in cameras}
    seen = bus.overview(wanted)
    beats = Beats(ingest=bus.has_workers(INGEST.name), inference=bus.has_workers(INFERENCE.name))
    now = time.time()
    return {name: camera_view(camera, seen[name], beats, now) for name, camera in wanted.items()}


async def _services(connection: HTTPConnection) -> Services:
    """On the event loop itself: where all threads wait for a store that hangs, a listener still gets in."""
    return cast(Services, connection.app.state.services)


Here = Annotated[Services, Depends(_services)]
