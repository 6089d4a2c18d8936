"""The values of /metrics, read from Redis at each scrape. `core/metrics.py` lists the metrics."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import repeat
from typing import TypeVar

from lookout.service.api.auth.token import REASONS
from lookout.service.api.dependencies import Services
from lookout.service.api.idempotency import OUTCOMES
from lookout.service.api.metric_text import (
    by_camera,
    by_camera_and,
    family,
    histogram_family,
)
from lookout.service.api.views import self_tests
from lookout.service.core import metrics
from lookout.service.core.accounts import ANYBODY, Identity
from lookout.service.core.camera import Camera
from lookout.service.core.messages import CameraStatus, FrameId, InferenceReport
from lookout.service.core.metrics import Metric
from lookout.service.core.sinks import EVIDENCE, SinkState
from lookout.service.core.stages import ALERTING, INFERENCE, INGEST, REPORTING_NAMES
from lookout.service.storage.bus.counters import DROPPED, STORE_FAILURES, UNREAD, WINDOW
from lookout.service.storage.bus.reports import Overview
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.store.alerts import AlertingOverview
from lookout.service.watch.camera_status import QUIET_S, Beats, Status, status

T = TypeVar("T")
Families = Iterator[str]  # the text of a metric: its head, and a line for each sample
STATES = tuple(state.value for state in CameraStatus)
STATE_ROWS = {state: tuple(state == one for one in STATES) for state in CameraStatus}
"""1 for the state itself, and 0 for every other."""


class StateCollector:
    """Collects the metrics of this process, the bus and the cameras."""

    def __init__(self, services: Services, sender: Identity = ANYBODY) -> None:
        """sender: the cameras out of its scope are left out."""
        self._services = services
        self._sender = sender

    def text(self) -> str:
        """Return every metric that can be read, as Prometheus text."""
        return "".join(self.collect())

    def collect(self) -> Families:
        """Yield what can be read; `lookout_up` says which server is away."""
        bus_up, of_bus = attempt(lambda: list(self.of_bus()))
        store_up, cameras = attempt(self._services.store.cameras)
        yield family(metrics.UP, {("bus",): bus_up, ("store",): store_up})
        yield from self.of_process()
        yield from of_bus or ()
        _, of_sinks = attempt(lambda: list(self.of_sinks()))
        yield from of_sinks or ()
        seen = {name: one for name, one in (cameras or {}).items() if self._sender.sees(name)}
        if bus_up and seen:
            _, of_cameras = attempt(lambda: list(self.of_cameras(seen)))
            yield from of_cameras or ()

    def of_process(self) -> Families:
        """Yield the metrics of this API process."""
        broadcaster = self._services.broadcaster
        yield family(metrics.BUILD_INFO, {(installed_version(), platform.python_version()): 1})
        yield family(metrics.LISTENERS, {(): broadcaster.listeners})
        yield family(metrics.LIVE_QUEUE, {(): broadcaster.longest_queue})
        yield family(metrics.CLOSED_BEHIND, {(): broadcaster.closed_behind})
        streams = self._services.pictures
        yield family(metrics.PICTURE_VIEWERS, {(): streams.viewers})
        yield family(metrics.PICTURES_DROPPED, {(): streams.dropped})
        auth = self._services.auth
        if not auth.is_open:
            yield family(metrics.REFUSED, {(reason,): auth.refused[reason] for reason in REASONS})
            limited = auth.guesses.limited + auth.password_guesses.limited
            yield family(metrics.GUESSES, {(): limited})
        yield family(metrics.AUDIT_LOST, {(): self._services.trail.lost})
        counts = self._services.repeats.counts
        yield family(metrics.KEYED_REQUESTS, {(name,): counts[name] for name in OUTCOMES})
        uploads = self._services.uploads.counts
        yield family(metrics.UPLOADED, {(name,): uploads[name] for name in metrics.UPLOADS})
        try:
            disk = shutil.disk_usage(self._services.settings.data_dir)
        except OSError:  # no such folder yet
            return
        yield family(metrics.DATA_FREE, {(): disk.free})
        yield family(metrics.DATA_SIZE, {(): disk.total})

    def of_bus(self) -> Families:
        """Yield the metrics of workers and stages."""
        present = {stage: self._services.bus.workers(stage) for stage in REPORTING_NAMES}
        loads = {
            (stage, name): load for stage, names in present.items() for name, load in names.items()
        }
        yield family(metrics.WORKERS, {(stage,): len(names) for stage, names in present.items()})
        yield family(metrics.WORKER_LOAD, loads)
        counted = self._services.bus.stage_counters(INFERENCE.name)
        for metric in (metrics.BATCH, metrics.STEP):
            yield histogram_family(metric, {(): counted})
        yield family(metrics.STORE_FAILURES, {(): counted.get(STORE_FAILURES, 0)})
        counters = self._services.bus.stage_counters(ALERTING.name)
        yield delivery_family(counters)

    def of_sinks(self) -> Families:
        """Yield the metrics of the sinks that clients set up."""
        store = self._services.store
        sinks = [name for name, sink in store.sinks().items() if sink.enabled]
        states = store.sink_states()
        now = time.time()
        failing = {}
        for name in sinks:
            since = states.get(name, SinkState()).failing_since
            failing[name,] = 0.0 if since is None else max(0.0, now - since)
        yield family(metrics.SINK_FAILING, failing)
        since = states.get(EVIDENCE, SinkState()).failing_since
        seconds = 0.0 if since is None else max(0.0, now - since)
        yield family(metrics.EVIDENCE_FAILING, {(): seconds})
        letters = store.letter_counts(sinks)
        yield family(metrics.LETTERS, {(name,): count for name, count in letters.items()})

    def of_cameras(self, cameras: Mapping[str, Camera]) -> Families:
        """Yield the metrics of cameras."""
        bus = self._services.bus
        seen = bus.overview(cameras)
        newest = bus.newest_score_ids(cameras)
        alerting = self._services.store.alerting_overview(cameras)
        beats = Beats(
            ingest=bus.has_workers(INGEST.name), inference=bus.has_workers(INFERENCE.name)
        )
        now = time.time()
        yield from state_families(
            {name: status(camera, seen[name], beats, now) for name, camera in cameras.items()},
            {name: camera.armed_at(now) for name, camera in cameras.items()},
        )
        tests = self_tests(self._services.store, cameras)
        passed = {name: not test.is_blind for name, test in tests.items() if test.made}
        yield by_camera(metrics.SELF_TEST, passed)
        yield from counter_families(seen)
        yield from report_families(
            {name: report for name, at in seen.items() if (report := fresh_report(at, now))}
        )
        yield from alert_families(alerting)
        yield from queue_families(seen, newest, alerting)


def installed_version() -> str:
    """Return the version of the installed package."""
    try:
        return importlib.metadata.version("lookout")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def attempt(ask: Callable[[], T]) -> tuple[bool, T | None]:
    """Return whether Redis answers, and the result."""
    try:
        return True, ask()
    except UNAVAILABLE:
        return False, None


# Of the cameras


def state_families(known: Mapping[str, Status], armed: Mapping[str, bool]) -> Families:
    yield by_camera_and(
        metrics.STATE, STATES, {name: STATE_ROWS[at.state] for name, at in known.items()}
    )
    yield by_camera(metrics.TAMPERED, {name: at.tampered for name, at in known.items()})
    yield by_camera(metrics.ARMED, armed)
    yield by_camera(metrics.FRAME_AGE, {name: at.frame_age_s for name, at in known.items()})
    yield by_camera(metrics.SCORE_AGE, {name: at.score_age_s for name, at in known.items()})


PLAIN = {
    "frames": metrics.FRAMES,
    "scores": metrics.SCORES,
    "reused": metrics.REUSED,
    "reconnects": metrics.RECONNECTS,
    "bus_restart": metrics.BUS_RESTART,
    "corrupt": metrics.CORRUPT,
    WINDOW: metrics.WINDOW,
    UNREAD: metrics.UNREAD,
    "broken": metrics.BROKEN,
    "clips_written": metrics.CLIPS_WRITTEN,
    "clips_failed": metrics.CLIPS_FAILED,
    "clips_dropped": metrics.CLIPS_DROPPED,
    "evidence_copied": metrics.EVIDENCE_COPIED,
    "evidence_lost": metrics.EVIDENCE_LOST,
    "alerts_suppressed": metrics.SUPPRESSED,
}

DROP_REASONS = (*metrics.REASONS, metrics.OTHER)
KNOWN_DROPS = tuple(DROPPED + reason for reason in metrics.REASONS)


def counter_families(seen: Mapping[str, Overview]) -> Families:
    """Each begins at 0, so that its first step is seen as one."""
    counted = {name: at.counters for name, at in seen.items()}
    for counter, metric in PLAIN.items():
        yield by_camera(
            metric, {name: counters.get(counter, 0) for name, counters in counted.items()}
        )
    yield by_camera_and(metrics.DROPPED, DROP_REASONS, dropped_by_reason(counted))
    yield named_counters(metrics.MEMORY, "memory_", metrics.DECISIONS, counted)
    yield named_counters(metrics.LEARNING_FRAMES, "learning_", metrics.FOOTAGE, counted)
    yield histogram_family(
        metrics.LATENCY, {(name,): counters for name, counters in counted.items()}
    )


def named_counters(
    metric: Metric,
    prefix: str,
    names: tuple[str, ...],
    counted: Mapping[str, Mapping[str, int]],
) -> str:
    """Return the counters `<prefix><name>` of each camera as one metric."""
    keys = [prefix + name for name in names]
    rows = {camera: list(map(of.get, keys, repeat(0))) for camera, of in counted.items()}
    return by_camera_and(metric, names, rows)


def dropped_by_reason(counted: Mapping[str, Mapping[str, int]]) -> dict[str, list[int]]:
    """Return each camera's dropped frames for each of DROP_REASONS.

    Reasons that are unknown to this version count as one.
    """
    met = set[str]().union(*counted.values())
    unknown = [one for one in met if one.startswith(DROPPED) and one not in KNOWN_DROPS]
    return {
        camera: [*map(of.get, KNOWN_DROPS, repeat(0)), sum(of.get(one, 0) for one in unknown)]
        for camera, of in counted.items()
    }


def fresh_report(seen: Overview, now: float) -> InferenceReport | None:
    """Return inference's report on the camera, or None where it is older than QUIET_S."""
    if seen.inference is None or now - seen.inference.at > QUIET_S:
        return None
    return seen.inference


