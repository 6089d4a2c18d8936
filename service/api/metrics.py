"""What /metrics tells, read from Redis at each scrape; `service/core/metrics.py` is the list."""

from __future__ import annotations

import importlib.metadata
import math
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client import core as prometheus
from prometheus_client.registry import Collector

from lookout.service.api.auth.token import REASONS
from lookout.service.api.camera_status import QUIET_S, Beats, Status, status
from lookout.service.api.dependencies import Services
from lookout.service.core import metrics
from lookout.service.core.camera import Camera
from lookout.service.core.messages import CameraStatus, FrameId, InferenceReport
from lookout.service.core.metrics import Metric
from lookout.service.core.stages import INFERENCE, INGEST, REPORTING_NAMES
from lookout.service.storage.bus.counters import DROPPED, WINDOW
from lookout.service.storage.bus.reports import Overview
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.store.alerts import AlertingOverview

T = TypeVar("T")
Labels = TypeVar("Labels", bound=tuple[str, ...])  # their values
Told = Iterator[prometheus.Metric]


def registry(services: Services) -> CollectorRegistry:
    made = CollectorRegistry(auto_describe=False)
    made.register(_Collector(services))
    return made


class _Collector(Collector):
    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Told:
        """What cannot be read is left out, and `lookout_up` says why."""
        bus_up, of_bus = _tried(lambda: list(self._of_bus()))
        store_up, cameras = _tried(self._services.store.cameras)
        yield _told(metrics.UP, {("bus",): bus_up, ("store",): store_up})
        yield from self._of_process()
        yield from of_bus or ()
        if bus_up and cameras:
            _, of_cameras = _tried(lambda: list(self._of_cameras(cameras)))
            yield from of_cameras or ()

    def _of_process(self) -> Told:
        broadcaster = self._services.broadcaster
        yield _told(metrics.BUILD_INFO, {(_version(), platform.python_version()): 1})
        yield _told(metrics.LISTENERS, {(): broadcaster.listeners})
        yield _told(metrics.LIVE_QUEUE, {(): broadcaster.longest_queue})
        yield _told(metrics.CLOSED_BEHIND, {(): broadcaster.closed_behind})
        auth = self._services.auth
        if auth is not None:
            yield _told(metrics.REFUSED, {(reason,): auth.refused[reason] for reason in REASONS})
        try:
            disk = shutil.disk_usage(self._services.settings.data_dir)
        except OSError:  # no such folder yet
            return
        yield _told(metrics.DATA_FREE, {(): disk.free})
        yield _told(metrics.DATA_SIZE, {(): disk.total})

    def _of_bus(self) -> Told:
        present = {stage: self._services.bus.workers(stage) for stage in REPORTING_NAMES}
        loads = {
            (stage, name): load for stage, names in present.items() for name, load in names.items()
        }
        yield _told(metrics.WORKERS, {(stage,): len(names) for stage, names in present.items()})
        yield _told(metrics.WORKER_LOAD, loads)
        counted = self._services.bus.stage_counters(INFERENCE.name)
        for metric in (metrics.BATCH, metrics.STEP):
            yield _told_histogram(metric, {(): counted})

    def _of_cameras(self, cameras: Mapping[str, Camera]) -> Told:
        bus = self._services.bus
        seen, newest = bus.overview(cameras), bus.newest_score_ids(cameras)
        alerting = self._services.store.alerting_overview(cameras)
        beats = Beats(
            ingest=bus.has_workers(INGEST.name), inference=bus.has_workers(INFERENCE.name)
        )
        now = time.time()
        yield from _states(
            {name: status(camera, seen[name], beats, now) for name, camera in cameras.items()}
        )
        yield from _counters(seen)
        yield from _as_inferred(
            {name: report for name, at in seen.items() if (report := _fresh(at, now))}
        )
        yield from _alerts(alerting)
        yield from _queues(seen, newest, alerting)


def _version() -> str:
    try:
        return importlib.metadata.version("lookout")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _tried(ask: Callable[[], T]) -> tuple[bool, T | None]:
    try:
        return True, ask()
    except UNAVAILABLE:
        return False, None


# One metric


