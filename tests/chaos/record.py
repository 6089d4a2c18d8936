"""`chaos.json`: the faults and observations of a run, so that another program can recount them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from itertools import groupby
from typing import Any

from lookout.service.core.messages import FrameId
from tests.chaos.recount import recount
from tests.chaos.seen import CameraSeen, GapSeen, ScoreSeen
from tests.chaos.verdicts import Evidence, Verdict

SCORE_COLUMNS = (
    "seq",
    "captured_at",
    "seen_at",
    "psnr_db",
    "distance",
    "gate_error",
    "memory_updated",
    "value",
)


def record(evidence: Evidence, verdict: Verdict, settings: Mapping[str, object]) -> dict[str, Any]:
    """Return the record as plain values.

    Ids are [session, first seq, last seq], times UTC seconds.
    """
    return {
        "settings": dict(settings),
        "policy": asdict(evidence.policy),
        "bus_lives": [[life.first_look, life.last_look, life.whole] for life in evidence.lives],
        "faults": [fault.as_json() for fault in evidence.faults],
        "score_columns": SCORE_COLUMNS,
        "reference": {"from_seq": evidence.reference_from, "scores": evidence.reference},
        "cameras": {name: _camera(name, evidence) for name in evidence.seen},
        "verdict": {
            "doubles": verdict.count("doubles"),
            "unexplained": verdict.count("unexplained"),
            "unread": verdict.count("unread"),
            "repeated_after_bus_restart": verdict.count("repeated"),
            "recounted_after_bus_restart": verdict.count("recounted"),
            "gaps": dict(verdict.gaps),
            "owned_late": verdict.owned_late,
            "differing": sum(map(len, verdict.differing.values())),
            "alerts_lost": len(verdict.acknowledged_missing) + len(verdict.unalerted),
            "alerts_differing": len(verdict.misalerted),
            "complaints": verdict.complaints,
        },
    }


def disagreements(report: dict[str, Any]) -> list[str]:
    """Return where the other program counts otherwise in the record that would be written."""
    again, verdict = recount(json.loads(json.dumps(report))), report["verdict"]
    both = [name for name in again if name in verdict]
    return [
        f"{name}: {verdict[name]}, recounted {again[name]}"
        for name in both
        if again[name] != verdict[name]
    ]


def _camera(name: str, evidence: Evidence) -> dict[str, Any]:
    seen, member = evidence.seen[name], evidence.members[name]
    return {
        "kind": member.kind,
        "behind_proxy": member.behind_proxy,
        "file_frames": member.frames,
        "sessions": sorted({session for session, _ in seen.frames}),
        "frames": ranges(seen.frames),
        "scores": _scores(seen),
        "gaps": [_gap(gap) for gap in seen.gaps],
        "leases": seen.leases,
        "cursors": [
            [life, list(first), list(last)] for life, (first, last) in sorted(seen.cursors.items())
        ],
        "alerts_told": sorted(
            alert for alert, one in evidence.told.items() if one["camera"] == name
        ),
        "alerts_stored": [
            [one["id"], one["opened_at"], one["closed_at"]] for one in evidence.stored.get(name, [])
        ],
    }


def _gap(gap: GapSeen) -> list[object]:
    return [gap.life, gap.session, gap.first, gap.frames, gap.reason, round(gap.seen_at, 3)]


def ranges(ids: Iterable[FrameId]) -> list[list[int]]:
    """Return [session, first, last] for each run of consecutive numbers."""
    found: list[list[int]] = []
    for session, seq in sorted(ids):
        if found and found[-1][0] == session and found[-1][2] == seq - 1:
            found[-1][2] = seq
        else:
            found.append([session, seq, seq])
    return found


def _scores(seen: CameraSeen) -> list[dict[str, Any]]:
    """Return the scores by life of the bus and session; a score that came again is there twice."""
    everything = sorted(
        [*seen.scores.items(), *seen.again], key=lambda item: (item[1].life, item[0])
    )
    groups = groupby(everything, key=lambda item: (item[1].life, item[0].session))
    return [
        {"life": life, "session": session, "rows": [_row(*item) for item in items]}
        for (life, session), items in groups
    ]


def _row(frame_id: FrameId, score: ScoreSeen) -> list[float | None]:
    return [frame_id.seq, score.captured_at, round(score.seen_at, 3), *score.numbers]
