"""Measure how long the cameras of a killed or stopped worker wait for another one.

All times are seconds after the blow. A camera is taken over when a living worker holds its lease,
as the bus says. That may take two leases at most, for each camera, at both stages. Its next score
or frame comes later, and has a bound of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.fleet import Member
from tests.chaos.seen import CameraSeen, first_after

LEASES = 2  # within so many lifetimes of a lease
SLACK_S = (
    0.2  # a lease that is seen for so much longer than it lives without its owner is being renewed
)

SNAPSHOT_EVERY_S = 5.0
CONNECT_TIMEOUT_S = 3.0
KEYFRAME_S = 2.0  # between two, in the footage
RESUMES_S = {
    # Nothing: what is fresh is scored at once.
    ("inference", "paced"): 0.0,
    ("inference", "rtsp"): 0.0,
    # It scores unsaved frames again, none of which is new, and two workers do the work of three.
    ("inference", "fast"): 1.5 * SNAPSHOT_EVERY_S,
    # A decoder is started, and opens the source; RTSP begins with a keyframe.
    ("ingest", "paced"): CONNECT_TIMEOUT_S,
    ("ingest", "rtsp"): CONNECT_TIMEOUT_S + KEYFRAME_S,
    # It may wait for the next snapshot.
    ("ingest", "fast"): SNAPSHOT_EVERY_S,
}
"""On top of two leases."""


@dataclass(slots=True)
class TakeOver:
    stage: str
    owned_s: float | None  # None: not in the time that it was watched
    resumed_s: float | None  # its next score, at inference, or its next frame
    ended: bool = False  # a file of which nothing more is to come


def take_over(stage: str, seen: CameraSeen, member: Member, struck_at: float) -> TakeOver:
    """Return the takeover as far as it is known by now."""
    owned_at = _owned_at(seen.leases.get(stage, ()), struck_at)
    times, ids = (
        (seen.times, seen.scores) if stage == "inference" else (seen.frame_times, seen.frames)
    )
    resumed_at = None if owned_at is None else first_after(times, owned_at)
    ended = (
        resumed_at is None
        and member.frames is not None
        and any(seq == member.frames - 1 for _, seq in ids)
    )
    return TakeOver(stage, _since(struck_at, owned_at), _since(struck_at, resumed_at), ended)


def is_done(one: TakeOver) -> bool:
    """Return whether nothing more of the takeover is to come."""
    return one.owned_s is not None and (one.resumed_s is not None or one.ended)


def was_anothers(
    stage: str, seen: CameraSeen, struck_at: float, lease_s: float, last_look: float
) -> bool:
    """Return whether the camera was not the victim's any more.

    A living worker had the lease before the blow, and the report was an old one.
    """
    at, token = seen.leases.get(stage, [(0.0, None)])[-1]
    return token is not None and at <= struck_at and last_look > struck_at + lease_s + SLACK_S


def late(
    takeovers: Mapping[str, TakeOver], members: Mapping[str, Member], lease_s: float
) -> Iterator[str]:
    """Yield a line for each takeover that was later than allowed."""
    for name, one in takeovers.items():
        if is_late(one, lease_s):
            yield (
                f"{name}: {one.stage} owned by another {_after(one.owned_s)}, "
                f"not within {LEASES * lease_s:g} s"
            )
        resumed_most_s = resumes_within_s(one.stage, members[name].kind, lease_s)
        if not one.ended and (one.resumed_s is None or one.resumed_s > resumed_most_s):
            what = "score" if one.stage == "inference" else "frame"
            yield f"{name}: next {what} {_after(one.resumed_s)}, not within {resumed_most_s:g} s"


def is_late(one: TakeOver, lease_s: float) -> bool:
    return one.owned_s is None or one.owned_s > LEASES * lease_s


def resumes_within_s(stage: str, kind: str, lease_s: float) -> float:
    return LEASES * lease_s + RESUMES_S[stage, kind]


def _owned_at(leases: Sequence[tuple[float, str | None]], struck_at: float) -> float | None:
    """Return when the lease was first seen with another token than the victim's."""
    before = [token for at, token in leases if at <= struck_at][-1:]
    return next(
        (at for at, token in leases if at > struck_at and token not in (None, *before)), None
    )


def _since(struck_at: float, at: float | None) -> float | None:
    return None if at is None else round(at - struck_at, 3)


def _after(seconds: float | None) -> str:
    return "never" if seconds is None else f"after {seconds:.1f} s"
