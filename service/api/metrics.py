"""The values of /metrics, read from Redis at each scrape. `core/metrics.py` lists the metrics.

The text is written here: prometheus_client checks every name and label anew in every line, which
takes a second for a thousand cameras. A test holds that both write the same.
"""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import TypeVar

from prometheus_client.utils import floatToGoString

from lookout.service.api.auth.token import REASONS
from lookout.service.api.dependencies import Services
from lookout.service.core import metrics
from lookout.service.core.accounts import ANYBODY, Identity
from lookout.service.core.camera import Camera
from lookout.service.core.messages import CameraStatus, FrameId, InferenceReport
from lookout.service.core.metrics import Metric
from lookout.service.core.sinks import SinkState
from lookout.service.core.stages import ALERTING, INFERENCE, INGEST, REPORTING_NAMES
from lookout.service.storage.bus.counters import DROPPED, STORE_FAILURES, UNREAD, WINDOW
from lookout.service.storage.bus.reports import Overview
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.store.alerts import AlertingOverview
from lookout.service.watch.camera_status import QUIET_S, Beats, Status, status

T = TypeVar("T")
LabelValues = TypeVar("LabelValues", bound=tuple[str, ...])  # their values
Families = Iterator[str]  # the text of a metric: its head, and a line for each sample
STATES = tuple(state.value for state in CameraStatus)


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
        auth = self._services.auth
        if not auth.is_open:
            yield family(metrics.REFUSED, {(reason,): auth.refused[reason] for reason in REASONS})
            limited = auth.guesses.limited + auth.password_guesses.limited
            yield family(metrics.GUESSES, {(): limited})
        yield family(metrics.AUDIT_LOST, {(): self._services.trail.lost})
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


# One metric


def head(metric: Metric) -> str:
    """Return the lines before a metric's samples."""
    return f"# HELP {metric.name} {metric.text}\n# TYPE {metric.name} {metric.kind}\n"


def family(metric: Metric, values: Mapping[LabelValues, float]) -> str:
    """Return a counter or gauge with a value for each tuple of labels."""
    texts = {value: number(value) for value in set(values.values())}
    lines = [
        f"{metric.name}{label_set(metric.labels, labels)} {texts[value]}\n"
        for labels, value in values.items()
    ]
    return head(metric) + "".join(lines)


@lru_cache(maxsize=100_000)
def label_set(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    """Return labels as they stand behind a metric's name, sorted by name; empty for none."""
    if not names:
        return ""
    pairs = sorted(zip(names, values, strict=True))
    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in pairs) + "}"


@lru_cache(maxsize=50_000)
def number(value: float) -> str:
    """Return a sample's value as text."""
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]
    return text


def escaped(value: str) -> str:
    """Return a label's value as it stands between quotes."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def by_camera(metric: Metric, values: Mapping[str, float | None]) -> str:
    """Return a metric with a value for each camera; one without a value is left out."""
    return family(
        metric, {(camera,): value for camera, value in values.items() if value is not None}
    )


def histogram_family(metric: Metric, counted: Mapping[LabelValues, Mapping[str, int]]) -> str:
    """Return a histogram with counters for each tuple of labels."""
    lines = [head(metric)]
    for labels, counters in counted.items():
        counts, total = metrics.buckets(metric, counters)
        values = (*counts, counts[-1], total)
        samples = zip(histogram_heads(metric, labels), values, strict=True)
        lines += [f"{sample} {number(value)}\n" for sample, value in samples]
    return "".join(lines)


@lru_cache(maxsize=10_000)
def histogram_heads(metric: Metric, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return names and labels of a histogram's samples: each bucket, count and sum."""
    names = (*metric.labels, "le")
    bounds = [*(f"{bound:g}" for bound in metric.bounds), "+Inf"]
    where = label_set(metric.labels, labels)
    return (
        *(f"{metric.name}_bucket{label_set(names, (*labels, bound))}" for bound in bounds),
        f"{metric.name}_count{where}",
        f"{metric.name}_sum{where}",
    )


# Of the cameras


def state_families(known: Mapping[str, Status], armed: Mapping[str, bool]) -> Families:
    states = {(name, state): at.state == state for name, at in known.items() for state in STATES}
    yield family(metrics.STATE, states)
    yield by_camera(metrics.TAMPERED, {name: at.tampered for name, at in known.items()})
    yield by_camera(metrics.ARMED, armed)
    yield by_camera(metrics.FRAME_AGE, {name: at.frame_age_s for name, at in known.items()})
    yield by_camera(metrics.SCORE_AGE, {name: at.score_age_s for name, at in known.items()})


PLAIN = {
    "frames": metrics.FRAMES,
    "scores": metrics.SCORES,
    "reconnects": metrics.RECONNECTS,
    "bus_restart": metrics.BUS_RESTART,
    "corrupt": metrics.CORRUPT,
    WINDOW: metrics.WINDOW,
    UNREAD: metrics.UNREAD,
    "broken": metrics.BROKEN,
    "clips_written": metrics.CLIPS_WRITTEN,
    "clips_failed": metrics.CLIPS_FAILED,
    "clips_dropped": metrics.CLIPS_DROPPED,
}


def counter_families(seen: Mapping[str, Overview]) -> Families:
    """Each begins at 0, so that its first step is seen as one."""
    counted = {name: at.counters for name, at in seen.items()}
    for counter, metric in PLAIN.items():
        yield by_camera(
            metric, {name: counters.get(counter, 0) for name, counters in counted.items()}
        )
    dropped = {
        (name, why): n
        for name, counters in counted.items()
        for why, n in dropped_by_reason(counters).items()
    }
    yield family(metrics.DROPPED, dropped)
    decided = {
        (name, what): counters.get(f"memory_{what}", 0)
        for name, counters in counted.items()
        for what in metrics.DECISIONS
    }
    yield family(metrics.MEMORY, decided)
    footage = {
        (name, what): counters.get(f"learning_{what}", 0)
        for name, counters in counted.items()
        for what in metrics.FOOTAGE
    }
    yield family(metrics.LEARNING_FRAMES, footage)
    yield histogram_family(
        metrics.LATENCY, {(name,): counters for name, counters in counted.items()}
    )


def dropped_by_reason(counters: Mapping[str, int]) -> dict[str, int]:
    """Return dropped frames by reason; reasons unknown to this version count as one."""
    found = dict.fromkeys((*metrics.REASONS, metrics.OTHER), 0)
    for counter, value in counters.items():
        if counter.startswith(DROPPED):
            reason = counter.removeprefix(DROPPED)
            if reason not in metrics.REASONS:
                reason = metrics.OTHER
            found[reason] += value
    return found


def fresh_report(seen: Overview, now: float) -> InferenceReport | None:
    """Return inference's report on the camera, or None where it is older than QUIET_S."""
    if seen.inference is None or now - seen.inference.at > QUIET_S:
        return None
    return seen.inference


def report_families(reports: Mapping[str, InferenceReport]) -> Families:
    yield by_camera(metrics.DRIFT, {name: report.drift for name, report in reports.items()})
    yield by_camera(metrics.ROLLBACKS, {name: report.rollbacks for name, report in reports.items()})
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
