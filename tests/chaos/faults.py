"""The faults: each breaks one thing, mends it, and writes down what it did."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from tests.chaos import disk, processes
from tests.chaos.arena import Arena
from tests.chaos.seen import first_after

TAKE_OVER_LIMIT_S = 20.0
RECOVERY_LIMIT_S = 45.0
STORE_DIES_WITHIN_S = 20.0
STORE_AWAY_S = 3.0
BLACK_HOLE_S = 7.0  # more than twice as long as a decoder waits for a silent camera
CUT_S = 2.0
RESTART_LIMIT_S = 40.0  # a server that ended several times is started again later each time
FREEZE_MS = 3000
ALERTING_BEHIND = "alerting does not follow the scores"
AT_WORK_S, WHILE_S = 0.5, 1.5
LAST_BREATH_S = 0.2  # a worker's decoders die right after it, and what was on its way is seen


@dataclass
class Fault:
    """What was done and seen; times are UTC seconds."""

    kind: str
    began_at: float
    pid: int | None = None
    mended_at: float | None = None
    recovered_at: float | None = None  # every running camera has new scores
    skipped: str | None = None
    takeover_s: dict[str, float | None] = field(default_factory=dict)  # camera of the victim → its next score
    meanwhile: dict[str, int] = field(default_factory=dict)  # live camera → scores while something was away
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        return asdict(self)


Deed = Callable[[Arena, Fault], None]


def commit(kind: str, arena: Arena) -> Fault:
    """Do it, and wait until scores flow again everywhere, and alerting has read them."""
    fault = Fault(kind, time.time())
    KINDS[kind](arena, fault)
    if fault.skipped:
        return fault
    fault.mended_at = fault.mended_at or time.time()
    since = fault.mended_at
    if arena.until(lambda: arena.scores_flow(since), RECOVERY_LIMIT_S):
        fault.recovered_at = time.time()
    newest = arena.newest_scores()
    if not arena.until(lambda: arena.alerts_follow(newest), RECOVERY_LIMIT_S):
        fault.notes.append(ALERTING_BEHIND)
    return fault


# Workers


def kill_inference(arena: Arena, fault: Fault) -> None:
    _kill_worker(arena, fault, "infer")


def kill_ingest(arena: Arena, fault: Fault) -> None:
    _kill_worker(arena, fault, "ingest")


def kill_alerting(arena: Arena, fault: Fault) -> None:
    fault.pid = processes.stages(arena.pid, "alert")[0]
    os.kill(fault.pid, signal.SIGKILL)
    known = fault.pid
    arena.until(lambda: processes.stages(arena.pid, "alert") not in ([], [known]), RESTART_LIMIT_S)


def stop_inference(arena: Arena, fault: Fault) -> None:
    _stop_worker(arena, fault, "infer")


def stop_ingest(arena: Arena, fault: Fault) -> None:
    _stop_worker(arena, fault, "ingest")


def _kill_worker(arena: Arena, fault: Fault, stage: str) -> None:
    fault.pid, cameras = _victim(arena, stage)
    fault.began_at = time.time()
    os.kill(fault.pid, signal.SIGKILL)
    _time_the_takeover(arena, fault, stage, cameras)


def _stop_worker(arena: Arena, fault: Fault, stage: str) -> None:
    """For twice the lease; awake again, it finds that others have its cameras, and says so."""
    fault.pid, cameras = _victim(arena, stage)
    line = len(arena.service.output.lines)
    fault.began_at = time.time()
    os.kill(fault.pid, signal.SIGSTOP)
    try:
        arena.hold(2 * arena.lease_s)
    finally:
        os.kill(fault.pid, signal.SIGCONT)
    fault.mended_at = time.time()
    if stage == "infer":  # decoders, processes of their own, go on until the lease is over
        _time_the_takeover(arena, fault, stage, cameras)
    told = [camera for camera in cameras if _says_lost(arena, line, camera)]
    fault.notes.append(f"said that its lease is lost: {', '.join(told) or 'of no camera'}")


def _says_lost(arena: Arena, line: int, camera: str) -> bool:
    return arena.until(lambda: arena.said_since(line, f"camera {camera}: its lease is lost"), 5)


def _victim(arena: Arena, stage: str) -> tuple[int, list[str]]:
    """A worker that has cameras, and which of them are running."""
    arena.until(lambda: bool(_owners(arena, stage)), RESTART_LIMIT_S)
    owned = _owners(arena, stage)
    pid = arena.rng.choice(sorted(owned))
    return pid, owned[pid]


def _owners(arena: Arena, stage: str) -> dict[int, list[str]]:
    """By what they say of themselves: process id → running cameras."""
    owned: dict[int, list[str]] = {}
    for name in arena.fleet.running:
        seen = arena.bus.seen[name]
        worker = seen.infer_worker if stage == "infer" else seen.ingest_worker
        if worker is not None:
            owned.setdefault(worker, []).append(name)
    return {pid: owned[pid] for pid in processes.stages(arena.pid, stage) if pid in owned}


def _time_the_takeover(arena: Arena, fault: Fault, stage: str, cameras: list[str]) -> None:
    """From the blow to the next score, or frame, of each camera that the victim had."""

    def after(camera: str) -> float | None:
        seen = arena.bus.seen[camera]
        times = seen.times if stage == "infer" else seen.frame_times
        return first_after(times, fault.began_at + LAST_BREATH_S)

    waiting = [camera for camera in cameras if camera in arena.fleet.running]
    arena.until(lambda: all(after(name) or name not in arena.fleet.running for name in waiting), TAKE_OVER_LIMIT_S)
    for camera in waiting:
        at = after(camera)
        if at is not None or camera in arena.fleet.running:
            fault.takeover_s[camera] = None if at is None else round(at - fault.began_at, 3)


# Servers


def kill_bus(arena: Arena, fault: Fault) -> None:
    """In the middle of everything: what it said last, nobody may have read."""
    lives = len(arena.bus.lives)
    _kill_server(arena, fault, "bus")
    arena.until(lambda: len(arena.bus.lives) > lives, RESTART_LIMIT_S)


def restart_bus(arena: Arena, fault: Fault) -> None:
    """As above, but everything that it has ever said is read before: of every frame it is known what it became."""
    arena.bus.freeze(FREEZE_MS)
    looks = arena.bus.looks
    arena.bus.lives[-1].whole = arena.until(lambda: arena.bus.looks >= looks + 2, FREEZE_MS / 2000)
    kill_bus(arena, fault)


def restart_store(arena: Arena, fault: Fault) -> None:
    _kill_server(arena, fault, "store")
    _note_meanwhile(arena, fault, fault.began_at)


def fill_disk(arena: Arena, fault: Fault) -> None:
    """Nothing more fits on the store's disk: its Redis ends, and so does each that is started; then there is room."""
    if arena.no_disk:
        fault.skipped = arena.no_disk
        return
    fault.pid = processes.redis(arena.pid, "store")
    filler = disk.fill(arena.store_disk)
    try:
        if not arena.until(lambda: processes.redis(arena.pid, "store") != fault.pid, STORE_DIES_WITHIN_S):
            fault.notes.append("the store's Redis has not ended")
        away_at = time.time()
        arena.hold(STORE_AWAY_S)
        _note_meanwhile(arena, fault, away_at)
    finally:
        filler.unlink()
    fault.mended_at = time.time()
    arena.until(lambda: processes.redis(arena.pid, "store") not in (None, fault.pid), RESTART_LIMIT_S)


