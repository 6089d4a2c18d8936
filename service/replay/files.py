"""The folder that a replay writes: every score, the report, and pictures of the peaks."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from lookout.models.media.atomic_file import replacing, write_bytes, write_text
from lookout.service.core.messages import Score
from lookout.service.core.replay import ReplayReport
from lookout.service.replay.findings import Findings
from lookout.service.replay.recording import ReplaySource
from lookout.service.replay.replay import Replay, ReplayStep

SCORES = "scores.csv"
REPORT = "report.json"
COLUMNS = (
    "session",
    "seq",
    "value",
    "psnr_db",
    "distance",
    "gate_error",
    "memory_updated",
    "local_db",
    "place_db",
    "reused",
)
"""Fields of a score, by their names."""


def scored_to_the_end(
    replay: Replay,
    source: ReplaySource,
    out: Path,
    fps: float | None,
    on_step: Callable[[ReplayStep], None] = lambda _: None,
) -> ReplayReport:
    """Replay a source into a folder, and return the report.

    fps: frames a second that the camera is scored at; None: unknown. on_step: gets every scored
    frame; what it raises ends the replay. The report is written last, so that a folder that has one
    has all. Raises as `Replay.steps`, and OSError.
    """
    findings = Findings(replay)
    zones = list(replay.policies.zones)
    with replacing(out / SCORES) as temporary, temporary.open("w", newline="") as file:
        rows = csv.writer(file)
        dated = ["captured_at"] * replay.is_dated
        rows.writerow(["at_s", *dated, *COLUMNS, *(f"zone_{name}" for name in zones)])
        for step in replay.steps(source):
            findings.add(step)
            rows.writerow(row(step, zones, with_date=replay.is_dated))
            on_step(step)
    report = findings.report()
    if note := findings.rate_note(fps):
        report.notes.append(note)
    for name, picture in findings.pictures.items():
        write_bytes(out / name, picture)
    write_text(out / REPORT, report.model_dump_json(indent=1) + "\n")
    return report


def row(step: ReplayStep, zones: list[str], *, with_date: bool) -> list[object]:
    """Return the CSV row of a scored frame; numbers are written so that they read back exactly."""
    score: Score = step.score
    dated = [score.captured_at] * with_date
    own = [getattr(score, name) for name in COLUMNS]
    return [f"{step.at_s:.6f}", *dated, *own, *(score.zones.get(name) for name in zones)]
