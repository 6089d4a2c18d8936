"""Reports of the inference worker about its cameras, twice a second, and its stage's counters."""

from __future__ import annotations

import time
from collections import Counter

from lookout.service.core import metrics
from lookout.service.core.errors import reason_fields
from lookout.service.core.messages import InferenceReport
from lookout.service.inference.camera_line import finite
from lookout.service.inference.camera_lines import CameraLines
from lookout.service.inference.ownership import Ownership
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.bus.counters import STORE_FAILURES


class StageCounters:
    """Counts what this worker did until the bus adds it to that of the other workers."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._unsent: Counter[str] = Counter()
        self._failures = 0

    def add_step(self, frames: int, seconds: float) -> None:
        """Count one forward pass."""
        self._unsent.update(metrics.observed(metrics.BATCH, frames))
        self._unsent.update(metrics.observed(metrics.STEP, seconds))

    def set_store_failures(self, failures: int) -> None:
        """Count the store's failures; `failures`: of this worker, since it started."""
        if failures > self._failures:
            self._unsent[STORE_FAILURES] += failures - self._failures
            self._failures = failures

    def flush(self, bus: Bus) -> None:
        """Send the counts. Raises one of UNAVAILABLE; they are sent the next time then."""
        if self._unsent:
            bus.count_stage(self._stage, self._unsent)
            self._unsent.clear()


def report(bus: Bus, lines: CameraLines, ownership: Ownership) -> None:
    """Report every camera of this worker, and restore the cursors that a new bus has lost."""
    now = time.time()
    worker = ownership.assignment.name
    for name, line in lines.running.items():
        normalizer = line.state.normalizer
        accounted_id = None  # while the bus lacks an outcome
        if not line.outbox.unsent and not line.outbox.must_restore:
            accounted_id = line.frames.accounted_id
        bus.report_inference(
            name,
            InferenceReport(
                state="online" if normalizer.bounds else "learning",
                at=now,
                revision=line.camera.revision,
                **reason_fields("last_error", line.snapshots.error),
                learned=line.state.learned_frames,
                to_learn=line.state.to_learn_frames,
                drift=line.state.drift if line.scorer.input_spec.memory == "adapts" else None,
                rollbacks=line.state.rollbacks,
                views_dropped=line.state.views.dropped,
                view=line.state.views.name,
                views=line.state.views.known,
                tampered=line.watch.tampered,
                score=line.recent.newest,
                score_peak=line.recent.peak(time.monotonic()),
                worker=worker,
                session=accounted_id and accounted_id.session,
                last_seq=accounted_id and accounted_id.seq,
                last_captured_at=finite(line.frames.accounted_at),
                score_age_s=line.recent.age_s(time.monotonic()),
                drop_reason=line.drop_reason,
                fps=line.rate.fps,
                model_fps=line.scorer.checkpoint.fps,
            ),
        )
        cursor = line.outbox.acked_id
        if line.outbox.acked:
            cursor = None  # the cursor comes back with them
        token = ownership.leases.token(name)
        bus.restore_cursors(name, token, cursor, line.snapshots.snapshot_id)
        line.outbox.forget_old()
    for name, failed in lines.failed.items():
        bus.report_inference(
            name,
            InferenceReport(
                "failed",
                now,
                failed.camera.revision,
                worker=worker,
                **reason_fields("last_error", failed.reason),
            ),
        )
