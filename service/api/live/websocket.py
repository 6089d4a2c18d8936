"""The WebSocket: scores, alerts, events and states of the cameras as they happen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect
from fastapi.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocketDisconnected

from lookout.service.api.auth.access import IdentityDep
from lookout.service.api.dependencies import Services, ServicesDep
from lookout.service.api.live.broadcaster import Client
from lookout.service.core.accounts import Identity
from lookout.service.storage.redis.connect import UNAVAILABLE

router = APIRouter()

POLICY, TRY_LATER = 1008, 1013  # RFC 6455 and its registry
GONE = (WebSocketDisconnect, WebSocketDisconnected)
LOGIN_EVERY_S = 1.0  # as often as the store's list of ended logins is read
CLOSING_S = 2.0  # so long a client that does not read may take to read why it is closed


@router.websocket("/live")
async def live(
    socket: WebSocket,
    services: ServicesDep,
    sender: IdentityDep,
    camera: Annotated[list[str] | None, Query()] = None,
) -> None:
    """`?camera=` may be repeated; without it all cameras in scope, those added later too."""
    wanted = camera or []
    await services.broadcaster.wait_started()
    # Before it is accepted: who is told of a connection misses nothing from then on.
    client = services.broadcaster.join(frozenset(wanted) if wanted else sender.cameras)
    try:
        with contextlib.suppress(*GONE):
            await socket.accept()
            if refused := await refusal(services, sender, wanted):
                await socket.close(*refused)
                return
            await run_until_first(
                send_messages(socket, client),
                receive_until_closed(socket),
                client.behind.wait(),
                wait_access_ended(socket, services, sender),
            )
    finally:
        services.broadcaster.leave(client)
    if client.behind.is_set():
        await close(socket, TRY_LATER, "too slow: messages were piling up")
    elif ended := access_end(socket, services, sender):
        await close(socket, POLICY, ended)


async def refusal(
    services: Services, sender: Identity, wanted: list[str]
) -> tuple[int, str] | None:
    """Return code and reason where a camera cannot be listened to.

    Only the cameras that the broadcaster does not know yet are looked up in the store.
    """
    for name in wanted:
        if not sender.sees(name):
            return POLICY, f"there is no camera {name[:64]!r}"
    unknown = [name for name in wanted if name not in services.broadcaster.known]
    if not unknown:
        return None
    try:
        known = await run_in_threadpool(services.store.cameras)
    except UNAVAILABLE:
        return TRY_LATER, "the database is away; try again"
    missing = [name for name in unknown if name not in known]
    if not missing:
        return None
    return POLICY, f"there is no camera {missing[0][:64]!r}"


async def send_messages(socket: WebSocket, client: Client) -> None:
    while True:
        await socket.send_text(await client.queue.get())


async def receive_until_closed(socket: WebSocket) -> None:
    """Read until the client leaves; what it sends is ignored."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def run_until_first(*works: Coroutine[Any, Any, Any]) -> None:
    """Run all until one ends in any way, then cancel the others."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception) and not isinstance(ended, GONE):
                raise ended


def access_end(connection: HTTPConnection, services: Services, sender: Identity) -> str | None:
    """Return why a connection may no longer listen, None while it may.

    Its login or token has ended, or what its sender may see has changed.
    """
    now = services.auth.identify(connection)
    if now in ("limited", "unverified", sender):
        return None
    if isinstance(now, Identity):
        return "what this login may see has changed: connect again"
    return "the login has ended"


async def wait_access_ended(socket: WebSocket, services: Services, sender: Identity) -> None:
    """Wait as long as the socket may listen. LOOKOUT_TOKEN has no end."""
    while not access_end(socket, services, sender):
        await asyncio.sleep(LOGIN_EVERY_S)


async def close(socket: WebSocket, code: int, reason: str) -> None:
    """Close a socket whose client may not read, or be gone."""
    with contextlib.suppress(TimeoutError, RuntimeError, *GONE):
        async with asyncio.timeout(CLOSING_S):
            await socket.close(code, reason)
