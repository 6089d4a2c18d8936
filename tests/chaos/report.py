"""What a person reads at the end."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator

from tests.chaos.faults import Fault
from tests.chaos.verdicts import Evidence, Verdict


def lines(evidence: Evidence, verdict: Verdict) -> Iterator[str]:
    yield ""
    titles = f"{'camera':<12}{'frames in':>10}{'scores out':>11}{'doubles':>8}{'unexplained':>12}{'alerts':>7}"
    yield f"{titles}  gaps by reason"
    for name, books in verdict.books.items():
        alerts = len(evidence.stored.get(name, []))
        row = f"{name:<12}{books.frames:>10}{books.scored:>11}{len(books.doubles):>8}{len(books.unexplained):>12}"
        yield f"{row}{alerts:>7}  {_reasons(books.gaps)}"
    yield from _totals(evidence, verdict)
    yield from _takeovers(evidence.faults)
    yield from (f"FAILED: {complaint}" for complaint in verdict.complaints)
    if not verdict.complaints:
        yield "passed: no double, no unexplained gap, no lost alert"


def _totals(evidence: Evidence, verdict: Verdict) -> Iterator[str]:
    frames = sum(books.frames for books in verdict.books.values())
    scored = sum(books.scored for books in verdict.books.values())
    yield ""
    yield f"frames in {frames}, scores out {scored}, gaps: {_reasons(verdict.gaps)}"
    yield (
        f"doubles {verdict.count('doubles')}, unexplained {verdict.count('unexplained')}; around restarts of the bus: "
        f"told, but died unread {verdict.count('unread')}, scored again {verdict.count('repeated')}, "
        f"counted again as left out {verdict.count('recounted')}"
    )
    wanted = sum(len(alerts) for alerts in verdict.expected.values())
    gone = sum(alert.gone for alerts in verdict.expected.values() for alert in alerts)
    stored = {alert["id"] for alerts in evidence.stored.values() for alert in alerts}
    exact = sum(alert.id in stored for alerts in verdict.expected.values() for alert in alerts)
    yield (
        f"alerts: acknowledged {len(evidence.told)}, of these missing {len(verdict.acknowledged_missing)}; "
        f"asked for by the scores {wanted} ({exact} under the same id, {gone} by scores that died with a bus), "
        f"of these missing {len(verdict.unalerted)}"
    )
    fast = [name for name, member in evidence.members.items() if member.kind == "fast"]
    whole = [name for name in fast if verdict.books[name].scored == len(evidence.reference)]
    yield f"files at full pace: {len(fast)}, read to the end {len(whole)}, held against an undisturbed run"


def _takeovers(faults: Iterable[Fault]) -> Iterator[str]:
    done = [fault for fault in faults if not fault.skipped]
    for kind in dict.fromkeys(fault.kind for fault in done):
        took = [at for one in done if one.kind == kind for at in one.takeover_s.values() if at is not None]
        back = [f.recovered_at - (f.mended_at or 0) for f in done if f.kind == kind and f.recovered_at is not None]
        text = f"{kind}: {sum(f.kind == kind for f in done)} times"
        if took:
            text += f", taken over after p50 {statistics.median(took):.1f} s, max {max(took):.1f} s"
        if back:
            text += f", scores on every camera {max(back):.1f} s after it was mended at most"
        yield text
    yield from (f"{fault.kind}: skipped: {fault.skipped}" for fault in faults if fault.skipped)


def _reasons(gaps: Counter[str]) -> str:
    return ", ".join(f"{reason} {frames}" for reason, frames in sorted(gaps.items())) or "none"
