"""One run: set everything up, break it over and over, let it come to rest, and gather the evidence."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import redis

from service.alerting.rule import Limits
from service.messages import FrameId
from tests.chaos import disk, processes
from tests.chaos.arena import Arena
from tests.chaos.faults import KINDS, Fault, commit
from tests.chaos.fleet import FAST_FRAMES, LIVE_FPS, PACED, RTSP, Fleet, first_members
from tests.chaos.footage import write_footage, write_model
from tests.chaos.proxy import Proxy
from tests.chaos.telling import AlertWatch
from tests.chaos.undisturbed import undisturbed
from tests.chaos.verdicts import Evidence, alerts_lost
from tests.chaos.watching import BusWatch
from tests.e2e.service_process import Service, running_service
from tests.rtsp import rtsp_server

LEASE_S = 3.0
INFER_WORKERS, INGEST_WORKERS = 3, 2
ROUNDS = 1  # of the normal form
NORMAL_FORM_S = 420.0  # more than it takes: how much footage the live cameras need
START_LIMIT_S = 60.0
REST_LIMIT_S = 45.0
ALERTS_LIMIT_S = 60.0
QUIET_S = 2.0  # no new frame for so long: the sources have ended

Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    seed: int
    minutes: float | None  # None: every kind of fault, ROUNDS times
    only: tuple[str, ...] = tuple(KINDS)


@dataclass
class Sources:
    """Where the cameras' pictures come from, until they are ended."""

    media: Path
    urls: list[str] = field(default_factory=list)
    proxy: Proxy | None = None
    no_rtsp: str | None = None
    servers: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def end(self) -> None:
        self.servers.close()
        for clip in self.media.glob("*.mp4"):
            clip.unlink()


def run(options: Options, home: Path, say: Say) -> Evidence:
    """Raises ServiceEndedError where `lookout serve` itself dies."""
    no_disk = _store_disk(home)
    reference_from, reference = _footage(options, home)
    with contextlib.ExitStack() as stack:
        stack.callback(disk.unmount, home / "data" / "store")
        sources = stack.enter_context(_sources(home / "media"))
        service = stack.enter_context(running_service(home / "data", **settings(home)))
        bus = stack.enter_context(BusWatch(processes.redis_socket(service.process.pid, "bus")))
        alerts = stack.enter_context(AlertWatch(processes.redis_socket(service.process.pid, "store")))
        fleet = Fleet(service, bus, alerts)
        rng = random.Random(options.seed)
        store = home / "data" / "store"
        arena = Arena(service, fleet, bus, sources.proxy, store, no_disk, sources.no_rtsp, LEASE_S, rng)
        began_at = time.time()
        for member in first_members(sources.media, sources.urls):
            fleet.add(member)
        if not arena.until(lambda: arena.scores_flow(began_at), START_LIMIT_S):
            raise TimeoutError(f"not all cameras had a score within {START_LIMIT_S:g} s")
        say(f"8 cameras are scored {time.time() - began_at:.1f} s after they were added")
        faults = [_commit(kind, arena, say) for kind in _plan(options, rng)]
        settled = _come_to_rest(arena, sources)
        evidence = Evidence(
            members=fleet.members,
            seen=bus.seen,
            lives=bus.lives,
            on_bus=_on_bus(bus, fleet),
            told=alerts.told,
            stored={},
            faults=faults,
            reference=reference,
            reference_from=reference_from,
            limits=_limits(service),
            lease_s=LEASE_S,
            settled=settled,
            log=service.output.lines,
        )
        return _with_alerts(evidence, arena)


def settings(home: Path) -> dict[str, object]:
    return {
        "models_dir": home / "models",
        "media_dir": home / "media",
        "infer_workers": INFER_WORKERS,
        "ingest_workers": INGEST_WORKERS,
        "lease_s": LEASE_S,
        "stall_timeout_s": 2,
        "connect_timeout_s": 3,
        "retry_first_s": 0.5,
        "retry_most_s": 4,
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
    }


# Before


def _store_disk(home: Path) -> str | None:
    return disk.mount(home / "data" / "store")


def _footage(options: Options, home: Path) -> tuple[int, list[Any]]:
    """Write the model and the clips; the scores of the file at full pace."""
    for name in ("media", "models"):
        (home / name).mkdir(parents=True)
    live_s = NORMAL_FORM_S + 90 * (options.minutes or 0)
    for i in range(PACED + RTSP):
        write_footage(home / "media" / f"live{i}.mp4", round(live_s * LIVE_FPS), LIVE_FPS, seed=i + 1)
    fast = write_footage(home / "media" / "fast.mp4", FAST_FRAMES, 10, seed=0)
    return undisturbed(write_model(home / "models"), fast)


