"""The report that a run prints at its end."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from tests.chaos.faults import Fault
from tests.chaos.takeovers import LEASES, resumes_within_s
from tests.chaos.verdicts import Evidence, Verdict


def lines(evidence: Evidence, verdict: Verdict) -> Iterator[str]:
    yield ""
    titles = (
        f"{'camera':<12}{'frames in':>10}{'scores out':>11}{'doubles':>8}"
        f"{'unexplained':>12}{'alerts':>7}"
    )
    yield f"{titles}  gaps by reason"
    for name, books in verdict.books.items():
        alerts = len(evidence.stored.get(name, []))
        row = (
            f"{name:<12}{books.frames:>10}{books.scored:>11}{len(books.doubles):>8}"
            f"{len(books.unexplained):>12}"
        )
        yield f"{row}{alerts:>7}  {_reasons(books.gaps)}"
    yield from _totals(evidence, verdict)
    yield from _faults(evidence)
    yield from (f"FAILED: {complaint}" for complaint in verdict.complaints)
    if not verdict.complaints:
        yield "passed: no double, no unexplained gap, no lost alert, none of another id or time"


def _totals(evidence: Evidence, verdict: Verdict) -> Iterator[str]:
    frames = sum(books.frames for books in verdict.books.values())
    scored = sum(books.scored for books in verdict.books.values())
    yield ""
    yield f"frames in {frames}, scores out {scored}, gaps: {_reasons(verdict.gaps)}"
    yield (
        f"doubles {verdict.count('doubles')}, unexplained {verdict.count('unexplained')}; "
        f"around restarts of the bus: told, but died unread {verdict.count('unread')}, "
        f"scored again {verdict.count('repeated')}, "
        f"counted again as left out {verdict.count('recounted')}"
    )
    wanted = sum(len(alerts) for alerts in verdict.expected.values())
    gone = sum(alert.gone for alerts in verdict.expected.values() for alert in alerts)
    stored = {alert["id"] for alerts in evidence.stored.values() for alert in alerts}
    exact = sum(alert.id in stored for alerts in verdict.expected.values() for alert in alerts)
    yield (
        f"alerts: acknowledged {len(evidence.told)}, "
        f"of these missing {len(verdict.acknowledged_missing)}; "
        f"asked for by the scores {wanted} "
        f"({exact} under the same id, {gone} by scores that died with a bus), "
        f"of these missing {len(verdict.unalerted)}"
    )
    fast = [name for name, member in evidence.members.items() if member.kind == "fast"]
    whole = [name for name in fast if verdict.books[name].scored == len(evidence.reference)]
    yield (
        f"files at full pace: {len(fast)}, read to the end {len(whole)}, "
        "held against an undisturbed run"
    )


def _faults(evidence: Evidence) -> Iterator[str]:
    done = [fault for fault in evidence.faults if not fault.skipped]
    for kind in dict.fromkeys(fault.kind for fault in done):
        alike = [fault for fault in done if fault.kind == kind]
        back = [
            one.recovered_at - (one.mended_at or 0) for one in alike if one.recovered_at is not None
        ]
        text = f"{kind}: {len(alike)} times"
        if back:
            text += f", scores on every camera {max(back):.1f} s after it was mended at most"
        yield text
        yield from _takeovers(alike, evidence)
    yield from (
        f"{fault.kind}: skipped: {fault.skipped}" for fault in evidence.faults if fault.skipped
    )


def _takeovers(faults: Iterable[Fault], evidence: Evidence) -> Iterator[str]:
    found = [
        (evidence.members[name].kind, one)
        for fault in faults
        for name, one in fault.takeovers.items()
    ]
    if not found:
        return
    stage, lease_s = found[0][1].stage, evidence.lease_s
    owned = [one.owned_s for _, one in found]
    yield f"    owned by another {_spread(owned)} (at most {LEASES * lease_s:g} s)"
    what = "score" if stage == "inference" else "frame"
    for kind in ("paced", "rtsp", "fast"):
        resumed = [one.resumed_s for its_kind, one in found if its_kind == kind and not one.ended]
        if resumed:
            most_s = resumes_within_s(stage, kind, lease_s)
            yield f"    next {what}, {kind}: {_spread(resumed)} (at most {most_s:g} s)"


def _spread(times_s: Sequence[float | None]) -> str:
    known = [time_s for time_s in times_s if time_s is not None]
    if not known:
        return "never"
    never = f", {len(times_s) - len(known)} never" if len(known) < len(times_s) else ""
    return (
        f"after p50 {statistics.median(known):.1f} s, max {max(known):.1f} s, n {len(known)}{never}"
    )


def _reasons(gaps: Counter[str]) -> str:
    return ", ".join(f"{reason} {frames}" for reason, frames in sorted(gaps.items())) or "none"
