"""One run: set everything up, break it over and over, let it rest, and gather the evidence."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import disk, processes
from tests.chaos.arena import Arena
from tests.chaos.faults import KINDS, Fault, commit
from tests.chaos.fleet import Fleet, first_members
from tests.chaos.footage import write_model
from tests.chaos.resting import come_to_rest, gather
from tests.chaos.sources import Sources, open_sources, write_clips
from tests.chaos.takeovers import CONNECT_TIMEOUT_S, SNAPSHOT_EVERY_S
from tests.chaos.telling import AlertWatch
from tests.chaos.undisturbed import undisturbed
from tests.chaos.verdicts import Evidence
from tests.chaos.watching import BusWatch
from tests.e2e.service_process import running_service

LEASE_S = 3.0
INFERENCE_WORKERS, INGEST_WORKERS = 3, 2
ROUNDS = 1  # of the normal form
NORMAL_FORM_S, SLACK = 480.0, 1.5  # how much footage a live camera needs: more than the run takes
START_LIMIT_S = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    seed: int
    minutes: float | None  # None: every kind of fault, ROUNDS times
    only: tuple[str, ...] = tuple(KINDS)
    may_mount: bool = False  # in a mount namespace of our own


def run(options: Options, home: Path, say: Say) -> Evidence:
    """Run the service, break it, and return the evidence.

    Raise ServiceEndedError when `lookout serve` itself dies, TimeoutError when it does not begin to
    score.
    """
    for name in ("media", "models"):
        (home / name).mkdir()
    clip = write_clips(home / "media", NORMAL_FORM_S + 60 * SLACK * (options.minutes or 0))
    reference = undisturbed(write_model(home / "models"), clip)
    rng = random.Random(options.seed)
    with (
        open_sources(home / "media") as sources,
        _arena(home, sources, rng, options.may_mount) as arena,
    ):
        _begin(arena, sources, say)
        faults = [_commit(kind, arena, say) for kind in _plan(options, rng)]
        settled = come_to_rest(arena, sources)
        return gather(arena, faults, reference, settled=settled)


def settings(home: Path) -> dict[str, object]:
    return {
        "models_dir": home / "models",
        "media_dir": home / "media",
        "inference_workers": INFERENCE_WORKERS,
        "ingest_workers": INGEST_WORKERS,
        "lease_s": LEASE_S,
        "snapshot_every_s": SNAPSHOT_EVERY_S,
        "stall_timeout_s": 2,
        "connect_timeout_s": CONNECT_TIMEOUT_S,
        "retry_first_s": 0.5,
        "retry_most_s": 4,
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
    }


@contextlib.contextmanager
def _arena(home: Path, sources: Sources, rng: random.Random, may_mount: bool) -> Iterator[Arena]:
    """Open the service, its store on a small disk where that is possible, and its observers."""
    store = home / "data" / "store"
    with contextlib.ExitStack() as stack:
        no_disk = disk.mount(store) if may_mount else disk.NO_NAMESPACE
        if no_disk is None:
            stack.callback(disk.unmount, store)
        service = stack.enter_context(running_service(home / "data", **settings(home)))
        bus = stack.enter_context(BusWatch(processes.redis_socket(service.process.pid, "bus")))
        alerts = stack.enter_context(
            AlertWatch(processes.redis_socket(service.process.pid, "store"))
        )
        fleet = Fleet(service, bus, alerts)
        yield Arena(
            service, fleet, bus, sources.proxy, store, no_disk, sources.no_rtsp, LEASE_S, rng
        )


def _begin(arena: Arena, sources: Sources, say: Say) -> None:
    began_at = time.time()
    for member in first_members(sources.media, sources.urls):
        arena.fleet.add(member)
    if not arena.until(lambda: arena.scores_flow(began_at), START_LIMIT_S):
        raise TimeoutError(f"not all cameras had a score within {START_LIMIT_S:g} s")
    say(f"8 cameras are scored {time.time() - began_at:.1f} s after they were added")


def _plan(options: Options, rng: random.Random) -> Iterator[str]:
    """Yield every kind of fault in a seeded order, again and again.

    For minutes, or ROUNDS times.
    """
    began, rounds = time.monotonic(), 0
    while (
        rounds < ROUNDS
        if options.minutes is None
        else time.monotonic() - began < 60 * options.minutes
    ):
        yield from rng.sample(options.only, len(options.only))
        rounds += 1


def _commit(kind: str, arena: Arena, say: Say) -> Fault:
    fault = commit(kind, arena)
    if fault.skipped:
        say(f"{kind}: skipped: {fault.skipped}")
        return fault
    took = (
        "not in time"
        if fault.recovered_at is None
        else f"after {fault.recovered_at - fault.began_at:.1f} s"
    )
    owned = {name: one.owned_s for name, one in fault.takeovers.items()}
    takeover = f", owned by another after {owned}" if owned else ""
    say(
        f"{kind}{f' (pid {fault.pid})' if fault.pid else ''}: "
        f"scores on every camera again {took}{takeover}"
    )
    return fault