def _told(metric: Metric, values: Mapping[Labels, float]) -> prometheus.Metric:
    kind = (
        prometheus.CounterMetricFamily if metric.kind == "counter" else prometheus.GaugeMetricFamily
    )
    family = kind(metric.name, metric.text, labels=metric.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _of_each(metric: Metric, values: Mapping[str, float | None]) -> prometheus.Metric:
    """By camera; one without a value is left out."""
    return _told(
        metric, {(camera,): value for camera, value in values.items() if value is not None}
    )


def _told_histogram(
    metric: Metric, counted: Mapping[Labels, Mapping[str, int]]
) -> prometheus.Metric:
    family = prometheus.HistogramMetricFamily(metric.name, metric.text, labels=metric.labels)
    for labels, counters in counted.items():
        buckets, total = metrics.buckets(metric, counters)
        family.add_metric(labels, [(_bound(bound), many) for bound, many in buckets], total)
    return family


def _bound(bound: float) -> str:
    return "+Inf" if math.isinf(bound) else f"{bound:g}"


# Of the cameras


def _states(known: Mapping[str, Status]) -> Told:
    states = {
        (name, state.value): at.state is state
        for name, at in known.items()
        for state in CameraStatus
    }
    yield _told(metrics.STATE, states)
    yield _of_each(metrics.TAMPERED, {name: at.tampered for name, at in known.items()})
    yield _of_each(metrics.FRAME_AGE, {name: at.frame_age_s for name, at in known.items()})


PLAIN = {
    "frames": metrics.FRAMES,
    "scores": metrics.SCORES,
    "reconnects": metrics.RECONNECTS,
    "bus_restart": metrics.BUS_RESTART,
    "corrupt": metrics.CORRUPT,
    WINDOW: metrics.WINDOW,
    "broken": metrics.BROKEN,
}


def _counters(seen: Mapping[str, Overview]) -> Told:
    """Each begins at 0, so that its first step is seen as one."""
    counted = {name: at.counters for name, at in seen.items()}
    for counter, metric in PLAIN.items():
        yield _of_each(
            metric, {name: counters.get(counter, 0) for name, counters in counted.items()}
        )
    dropped = {
        (name, why): n
        for name, counters in counted.items()
        for why, n in _dropped(counters).items()
    }
    yield _told(metrics.DROPPED, dropped)
    decided = {
        (name, what): counters.get(f"memory_{what}", 0)
        for name, counters in counted.items()
        for what in metrics.DECISIONS
    }
    yield _told(metrics.MEMORY, decided)
    yield _told_histogram(
        metrics.LATENCY, {(name,): counters for name, counters in counted.items()}
    )


def _dropped(counters: Mapping[str, int]) -> dict[str, int]:
    """How many by reason; reasons that this version does not know count as one."""
    found = dict.fromkeys((*metrics.REASONS, metrics.OTHER), 0)
    for counter, value in counters.items():
        if counter.startswith(DROPPED):
            reason = counter.removeprefix(DROPPED)
            found[reason if reason in metrics.REASONS else metrics.OTHER] += value
    return found


def _fresh(seen: Overview, now: float) -> InferenceReport | None:
    return (
        seen.inference
        if seen.inference is not None and now - seen.inference.at <= QUIET_S
        else None
    )


def _as_inferred(reports: Mapping[str, InferenceReport]) -> Told:
    yield _of_each(metrics.DRIFT, {name: report.drift for name, report in reports.items()})
    yield _of_each(metrics.ROLLBACKS, {name: report.rollbacks for name, report in reports.items()})
    yield _of_each(metrics.SCORE, {name: report.score for name, report in reports.items()})
    yield _of_each(
        metrics.SCORE_PEAK, {name: report.score_peak for name, report in reports.items()}
    )


def _alerts(alerting: Mapping[str, AlertingOverview]) -> Told:
    yield _of_each(metrics.ALERTS, {name: at.opened for name, at in alerting.items()})
    yield _of_each(metrics.ALERTS_OPEN, {name: at.open for name, at in alerting.items()})


# What waits


def _queues(
    seen: Mapping[str, Overview],
    newest: Mapping[str, FrameId],
    alerting: Mapping[str, AlertingOverview],
) -> Told:
    frames = {name: _between(at.cursor, _last_frame(at)) for name, at in seen.items()}
    scores = {name: _between(alerting[name].cursor, newest.get(name)) for name in seen}
    yield _of_each(metrics.FRAMES_WAITING, frames)
    yield _of_each(metrics.SCORES_WAITING, scores)


def _last_frame(seen: Overview) -> FrameId | None:
    report = seen.ingest
    if report is None or report.session is None or report.last_seq is None:
        return None
    return FrameId(report.session, report.last_seq)


def _between(done: FrameId | None, newest: FrameId | None) -> int:
    """How many numbers lie behind `done` up to `newest`, of the newest session."""
    if newest is None or (done is not None and done >= newest):
        return 0
    return newest.seq - (done.seq if done is not None and done.session == newest.session else -1)
