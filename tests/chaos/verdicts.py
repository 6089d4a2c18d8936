"""The conditions that a run must meet, and whether it meets them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lookout.models.scoring.alert_policy import AlertPolicy
from lookout.service.core.messages import FrameId
from tests.chaos.accounts import Books, books_of
from tests.chaos.expecting import Expected, differing, expected_alerts, lost
from tests.chaos.faults import Fault
from tests.chaos.fleet import Member
from tests.chaos.seen import CameraSeen, Numbers
from tests.chaos.takeovers import is_late, late
from tests.chaos.watching import Life

SHOWN = 8  # ids in a complaint


@dataclass
class Evidence:
    """All observations, once the sources have ended."""

    members: Mapping[str, Member]
    seen: Mapping[str, CameraSeen]
    lives: Sequence[Life]
    on_bus: Mapping[str, list[FrameId]]  # score ids in the streams at the end
    told: Mapping[str, dict[str, Any]]  # alerts that were acknowledged
    stored: Mapping[str, list[dict[str, Any]]]  # camera → alerts as the API lists them at the end
    faults: Sequence[Fault]
    reference: Sequence[
        Numbers
    ]  # of an undisturbed run of the files at full pace, from `reference_from` on
    reference_from: int
    policy: AlertPolicy
    lease_s: float
    settled: bool  # every frame that was seen has been dealt with
    log: Sequence[str]  # of the service


@dataclass
class Verdict:
    books: dict[str, Books] = field(default_factory=dict)
    expected: dict[str, list[Expected]] = field(default_factory=dict)
    acknowledged_missing: list[str] = field(default_factory=list)
    unalerted: list[str] = field(default_factory=list)  # scores met the rule, and there is no alert
    misalerted: list[str] = field(default_factory=list)  # not as demanded, by id or times
    differing: dict[str, list[FrameId]] = field(
        default_factory=dict
    )  # file at full pace → not as undisturbed
    owned_late: int = (
        0  # cameras of workers that were killed or stopped, still nobody's after two leases
    )
    complaints: list[str] = field(default_factory=list)

    @property
    def gaps(self) -> Counter[str]:
        return sum((books.gaps for books in self.books.values()), Counter[str]())

    def count(self, name: str) -> int:
        """Return the sum over all cameras of `doubles`, `unexplained`, `unread` or `repeated`."""
        return sum(len(getattr(books, name)) for books in self.books.values())


def judge(evidence: Evidence) -> Verdict:
    verdict = Verdict()
    for name, seen in evidence.seen.items():
        verdict.books[name] = books_of(seen, evidence.lives)
        verdict.expected[name] = expected_alerts(name, seen, evidence.lives, evidence.policy)
        if evidence.members[name].kind == "fast":
            verdict.differing[name] = _differing(seen, evidence)
        stored_alerts = evidence.stored.get(name, [])
        verdict.unalerted += lost(verdict.expected[name], stored_alerts)
        verdict.misalerted += differing(verdict.expected[name], stored_alerts)
    stored = {alert["id"] for alerts in evidence.stored.values() for alert in alerts}
    verdict.acknowledged_missing = sorted(set(evidence.told) - stored)
    takeovers = [one for fault in evidence.faults for one in fault.takeovers.values()]
    verdict.owned_late = sum(is_late(one, evidence.lease_s) for one in takeovers)
    for check in (_frames, _alerts, _series, _faults, _service):
        verdict.complaints += check(evidence, verdict)
    return verdict


def alerts_amiss(evidence: Evidence) -> int:
    """Return how many are missing or otherwise than demanded; alerting may be on its way."""
    amiss = 0
    for name, seen in evidence.seen.items():
        expected = expected_alerts(name, seen, evidence.lives, evidence.policy)
        stored = evidence.stored.get(name, [])
        amiss += len(lost(expected, stored)) + len(differing(expected, stored))
    return amiss


def _frames(evidence: Evidence, verdict: Verdict) -> Iterable[str]:
    if not evidence.settled:
        yield "frames were still waiting at the end"
    for name, books in verdict.books.items():
        if books.doubles:
            yield f"{name}: doubles: {_some(books.doubles)}"
        if books.unexplained:
            yield f"{name}: neither scored nor in a gap: {_some(books.unexplained)}"
        if books.unread:
            yield f"{name}: died unread with a bus, and not written again: {_some(books.unread)}"
    if not evidence.on_bus:
        yield "the streams of scores could not be read at the end"
    last = len(evidence.lives) - 1
    for name, ids in evidence.on_bus.items():
        seen = [
            frame_id for frame_id, score in evidence.seen[name].scores.items() if score.life == last
        ]
        again = {frame_id for frame_id, score in evidence.seen[name].again if score.life == last}
        if sorted({*seen, *again}) != ids:
            yield f"{name}: the stream of scores at the end is not what was read from it"


def _alerts(_: Evidence, verdict: Verdict) -> Iterable[str]:
    if verdict.acknowledged_missing:
        yield f"acknowledged alerts are gone: {', '.join(verdict.acknowledged_missing[:SHOWN])}"
    if verdict.unalerted:
        yield f"scores met the rule, and no alert was open: {', '.join(verdict.unalerted[:SHOWN])}"
    if verdict.misalerted:
        yield (
            f"{len(verdict.misalerted)} alerts are not those of the scores, by id and times: "
            f"{', '.join(verdict.misalerted[:SHOWN])}"
        )
    if not any(verdict.expected.values()):
        yield "no score met the rule: nothing was tried of alerts"


def _series(evidence: Evidence, verdict: Verdict) -> Iterable[str]:
    """Check that files at full pace were scored as in the undisturbed run."""
    for name, member in evidence.members.items():
        if member.kind != "fast":
            continue
        seen, books = evidence.seen[name], verdict.books[name]
        sessions = {session for session, _ in (*seen.frames, *seen.scores)}
        if len(sessions) > 1:
            yield f"{name}: a file was played in {len(sessions)} sessions"
        if extra := {reason: count for reason, count in books.gaps.items() if reason != "window"}:
            yield f"{name}: a file that waits lost frames: {extra}"
        if wrong := verdict.differing[name]:
            yield f"{name}: not the scores of an undisturbed run: {_some(wrong)}"


def _differing(seen: CameraSeen, evidence: Evidence) -> list[FrameId]:
    first, reference = evidence.reference_from, evidence.reference
    return [
        frame_id
        for frame_id, score in seen.scores.items()
        if not first <= frame_id.seq < first + len(reference)
        or score.numbers != reference[frame_id.seq - first]
    ]


def _faults(evidence: Evidence, _: Verdict) -> Iterable[str]:
    for fault in evidence.faults:
        if fault.skipped:
            continue
        if fault.recovered_at is None:
            yield f"{fault.kind}: scores did not flow again on every camera"
        if idle := [name for name, scores in fault.meanwhile.items() if not scores]:
            yield f"{fault.kind}: meanwhile no score of {', '.join(idle)}"
        if 2 * len(fault.meanwhile) < len(fault.others):
            yield (
                f"{fault.kind}: of {len(fault.others)} live cameras "
                f"only {len(fault.meanwhile)} were being scored"
            )
        wrong = [*fault.failed, *late(fault.takeovers, evidence.members, evidence.lease_s)]
        yield from (f"{fault.kind}: {one}" for one in wrong)


def _service(evidence: Evidence, _: Verdict) -> Iterable[str]:
    if traces := sum("Traceback (most recent call last)" in line for line in evidence.log):
        yield f"{traces} stack traces in the service's log"


def _some(ids: Sequence[FrameId]) -> str:
    shown = ", ".join(str(frame_id) for frame_id in ids[:SHOWN])
    return f"{len(ids)} ({shown}{', …' if len(ids) > SHOWN else ''})"
