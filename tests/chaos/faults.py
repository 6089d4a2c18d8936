"""The faults: each breaks one thing, mends it, and writes down what it did.

The next fault comes when scores flow again on every camera and alerting has read them. A score that
a bus held and alerting had no chance to read would be no lost alert, and its loss would test
nothing.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field

from tests.chaos import disk, processes
from tests.chaos.arena import Arena
from tests.chaos.proxy import Proxy
from tests.chaos.takeovers import LEASES, TakeOver, is_done, take_over, was_anothers

TAKE_OVER_LIMIT_S = 20.0
RECOVERY_LIMIT_S = 45.0
STORE_DIES_WITHIN_S = 20.0
STORE_AWAY_S = 3.0
BLACK_HOLE_S = 7.0  # more than twice as long as a decoder waits for a silent camera
CUT_S = 2.0
RESTART_LIMIT_S = 40.0  # a server that ended several times is started again later each time
FREEZE_MS = 3000
FROZEN_S = {"alerting": 18.0, "store": 20.0, "bus": 10.0, "all stages": 17.0}
"""But for the bus, longer than `quiet_after_s`: by a clock, every camera would be silent."""
AT_WORK_S, WHILE_S = 0.5, 1.5
AT_WORK_LIMIT_S = 10.0


@dataclass
class Fault:
    """One fault: what was broken, and what was observed. Times are UTC seconds."""

    kind: str
    began_at: float
    pid: int | None = None
    mended_at: float | None = None
    recovered_at: float | None = None  # every running camera has new scores
    skipped: str | None = None
    takeovers: dict[str, TakeOver] = field(default_factory=dict)  # of each camera of the victim
    others: list[str] = field(
        default_factory=list
    )  # live cameras that go on while something is away
    meanwhile: dict[str, int] = field(
        default_factory=dict
    )  # those that were just being scored → scores meanwhile
    failed: list[str] = field(default_factory=list)  # what did not happen as it should have
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        return asdict(self)


Deed = Callable[[Arena, Fault], None]


def commit(kind: str, arena: Arena) -> Fault:
    """Inject a fault; wait until scores flow again on every camera and alerting has read them."""
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
        fault.failed.append("alerting does not follow the scores again")
    return fault


# Workers


def kill_inference(arena: Arena, fault: Fault) -> None:
    _kill_worker(arena, fault, "inference")


def kill_ingest(arena: Arena, fault: Fault) -> None:
    _kill_worker(arena, fault, "ingest")


def kill_alerting(arena: Arena, fault: Fault) -> None:
    fault.pid = processes.stages(arena.pid, "alerting")[0]
    os.kill(fault.pid, signal.SIGKILL)
    known = fault.pid
    arena.until(
        lambda: processes.stages(arena.pid, "alerting") not in ([], [known]), RESTART_LIMIT_S
    )


def stop_inference(arena: Arena, fault: Fault) -> None:
    _stop_worker(arena, fault, "inference")


def stop_ingest(arena: Arena, fault: Fault) -> None:
    _stop_worker(arena, fault, "ingest")


def _kill_worker(arena: Arena, fault: Fault, stage: str) -> None:
    fault.pid, cameras = _victim(arena, stage)
    fault.began_at = time.time()
    os.kill(fault.pid, signal.SIGKILL)
    _watch_the_takeover(arena, fault, stage, cameras)


def _stop_worker(arena: Arena, fault: Fault, stage: str) -> None:
    """Stop a worker for twice the lease.

    Awake again, it finds that others have its cameras, and says so.
    """
    fault.pid, cameras = _victim(arena, stage)
    line = len(arena.service.output.lines)
    fault.began_at = time.time()
    os.kill(fault.pid, signal.SIGSTOP)
    try:
        arena.hold(2 * arena.lease_s)
    finally:
        os.kill(fault.pid, signal.SIGCONT)
    fault.mended_at = time.time()
    _watch_the_takeover(arena, fault, stage, cameras)
    told = [camera for camera in cameras if _says_lost(arena, line, camera)]
    fault.notes.append(f"said that its lease is lost: {', '.join(told) or 'of no camera'}")


def _says_lost(arena: Arena, line: int, camera: str) -> bool:
    return arena.until(lambda: arena.said_since(line, f"camera {camera}: its lease is lost"), 5)


def _victim(arena: Arena, stage: str) -> tuple[int, list[str]]:
    """Return a worker that has cameras, and which of them are running."""
    arena.until(lambda: bool(_owners(arena, stage)), RESTART_LIMIT_S)
    owned = _owners(arena, stage)
    pid = arena.rng.choice(sorted(owned))
    return pid, owned[pid]


def _owners(arena: Arena, stage: str) -> dict[int, list[str]]:
    """Return process id → running cameras, by the reports of the workers."""
    owned: dict[int, list[str]] = {}
    for name in arena.fleet.running:
        seen = arena.bus.seen[name]
        worker = seen.inference_worker if stage == "inference" else seen.ingest_worker
        if worker is not None:
            owned.setdefault(worker, []).append(name)
    return {pid: owned[pid] for pid in processes.stages(arena.pid, stage) if pid in owned}


def _watch_the_takeover(arena: Arena, fault: Fault, stage: str, cameras: list[str]) -> None:
    """Wait until each camera of the victim has another owner and goes on."""

    def so_far() -> dict[str, TakeOver]:
        seen, members = arena.bus.seen, arena.fleet.members
        return {
            name: take_over(stage, seen[name], members[name], fault.began_at)
            for name in cameras
            if not _is_no_matter(arena, fault, stage, name)
        }

    arena.until(lambda: all(is_done(one) for one in so_far().values()), TAKE_OVER_LIMIT_S)
    fault.takeovers = so_far()


def _is_no_matter(arena: Arena, fault: Fault, stage: str, name: str) -> bool:
    """Return whether the takeover does not count.

    The victim did not have the camera any more, or it was put aside before the takeover was due.
    """
    if was_anothers(
        stage, arena.bus.seen[name], fault.began_at, arena.lease_s, arena.bus.lives[-1].last_look
    ):
        return True
    return arena.fleet.aside_at.get(name, math.inf) < fault.began_at + LEASES * arena.lease_s


# Servers


def kill_bus(arena: Arena, fault: Fault) -> None:
    """Kill the bus at any moment: nobody may have read its last messages."""
    lives = len(arena.bus.lives)
    _kill_server(arena, fault, "bus")
    arena.until(lambda: len(arena.bus.lives) > lives, RESTART_LIMIT_S)


def restart_bus(arena: Arena, fault: Fault) -> None:
    """Kill the bus after reading everything that it ever said: the fate of every frame is known."""
    arena.bus.freeze(FREEZE_MS)
    looks = arena.bus.looks
    arena.bus.lives[-1].whole = arena.until(lambda: arena.bus.looks >= looks + 2, FREEZE_MS / 2000)
    kill_bus(arena, fault)


def restart_store(arena: Arena, fault: Fault) -> None:
    _wait_for_work(arena)
    _kill_server(arena, fault, "store")
    _note_meanwhile(arena, fault, fault.began_at)


def fill_disk(arena: Arena, fault: Fault) -> None:
    """Fill the store's disk until its Redis ends, and each one that is started; then make room."""
    if arena.no_disk:
        fault.skipped = arena.no_disk
        return
    _wait_for_work(arena)
    fault.pid, fault.began_at = processes.redis(arena.pid, "store"), time.time()
    filler = disk.fill(arena.store_disk)
    try:
        if not arena.until(
            lambda: processes.redis(arena.pid, "store") != fault.pid, STORE_DIES_WITHIN_S
        ):
            fault.failed.append("the store's Redis has not ended")
        away_at = time.time()
        arena.hold(STORE_AWAY_S)
        _note_meanwhile(arena, fault, away_at)
    finally:
        filler.unlink()
    fault.mended_at = time.time()
    arena.until(
        lambda: processes.redis(arena.pid, "store") not in (None, fault.pid), RESTART_LIMIT_S
    )


