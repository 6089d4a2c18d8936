"""The end of a run.

End the sources, wait for everything on its way, and gather the observations.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from typing import Any

import httpx
import redis

from lookout.models.scoring.alert_policy import AlertPolicy
from lookout.service.core.messages import FrameId
from tests.chaos import processes
from tests.chaos.arena import Arena
from tests.chaos.faults import Fault
from tests.chaos.seen import Numbers
from tests.chaos.sources import Sources
from tests.chaos.verdicts import Evidence, alerts_amiss

REST_LIMIT_S = 45.0
ALERTS_LIMIT_S = 60.0
QUIET_S = 2.0  # no new frame for so long: the sources have ended


def come_to_rest(arena: Arena, sources: Sources) -> bool:
    """End the sources, and wait until what is on the bus is dealt with.

    Return False when that is late.
    """
    arena.fleet.closed = True
    arena.until(
        lambda: all(_is_all_there(arena, name) for name in arena.fleet.running), REST_LIMIT_S
    )
    sources.end()
    for pid in processes.decoders(arena.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return arena.until(lambda: _no_frame_comes(arena) and _all_dealt_with(arena), REST_LIMIT_S)


def gather(
    arena: Arena, faults: list[Fault], reference: tuple[int, Sequence[Numbers]], *, settled: bool
) -> Evidence:
    """Gather the evidence, after waiting until no alert is amiss, a minute at most."""
    service, fleet, bus = arena.service, arena.fleet, arena.bus
    evidence = Evidence(
        members=fleet.members,
        seen=bus.seen,
        lives=bus.lives,
        on_bus=_on_bus(arena),
        told=fleet.alerts.told,
        stored={},
        faults=faults,
        reference_from=reference[0],
        reference=reference[1],
        policy=policy_in_use(service.http),
        lease_s=arena.lease_s,
        settled=settled,
        log=service.output.lines,
    )

    def no_alert_is_amiss() -> bool:
        evidence.stored = {name: _stored_alerts(service.http, name) for name in fleet.members}
        return alerts_amiss(evidence) == 0

    arena.until(no_alert_is_amiss, ALERTS_LIMIT_S)
    return evidence


def _is_all_there(arena: Arena, name: str) -> bool:
    """Return whether the bus has everything.

    A file that waits adds again what a former bus has lost.
    """
    seen, life = arena.bus.seen[name], len(arena.bus.lives) - 1
    if arena.fleet.members[name].kind != "fast" or not seen.frames:
        return True
    return life in seen.cursors and seen.cursors[life][1] >= max(seen.frames)


def _no_frame_comes(arena: Arena) -> bool:
    times = [arena.bus.seen[name].frame_times for name in arena.bus.followed()]
    return time.time() - max((one[-1] for one in times if one), default=0.0) > QUIET_S


def _all_dealt_with(arena: Arena) -> bool:
    return all(_dealt_with(arena, name) for name in arena.bus.followed())


def _dealt_with(arena: Arena, name: str) -> bool:
    """Return whether the camera's owner is past the newest frame seen in this life of the bus."""
    seen, life = arena.bus.seen[name], len(arena.bus.lives) - 1
    newest = max(
        (frame_id for frame_id, (at, _) in seen.frames.items() if at == life), default=None
    )
    return newest is None or (life in seen.cursors and seen.cursors[life][1] >= newest)


def _on_bus(arena: Arena) -> dict[str, list[FrameId]]:
    """Return the score streams at the end, of cameras that were not put aside."""
    with contextlib.suppress(redis.RedisError):
        return {name: arena.bus.stored_score_ids(name) for name in arena.fleet.running}
    return {}


def policy_in_use(http: httpx.Client) -> AlertPolicy:
    at = http.get("/alert-rule").raise_for_status().json()
    return AlertPolicy(
        at["threshold"],
        at["hysteresis"],
        at["min_duration_s"],
        at["clear_after_s"],
        at["quiet_after_s"],
    )


def _stored_alerts(http: httpx.Client, camera: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    # The other kinds do not follow from the scores.
    query: dict[str, Any] = {"camera": camera, "kind": "anomaly", "limit": 1000}
    while True:
        page = http.get("/alerts", params=query).raise_for_status().json()
        found += page["items"]
        if page["next"] is None:
            return found
        query["cursor"] = page["next"]
