"""/system: how the service itself is: its stages, servers, disk and versions."""

from __future__ import annotations

import platform
import shutil
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from lookout.service.api import page
from lookout.service.api.dependencies import Services, ServicesDep
from lookout.service.api.metrics import installed_version
from lookout.service.core.stages import STAGES
from lookout.service.storage.redis.connect import UNAVAILABLE, Server, explain

router = APIRouter(tags=["health"])

SYSTEM_EXAMPLE: dict[str, JsonValue] = {
    "version": "0.1.0",
    "python": "3.11.7",
    "page": "5f0c1d2e3a4b",
    "stages": [
        {
            "name": "ingest",
            "is_optional": False,
            "workers": [{"id": "edge-7-41-a1b2", "fps": 60.0}],
        }
    ],
    "servers": [
        {"name": "bus", "version": "7.0.15", "error": None},
        {"name": "store", "version": "7.0.15", "error": None},
    ],
    "disk": {"free_bytes": 81604378624, "total_bytes": 107374182400},
}


class WorkerView(BaseModel):
    id: str
    fps: float = Field(description="frames a second of the cameras that it has")


class StageView(BaseModel):
    name: str
    is_optional: bool = Field(description="scores and alerts go on without it")
    workers: list[WorkerView] = Field(description="those present, by id")


class ServerView(BaseModel):
    """A Redis server."""

    name: Literal["bus", "store"]
    version: str | None = Field(description="null for a cluster, and where it is away")
    error: str | None = Field(description="why it does not answer")


class DiskView(BaseModel):
    """The volume of the data folder, of the machine that answers."""

    free_bytes: int
    total_bytes: int


class SystemView(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [SYSTEM_EXAMPLE]})

    version: str = Field(description="of the API that answers")
    python: str
    page: str = Field(description="version of the page's files, as the `ETag` of the page")
    stages: list[StageView] = Field(description="without the API, which answers for itself")
    servers: list[ServerView]
    disk: DiskView | None


def server_view(name: Literal["bus", "store"], server: Server) -> ServerView:
    """Return how a server is now."""
    try:
        return ServerView(name=name, version=server.version(), error=None)
    except UNAVAILABLE as error:
        return ServerView(name=name, version=None, error=explain(error))


def stage_views(services: Services) -> list[StageView]:
    """Return the stages with their workers. Raises one of UNAVAILABLE."""
    found = []
    for stage in STAGES:
        if not stage.reports_on_bus:
            continue
        present = sorted(services.bus.workers(stage.name).items())
        workers = [WorkerView(id=name, fps=load) for name, load in present]
        found.append(StageView(name=stage.name, is_optional=stage.is_optional, workers=workers))
    return found


@router.get("/system", operation_id="read_system")
def get_system(services: ServicesDep) -> SystemView:
    """Return how the service itself is; without stages while the bus is away."""
    bus = server_view("bus", services.bus)
    try:
        usage = shutil.disk_usage(services.settings.data_dir)
        disk = DiskView(free_bytes=usage.free, total_bytes=usage.total)
    except OSError:  # no such folder yet
        disk = None
    return SystemView(
        version=installed_version(),
        python=platform.python_version(),
        page=page.version(),
        stages=stage_views(services) if bus.error is None else [],
        servers=[bus, server_view("store", services.store)],
        disk=disk,
    )
