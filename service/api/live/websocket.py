"""The WebSocket: scores, alerts, events and states of the cameras as they happen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect
from fastapi.concurrency import run_in_threadpool
from starlette.websockets import WebSocketDisconnected

from lookout.service.api.dependencies import Services, ServicesDep
from lookout.service.api.live.broadcaster import Client
from lookout.service.storage.redis.connect import UNAVAILABLE

router = APIRouter()

POLICY, TRY_LATER = 1008, 1013  # RFC 6455 and its registry
GONE = (WebSocketDisconnect, WebSocketDisconnected)
CLOSING_S = 2.0  # so long a client that does not read may take to read why it is closed


@router.websocket("/live")
async def live(
    socket: WebSocket, services: ServicesDep, camera: Annotated[list[str] | None, Query()] = None
) -> None:
    """`?camera=` may be repeated; without it all cameras, those added later too."""
    wanted = camera or []
    await services.broadcaster.wait_started()
    client = services.broadcaster.join(
        wanted
    )  # before it is accepted: who is told of a connection misses nothing from then on
    try:
        with contextlib.suppress(*GONE):
            await socket.accept()
            if refused := await _refused(services, wanted):
                await socket.close(*refused)
                return
            await _until_first(_send(socket, client), _receive(socket), client.behind.wait())
    finally:
        services.broadcaster.leave(client)
    if client.behind.is_set():
        await _close_behind(socket)


async def _refused(services: Services, wanted: list[str]) -> tuple[int, str] | None:
    """Why these cameras cannot be listened to. The store is asked only for those that the hub does not know (yet)."""
    unknown = [name for name in wanted if name not in services.broadcaster.known]
    try:
        known = await run_in_threadpool(services.store.cameras) if unknown else {}
    except UNAVAILABLE:
        return TRY_LATER, "the database is away; try again"
    missing = [name for name in unknown if name not in known]
    return (POLICY, f"there is no camera {missing[0][:64]!r}") if missing else None


async def _send(socket: WebSocket, client: Client) -> None:
    while True:
        await socket.send_text(await client.queue.get())


async def _receive(socket: WebSocket) -> None:
    """Nothing is expected of a client; reading is how its leaving is noticed."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def _until_first(*works: Coroutine[Any, Any, Any]) -> None:
    """Run until one of them ends, whatever way, and end the others."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception) and not isinstance(ended, GONE):
                raise ended


async def _close_behind(socket: WebSocket) -> None:
    with contextlib.suppress(TimeoutError, *GONE):
        async with asyncio.timeout(CLOSING_S):
            await socket.close(TRY_LATER, "too slow: messages were piling up")