@contextlib.contextmanager
def _sources(media: Path) -> Iterator[Sources]:
    """Two RTSP servers, one of them behind the proxy; without GStreamer's bindings there are none."""
    sources = Sources(media)
    with sources.servers:
        try:
            hidden = sources.servers.enter_context(rtsp_server(media / f"live{PACED}.mp4"))
            plain = sources.servers.enter_context(rtsp_server(media / f"live{PACED + 1}.mp4"))
        except (AssertionError, OSError):
            sources.no_rtsp = "no RTSP server (Debian packages gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-*)"
        else:
            port = urlsplit(hidden).port
            assert port is not None
            sources.proxy = sources.servers.enter_context(Proxy(port))
            sources.urls = [hidden.replace(str(port), str(sources.proxy.port)), plain]
        yield sources


# Meanwhile


def _plan(options: Options, rng: random.Random) -> Iterator[str]:
    """Every kind once, in an order of the seed's, again and again: for so many minutes, or ROUNDS times."""
    began, rounds = time.monotonic(), 0
    while rounds < ROUNDS if options.minutes is None else time.monotonic() - began < 60 * options.minutes:
        yield from rng.sample(options.only, len(options.only))
        rounds += 1


def _commit(kind: str, arena: Arena, say: Say) -> Fault:
    fault = commit(kind, arena)
    if fault.skipped:
        say(f"{kind}: skipped: {fault.skipped}")
        return fault
    took = "not in time" if fault.recovered_at is None else f"after {fault.recovered_at - fault.began_at:.1f} s"
    takeover = f", taken over {fault.takeover_s}" if fault.takeover_s else ""
    say(f"{kind} (pid {fault.pid}): scores on every camera again {took}{takeover}")
    return fault


# Afterwards


def _come_to_rest(arena: Arena, sources: Sources) -> bool:
    """End the sources, not the cameras: what is on the bus is to be dealt with. False where that takes too long."""
    arena.fleet.closed = True
    arena.until(lambda: all(_is_all_there(arena, name) for name in arena.fleet.running), REST_LIMIT_S)
    sources.end()
    for pid in processes.decoders(arena.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def at_rest() -> bool:
        followed = [arena.bus.seen[name] for name in arena.bus.followed()]
        last_frame = max((seen.frame_times[-1] for seen in followed if seen.frame_times), default=0.0)
        return time.time() - last_frame > QUIET_S and all(_dealt_with(arena, name) for name in arena.bus.followed())

    return arena.until(at_rest, REST_LIMIT_S)


def _is_all_there(arena: Arena, name: str) -> bool:
    """A file that waits adds again what a former bus has lost."""
    seen, life = arena.bus.seen[name], len(arena.bus.lives) - 1
    if arena.fleet.members[name].kind != "fast" or not seen.frames:
        return True
    return life in seen.cursors and seen.cursors[life][1] >= max(seen.frames)


def _dealt_with(arena: Arena, name: str) -> bool:
    """The camera's owner is past the newest frame that was seen in this life of the bus."""
    seen, life = arena.bus.seen[name], len(arena.bus.lives) - 1
    newest = max((frame_id for frame_id, (at, _) in seen.frames.items() if at == life), default=None)
    return newest is None or (life in seen.cursors and seen.cursors[life][1] >= newest)


def _on_bus(bus: BusWatch, fleet: Fleet) -> dict[str, list[FrameId]]:
    """The score streams as they are at the end, of cameras that were not put aside."""
    with contextlib.suppress(redis.RedisError):
        return {name: bus.stored_score_ids(name) for name in fleet.running}
    return {}


def _limits(service: Service) -> Limits:
    at = service.http.get("/alert-rule").raise_for_status().json()
    low = at["threshold"] - at["hysteresis"]
    return Limits(at["threshold"], low, at["min_duration_s"], at["clear_after_s"], at["quiet_after_s"])


def _with_alerts(evidence: Evidence, arena: Arena) -> Evidence:
    """Wait until no alert is missing, a minute at most; alerts as they are listed then."""

    def complete() -> bool:
        stored = {name: _stored_alerts(arena.service.http, name) for name in evidence.members}
        evidence.stored = stored
        return alerts_lost(evidence, stored) == 0

    arena.until(complete, ALERTS_LIMIT_S)
    return evidence


def _stored_alerts(http: httpx.Client, camera: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = {"camera": camera, "limit": 1000}
    while True:
        page = http.get("/alerts", params=query).raise_for_status().json()
        found += page["items"]
        if page["next"] is None:
            return found
        query["cursor"] = page["next"]
