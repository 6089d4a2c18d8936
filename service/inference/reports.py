"""What the inference worker says of its cameras, about once a second."""

from __future__ import annotations

import time

from lookout.service.core.messages import InferenceReport
from lookout.service.inference.camera_line import CameraLine
from lookout.service.inference.camera_lines import Lines
from lookout.service.inference.ownership import Ownership
from lookout.service.storage.bus.bus import Bus


def report(bus: Bus, lines: Lines, ownership: Ownership) -> None:
    """Of every camera of this worker, scored or failed; and again what a bus that was started anew has lost."""
    now, worker = time.time(), ownership.assignment.name
    for name, line in lines.running.items():
        bus.report_inference(name, _of(line, worker, now))
        bus.restore_cursors(name, ownership.leases.token(name), line.told, line.saved)
    for name, failed in lines.failed.items():
        bus.report_inference(
            name,
            InferenceReport("failed", now, failed.camera.revision, failed.reason, worker=worker),
        )


def _of(line: CameraLine, worker: str, now: float) -> InferenceReport:
    return InferenceReport(
        state="online" if line.state.normalizer.bounds else "learning",
        at=now,
        revision=line.camera.revision,
        last_error=line.note,
        learned=line.state.normalizer.learned_frames,
        to_learn=line.state.normalizer.learn_frames,
        drift=line.state.drift if line.scorer.input_spec.memory == "adapts" else None,
        rollbacks=line.state.rollbacks,
        tampered=line.watch.tampered,
        score=line.recent.newest,
        score_peak=line.recent.peak(now),
        worker=worker,
    )