def empty_bus(arena: Arena, fault: Fault) -> None:
    """Drop everything on the bus at any moment: nobody may have read its last messages."""
    lives = len(arena.bus.lives)
    fault.began_at = time.time()
    arena.bus.empty()
    arena.until(lambda: len(arena.bus.lives) > lives, RESTART_LIMIT_S)


def _kill_server(arena: Arena, fault: Fault, role: str) -> None:
    arena.until(lambda: processes.redis(arena.pid, role) is not None, RESTART_LIMIT_S)
    fault.pid = processes.redis(arena.pid, role)
    assert fault.pid is not None, f"there is no {role} to be killed"
    fault.began_at = time.time()
    os.kill(fault.pid, signal.SIGKILL)
    arena.until(lambda: processes.redis(arena.pid, role) not in (None, fault.pid), RESTART_LIMIT_S)


# Frozen for long, without an error anywhere: a paused machine, a disk that hangs


def freeze_alerting(arena: Arena, fault: Fault) -> None:
    _wait_for_work(arena)
    _freeze(arena, fault, "alerting", processes.stages(arena.pid, "alerting"))


def freeze_store(arena: Arena, fault: Fault) -> None:
    _wait_for_work(arena)
    _freeze(arena, fault, "store", [_server(arena, "store")])