def _kill_server(arena: Arena, fault: Fault, role: str) -> None:
    fault.pid = processes.redis(arena.pid, role)
    fault.began_at = time.time()
    if fault.pid is not None:
        os.kill(fault.pid, signal.SIGKILL)
    arena.until(lambda: processes.redis(arena.pid, role) not in (None, fault.pid), RESTART_LIMIT_S)


def _note_meanwhile(arena: Arena, fault: Fault, away_at: float) -> None:
    """Of live cameras that were just being scored: one whose decoder is being started is not held up by this."""
    now, before = time.time(), away_at - AT_WORK_S
    if now - away_at < WHILE_S:
        return
    seen = {name: arena.bus.seen[name] for name in arena.fleet.live()}
    at_work = {name: one for name, one in seen.items() if one.scored_between(before, away_at)}
    fault.meanwhile = {name: one.scored_between(away_at, now) for name, one in at_work.items()}


# The network before one camera


def swallow_network(arena: Arena, fault: Fault) -> None:
    if arena.proxy is None:
        fault.skipped = arena.no_rtsp
        return
    arena.proxy.swallow()
    _lose_network(arena, fault, BLACK_HOLE_S)


def cut_network(arena: Arena, fault: Fault) -> None:
    if arena.proxy is None:
        fault.skipped = arena.no_rtsp
        return
    arena.proxy.cut()
    _lose_network(arena, fault, CUT_S)


def _lose_network(arena: Arena, fault: Fault, seconds: float) -> None:
    assert arena.proxy is not None
    with contextlib.ExitStack() as stack:
        stack.callback(arena.proxy.heal)
        arena.hold(seconds)
    _note_meanwhile(arena, fault, fault.began_at)
    for name, member in arena.fleet.members.items():
        if member.behind_proxy:
            fault.meanwhile.pop(name, None)
    fault.mended_at = time.time()


KINDS: dict[str, Deed] = {
    "kill -9 inference": kill_inference,
    "kill -9 ingest": kill_ingest,
    "kill -9 alerting": kill_alerting,
    "SIGSTOP inference": stop_inference,
    "SIGSTOP ingest": stop_ingest,
    "kill -9 bus": kill_bus,
    "restart bus": restart_bus,
    "restart store": restart_store,
    "disk full": fill_disk,
    "network swallowed": swallow_network,
    "network cut": cut_network,
}