def report_families(reports: Mapping[str, InferenceReport]) -> Families:
    yield by_camera(metrics.DRIFT, {name: report.drift for name, report in reports.items()})
    yield by_camera(metrics.ROLLBACKS, {name: report.rollbacks for name, report in reports.items()})
    dropped = {name: report.views_dropped for name, report in reports.items()}
    yield by_camera(metrics.VIEWS_DROPPED, dropped)
    yield by_camera(metrics.SCORE, {name: report.score for name, report in reports.items()})
    yield by_camera(
        metrics.SCORE_PEAK, {name: report.score_peak for name, report in reports.items()}
    )


def alert_families(alerting: Mapping[str, AlertingOverview]) -> Families:
    yield by_camera(metrics.ALERTS, {name: at.opened for name, at in alerting.items()})
    yield by_camera(metrics.ALERTS_OPEN, {name: at.open for name, at in alerting.items()})
    budgets = {name: at.budget for name, at in alerting.items() if at.budget is not None}
    yield by_camera(metrics.BUDGET_THRESHOLD, {name: at.threshold for name, at in budgets.items()})
    yield by_camera(metrics.BUDGET_EXPECTED, {name: at.expected for name, at in budgets.items()})
    yield by_camera(metrics.BUDGET_SEEN, {name: at.seen for name, at in budgets.items()})