def freeze_bus(arena: Arena, fault: Fault) -> None:
    _freeze(arena, fault, "bus", [_server(arena, "bus")])


def freeze_all(arena: Arena, fault: Fault) -> None:
    stages = ("ingest", "inference", "alerting", "api")
    pids = [pid for stage in stages for pid in processes.stages(arena.pid, stage)]
    _freeze(arena, fault, "all stages", [*pids, *processes.decoders(arena.pid)])


def _freeze(arena: Arena, fault: Fault, what: str, pids: list[int]) -> None:
    """Stop processes for a while, and wake them; scoring goes on where the stages run."""
    fault.pid = pids[0]
    fault.began_at = time.time()
    processes.signal_all(pids, signal.SIGSTOP)
    try:
        if what in ("alerting", "store"):
            _note_meanwhile(arena, fault, fault.began_at, tends=False)
        arena.hold(fault.began_at + FROZEN_S[what] - time.time(), tends=False)
    finally:
        processes.signal_all(pids, signal.SIGCONT)
    fault.mended_at = time.time()


def _server(arena: Arena, role: str) -> int:
    arena.until(lambda: processes.redis(arena.pid, role) is not None, RESTART_LIMIT_S)
    pid = processes.redis(arena.pid, role)
    assert pid is not None, f"there is no {role} to be frozen"
    return pid


# What goes on meanwhile


def _wait_for_work(arena: Arena) -> None:
    """Wait, up to a limit, until every live camera is being scored, so that something can go on."""
    arena.until(
        lambda: len(_at_work(arena, time.time())) == len(arena.fleet.live()), AT_WORK_LIMIT_S
    )


def _at_work(arena: Arena, at: float) -> list[str]:
    """Return the live cameras that were just being scored."""
    return [
        name
        for name in arena.fleet.live()
        if arena.bus.seen[name].scored_between(at - AT_WORK_S, at)
    ]


def _note_meanwhile(
    arena: Arena,
    fault: Fault,
    away_at: float,
    without: Collection[str] = (),
    *,
    tends: bool = True,
) -> None:
    """Note which live cameras are still scored.

    Most go on. A camera that was changing hands cannot until the server that is away is back.
    """
    arena.hold(away_at + WHILE_S - time.time(), tends=tends)
    now = time.time()
    fault.others = [name for name in arena.fleet.live() if name not in without]
    going = [name for name in _at_work(arena, away_at) if name not in without]
    fault.meanwhile = {name: arena.bus.seen[name].scored_between(away_at, now) for name in going}


# The network before one camera


def swallow_network(arena: Arena, fault: Fault) -> None:
    _lose_network(arena, fault, Proxy.swallow, BLACK_HOLE_S)


def cut_network(arena: Arena, fault: Fault) -> None:
    _lose_network(arena, fault, Proxy.cut, CUT_S)


def _lose_network(
    arena: Arena, fault: Fault, lose: Callable[[Proxy], None], seconds: float
) -> None:
    if arena.proxy is None:
        fault.skipped = arena.no_rtsp
        return
    _wait_for_work(arena)
    fault.began_at = time.time()
    lose(arena.proxy)
    try:
        arena.hold(seconds)
    finally:
        arena.proxy.heal()
    fault.mended_at = time.time()
    _note_meanwhile(arena, fault, fault.began_at, without=arena.fleet.behind_proxy())


KINDS: dict[str, Deed] = {
    "kill -9 inference": kill_inference,
    "kill -9 ingest": kill_ingest,
    "kill -9 alerting": kill_alerting,
    "SIGSTOP inference": stop_inference,
    "SIGSTOP ingest": stop_ingest,
    "kill -9 bus": kill_bus,
    "restart bus": restart_bus,
    "FLUSHALL bus": empty_bus,
    "restart store": restart_store,
    "disk full": fill_disk,
    "SIGSTOP alerting": freeze_alerting,
    "SIGSTOP store": freeze_store,
    "SIGSTOP bus": freeze_bus,
    "SIGSTOP all stages": freeze_all,
    "network swallowed": swallow_network,
    "network cut": cut_network,
}
