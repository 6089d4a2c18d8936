"""Every metric that /metrics serves, in one list; docs/metrics.md is generated from it.

Counters lie in Redis, one for each camera or stage and none for a process: every worker adds to
them, so that they are right for any number of workers, and go on when a worker ends or a camera
moves to another. Those on the bus restart from 0 with the bus, as Prometheus expects of a counter.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from lookout.service.core.messages import CameraStatus
from lookout.service.core.stages import REPORTING_NAMES

Kind = Literal["counter", "gauge", "histogram"]

REASONS = (
    "lag",
    "takeover",
    "bus_restart",
    "store",
    "reconnect",
    "scene_change",
    "size",
    "changed",
    "broken",
)
REFUSALS = ("missing", "wrong", "lapsed")
OTHER = "other"  # a reason that this version does not know
DECISIONS = ("updated", "kept")
FOOTAGE = ("recorded", "thinned", "excluded", "missed")
UPLOADS = ("stored", "refused", "broken_off", "dropped")
RESULTS = ("delivered", "left_out", "failed", "dropped")
SERVERS = ("bus", "store")

LABELS: Mapping[str, str] = {
    "camera": "id of a camera that is in the store now; a removed one leaves nothing behind",
    "reason": ", ".join((*REASONS, OTHER)),
    "refusal": ", ".join(REFUSALS),
    "decision": ", ".join(DECISIONS),
    "footage": ", ".join(FOOTAGE),
    "state": ", ".join(CameraStatus),
    "server": ", ".join(SERVERS),
    "stage": ", ".join(REPORTING_NAMES),
    "worker": "name of a worker that was heard of in the last 10 s: host, process id, four random "
    "letters",
    "sink": "name of a sink of alerting",
    "result": ", ".join(RESULTS),
    "upload": ", ".join(UPLOADS),
    "version": "of Lookout",
    "python": "of Python",
    "outcome": "of a request with an Idempotency-Key, or of its answer: `first`, `repeated`, "
    "`refused`, `dropped`, `lost`",
}
"""What each label may be; none of them grows with time."""


@dataclass(frozen=True, slots=True)
class Metric:
    name: str  # a counter's ends in _total
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()  # of a histogram's buckets, ascending, without infinity


CAMERA = ("camera",)

# The service
BUILD_INFO = Metric(
    "lookout_build_info",
    "gauge",
    "1, with the versions of this API process.",
    ("version", "python"),
)
UP = Metric("lookout_up", "gauge", "Whether a Redis server answers.", ("server",))
WORKERS = Metric("lookout_workers", "gauge", "How many work at a stage.", ("stage",))
WORKER_LOAD = Metric(
    "lookout_worker_load",
    "gauge",
    "Frames a second of the cameras that a worker has.",
    ("stage", "worker"),
)
DATA_FREE = Metric("lookout_data_free_bytes", "gauge", "Free on the volume of the data folder.")
DATA_SIZE = Metric("lookout_data_size_bytes", "gauge", "Size of the volume of the data folder.")
LISTENERS = Metric("lookout_live_listeners", "gauge", "WebSocket clients of this API process.")
LIVE_QUEUE = Metric(
    "lookout_live_queue_messages",
    "gauge",
    "Messages that wait for the slowest WebSocket client of this API process.",
)
CLOSED_BEHIND = Metric(
    "lookout_live_closed_behind_total",
    "counter",
    "Clients of this API process closed because they could not keep up.",
)
PICTURE_VIEWERS = Metric(
    "lookout_live_picture_viewers",
    "gauge",
    "Viewers of live pictures of this API process.",
)
PICTURES_DROPPED = Metric(
    "lookout_live_pictures_dropped_total",
    "counter",
    "Live pictures of this API process that a viewer was too slow for.",
)
REFUSED = Metric(
    "lookout_requests_refused_total",
    "counter",
    "Requests to this API process without the token.",
    ("refusal",),
)
GUESSES = Metric(
    "lookout_guesses_limited_total",
    "counter",
    "Requests to this API process refused with 429: their address had guessed too often.",
)
AUDIT_LOST = Metric(
    "lookout_audit_lost_total",
    "counter",
    "Changes by this API process whose line the audit lacks: the store did not take it.",
)
KEYED_REQUESTS = Metric(
    "lookout_keyed_requests_total",
    "counter",
    "Requests to this API process with an Idempotency-Key: done (first), answered again (repeated) "
    "or refused; and answers that were dropped for newer ones or lost, the store being away.",
    ("outcome",),
)
UPLOADED = Metric(
    "lookout_uploads_total",
    "counter",
    "Recordings uploaded to this API process: stored, refused once they had begun, broken off, or "
    "dropped by their retention.",
    ("upload",),
)

# Inference, all workers together
BATCH = Metric(
    "lookout_batch_frames",
    "histogram",
    "Frames that share a forward pass.",
    bounds=(1, 2, 4, 8, 16, 32, 64, 128),
)
STEP = Metric(
    "lookout_step_seconds",
    "histogram",
    "Time of a forward pass with its input and output.",
    bounds=(0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2),
)

STORE_FAILURES = Metric(
    "lookout_store_failures_total",
    "counter",
    "Attempts to save or take over a camera that failed unexpectedly, the store being there.",
)

# Alerting, all workers together
DELIVERIES = Metric(
    "lookout_deliveries_total",
    "counter",
    "Alert events delivered to a sink, left out by its choice, failed (a dead letter) or dropped.",
    ("sink", "result"),
)
SINK_FAILING = Metric(
    "lookout_sink_failing_seconds",
    "gauge",
    "How long deliveries to a sink have failed; 0 where the last one worked.",
    ("sink",),
)
LETTERS = Metric(
    "lookout_dead_letters",
    "gauge",
    "Alert events that could not be delivered to a sink.",
    ("sink",),
)

EVIDENCE_FAILING = Metric(
    "lookout_evidence_failing_seconds",
    "gauge",
    "How long evidence could not be copied to the bucket; 0 where the last attempt worked, where "
    "nothing waits, and without a bucket.",
)

# Each camera
STATE = Metric(
    "lookout_camera_state", "gauge", "1 for the state a camera is in.", ("camera", "state")
)
TAMPERED = Metric(
    "lookout_camera_tampered", "gauge", "1 while the picture is dark, empty or blurred.", CAMERA
)
RECONNECTS = Metric(
    "lookout_reconnects_total", "counter", "How often a camera was connected again.", CAMERA
)
CORRUPT = Metric(
    "lookout_corrupt_packets_total", "counter", "Packets that could not be decoded.", CAMERA
)
FRAME_AGE = Metric(
    "lookout_frame_age_seconds", "gauge", "Time since the newest frame was filmed.", CAMERA
)
SCORE_AGE = Metric(
    "lookout_score_age_seconds", "gauge", "Time since the newest score was made.", CAMERA
)
FRAMES = Metric("lookout_frames_total", "counter", "Frames put on the bus.", CAMERA)
DROPPED = Metric(
    "lookout_frames_dropped_total",
    "counter",
    "Frames that were never scored, by reason.",
    ("camera", "reason"),
)
WINDOW = Metric(
    "lookout_frames_window_total",
    "counter",
    "Frames without a score that only filled a window: no loss.",
    CAMERA,
)
FRAMES_WAITING = Metric(
    "lookout_frames_waiting",
    "gauge",
    "Frames on the bus that inference has not dealt with, by ingest's last report.",
    CAMERA,
)
SCORES = Metric("lookout_scores_total", "counter", "Frames scored.", CAMERA)
REUSED = Metric(
    "lookout_scores_reused_total",
    "counter",
    "Frames of a still picture, which took the score of an earlier one (still_frames).",
    CAMERA,
)
SCORES_WAITING = Metric(
    "lookout_scores_waiting",
    "gauge",
    "Scores that alerting has not dealt with, by what it last saved.",
    CAMERA,
)
SCORE = Metric("lookout_score", "gauge", "Newest score, 0 to 1; higher is more abnormal.", CAMERA)
SCORE_PEAK = Metric(
    "lookout_score_peak", "gauge", "Highest score of the last 15 s: no scrape misses it.", CAMERA
)
LATENCY = Metric(
    "lookout_latency_seconds",
    "histogram",
    "From a live frame's capture until its score can be read on the bus.",
    CAMERA,
    bounds=(0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5),
)
MEMORY = Metric(
    "lookout_memory_decisions_total",
    "counter",
    "What the gate decided about the memory.",
    ("camera", "decision"),
)
LEARNING_FRAMES = Metric(
    "lookout_learning_frames_total",
    "counter",
    "Frames that learning recorded, thinned out, left out as not normal, or came too late for.",
    ("camera", "footage"),
)
DRIFT = Metric(
    "lookout_memory_drift",
    "gauge",
    "Of the memory from the trained items: the largest 1 - cosine.",
    CAMERA,
)
ROLLBACKS = Metric(
    "lookout_memory_rollbacks_total",
    "counter",
    "How often a guarded memory went back to the trained one.",
    CAMERA,
)
VIEWS_DROPPED = Metric(
    "lookout_camera_views_dropped_total",
    "counter",
    "How often what was learned of a view of the camera gave way to another view's.",
    CAMERA,
)
ALERTS = Metric(
    "lookout_alerts_total", "counter", "Alerts opened since the camera was first watched.", CAMERA
)
ALERTS_OPEN = Metric("lookout_alerts_open", "gauge", "Alerts that are open.", CAMERA)
ARMED = Metric(
    "lookout_camera_armed", "gauge", "1 while alerts open, by schedule and override.", CAMERA
)
SELF_TEST = Metric(
    "lookout_camera_self_test_passed",
    "gauge",
    "1 where the last self-test opened an alert, 0 where the camera would notice nothing.",
    CAMERA,
)
BUDGET_THRESHOLD = Metric(
    "lookout_alarm_budget_threshold",
    "gauge",
    "Threshold that an alarm budget sets, in (0, 1).",
    CAMERA,
)
BUDGET_EXPECTED = Metric(
    "lookout_alarm_budget_expected",
    "gauge",
    "Alarms that the budget allows in the footage since it was set.",
    CAMERA,
)
BUDGET_SEEN = Metric(
    "lookout_alarm_budget_seen", "gauge", "Alerts opened since the alarm budget was set.", CAMERA
)
BROKEN = Metric(
    "lookout_messages_broken_total",
    "counter",
    "Messages on the bus that could not be read and were removed.",
    CAMERA,
)
UNREAD = Metric(
    "lookout_scores_unread_total",
    "counter",
    "Scores that left the bus before alerting read them: no alert opens or closes by them.",
    CAMERA,
)
CLIPS_WRITTEN = Metric(
    "lookout_clips_written_total", "counter", "Clips of alerts that were written.", CAMERA
)
SUPPRESSED = Metric(
    "lookout_alerts_suppressed_total",
    "counter",
    "Alerts that repeat what a person answered, and that sinks are not told of.",
    CAMERA,
)
CLIPS_FAILED = Metric(
    "lookout_clips_failed_total",
    "counter",
    "Clips of alerts that could not be made; the alert says why.",
    CAMERA,
)
CLIPS_DROPPED = Metric(
    "lookout_clips_dropped_total",
    "counter",
    "Clips that were asked for and given up for newer ones: too many waited.",
    CAMERA,
)
EVIDENCE_COPIED = Metric(
    "lookout_evidence_copied_total",
    "counter",
    "Pictures and clips of alerts that were copied to the bucket.",
    CAMERA,
)
EVIDENCE_LOST = Metric(
    "lookout_evidence_lost_total",
    "counter",
    "Pictures and clips of alerts that were removed before they were copied to the bucket.",
    CAMERA,
)
BUS_RESTART = Metric(
    "lookout_bus_restart_total",
    "counter",
    "How often the bus came back empty while a camera was watched.",
    CAMERA,
)

ALL: Mapping[str, tuple[Metric, ...]] = {
    "The service": (
        BUILD_INFO,
        UP,
        WORKERS,
        WORKER_LOAD,
        DATA_FREE,
        DATA_SIZE,
        LISTENERS,
        LIVE_QUEUE,
        CLOSED_BEHIND,
        PICTURE_VIEWERS,
        PICTURES_DROPPED,
        REFUSED,
        GUESSES,
        AUDIT_LOST,
        KEYED_REQUESTS,
        UPLOADED,
    ),
    "Inference, all workers together": (BATCH, STEP, STORE_FAILURES),
    "Alerting, all workers together": (
        DELIVERIES,
        SINK_FAILING,
        LETTERS,
        EVIDENCE_FAILING,
    ),
    "Each camera": (
        STATE,
        TAMPERED,
        RECONNECTS,
        CORRUPT,
        FRAME_AGE,
        SCORE_AGE,
        FRAMES,
        DROPPED,
        WINDOW,
        FRAMES_WAITING,
        SCORES,
        REUSED,
        SCORES_WAITING,
        UNREAD,
        SCORE,
        SCORE_PEAK,
        LATENCY,
        MEMORY,
        LEARNING_FRAMES,
        DRIFT,
        ROLLBACKS,
        VIEWS_DROPPED,
        ALERTS,
        ALERTS_OPEN,
        ARMED,
        SELF_TEST,
        BUDGET_THRESHOLD,
        BUDGET_EXPECTED,
        BUDGET_SEEN,
        BROKEN,
        CLIPS_WRITTEN,
        CLIPS_FAILED,
        CLIPS_DROPPED,
        EVIDENCE_COPIED,
        EVIDENCE_LOST,
        SUPPRESSED,
        BUS_RESTART,
    ),
}


# A histogram in Redis: a whole number for each bucket, and the sum in millionths

MILLION = 1_000_000


def observed(metric: Metric, value: float) -> dict[str, int]:
    """Return the counters that one observation raises, each with its increment.

    A negative value (clocks apart) counts as 0.
    """
    value = max(0.0, value)
    bound = next((bound for bound in metric.bounds if value <= bound), math.inf)
    return {f"{metric.name}:{bound:g}": 1, f"{metric.name}:sum": round(value * MILLION)}


def buckets(metric: Metric, counters: Mapping[str, int]) -> tuple[list[int], float]:
    """Return the cumulative count up to each of the metric's bounds, then to infinity; the sum.

    counters: the sums of what `observed` returned.
    """
    *counts, total = map(counters.get, counter_names(metric), itertools.repeat(0))
    return list(itertools.accumulate(counts)), total / MILLION


@cache
def counter_names(metric: Metric) -> tuple[str, ...]:
    """Return the counters of a histogram: of each bound, of infinity, and of the sum."""
    bounds = (*metric.bounds, math.inf)
    return (*(f"{metric.name}:{bound:g}" for bound in bounds), f"{metric.name}:sum")