def delivery_family(counters: Mapping[str, int]) -> str:
    """Return alerting's counters `delivery_<result>_<sink>` as one metric."""
    deliveries: dict[tuple[str, str], float] = {}
    for counter, value in counters.items():
        for result in metrics.RESULTS:
            prefix = f"delivery_{result}_"
            if counter.startswith(prefix):
                deliveries[counter.removeprefix(prefix), result] = value
    return family(metrics.DELIVERIES, deliveries)


# What waits


def queue_families(
    seen: Mapping[str, Overview],
    newest: Mapping[str, FrameId],
    alerting: Mapping[str, AlertingOverview],
) -> Families:
    frames = {name: frames_between(at.cursor, last_frame_id(at)) for name, at in seen.items()}
    scores = {name: frames_between(alerting[name].cursor, newest.get(name)) for name in seen}
    yield by_camera(metrics.FRAMES_WAITING, frames)
    yield by_camera(metrics.SCORES_WAITING, scores)


def last_frame_id(seen: Overview) -> FrameId | None:
    report = seen.ingest
    if report is None or report.session is None or report.last_seq is None:
        return None
    return FrameId(report.session, report.last_seq)


def frames_between(done: FrameId | None, newest: FrameId | None) -> int:
    """Return how many frames of the newest session follow `done`, up to `newest`."""
    if newest is None or (done is not None and done >= newest):
        return 0
    if done is None or done.session != newest.session:
        return newest.seq + 1
    return newest.seq - done.seq
