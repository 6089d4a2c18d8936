"""Metrics, read from Redis at each scrape. Names are lookout_*, base units; labels are cameras and fixed words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.api.services import Services, look
from service.api.views import CameraView
from service.bus import UNAVAILABLE, Overview
from service.messages import Camera, CameraState

T = TypeVar("T")


def registry(here: Services, stages: Sequence[str]) -> CollectorRegistry:
    made = CollectorRegistry(auto_describe=False)
    made.register(_Collector(here, stages))
    return made


class _Collector(Collector):
    def __init__(self, here: Services, stages: Sequence[str]) -> None:
        self._here = here
        self._stages = stages

    def collect(self) -> Iterator[Metric]:
        """What cannot be read is left out, and `lookout_up` says why."""
        bus_up, bus_metrics = _tried(self._of_bus)
        store_up, cameras = _tried(self._here.store.cameras)
        up = GaugeMetricFamily("lookout_up", "Whether a Redis server answers.", labels=["server"])
        up.add_metric(["bus"], bus_up)
        up.add_metric(["store"], store_up)
        yield up
        yield from self._of_process()
        yield from bus_metrics or ()
        if bus_up and cameras:
            _, of_cameras = _tried(lambda: list(self._of_cameras(cameras)))
            yield from of_cameras or ()

    def _of_process(self) -> Iterator[Metric]:
        hub = self._here.hub
        yield _gauge("lookout_live_listeners", "WebSocket clients of this process.", hub.listeners)
        behind = CounterMetricFamily("lookout_live_closed_behind", "Clients closed because they could not keep up.")
        behind.add_metric([], hub.closed_behind)
        yield behind

    def _of_bus(self) -> list[Metric]:
        working = GaugeMetricFamily("lookout_workers", "How many work at a stage.", labels=["stage"])
        for stage in self._stages:
            working.add_metric([stage], len(self._here.bus.present(stage)))
        return [working]

    def _of_cameras(self, cameras: dict[str, Camera]) -> Iterator[Metric]:
        views = look(self._here.bus, cameras.values())
        seen = self._here.bus.overview(cameras)
        open_alerts = {camera: len(self._here.store.open_alerts(camera)) for camera in cameras}
        yield _states(views.values())
        yield _of("lookout_alerts_open", "Alerts that are open.", open_alerts)
        drifts = {name: view.drift for name, view in views.items() if view.drift is not None}
        yield _of("lookout_memory_drift", "Of the memory from the trained items: the largest 1 - cosine.", drifts)
        rollbacks = {name: view.rollbacks for name, view in views.items()}
        yield _of("lookout_memory_rollbacks", "How often a guarded memory went back to the trained one.", rollbacks)
        tampered = {name: view.tampered for name, view in views.items()}
        yield _of("lookout_camera_tampered", "1 while the picture is dark, empty or blurred.", tampered)
        ages = {name: view.frame_age_s for name, view in views.items() if view.frame_age_s is not None}
        yield _of("lookout_frame_age_seconds", "Age of the newest frame.", ages)
        yield from _counters(seen)


def _tried(ask: Callable[[], T]) -> tuple[bool, T | None]:
    try:
        return True, ask()
    except UNAVAILABLE:
        return False, None


def _gauge(name: str, text: str, value: float) -> Metric:
    metric = GaugeMetricFamily(name, text)
    metric.add_metric([], value)
    return metric


def _of(name: str, text: str, values: Mapping[str, float]) -> Metric:
    metric = GaugeMetricFamily(name, text, labels=["camera"])
    for camera, value in values.items():
        metric.add_metric([camera], value)
    return metric


def _states(views: Iterable[CameraView]) -> Metric:
    metric = GaugeMetricFamily("lookout_camera_state", "1 for the state a camera is in.", labels=["camera", "state"])
    for view in views:
        for state in CameraState:
            metric.add_metric([view.id, state.value], view.state is state)
    return metric


PLAIN = {
    "frames": ("lookout_frames", "Frames put on the bus."),
    "scores": ("lookout_scores", "Frames scored."),
    "reconnects": ("lookout_reconnects", "How often a camera was connected again."),
    "bus_restart": ("lookout_bus_restart", "How often the bus came back empty while a camera was watched."),
    "corrupt": ("lookout_corrupt_packets", "Packets that could not be decoded."),
    "window": ("lookout_frames_window", "Frames without a score that only filled a window: a session's first."),
    "broken": ("lookout_messages_broken", "Messages on the bus that could not be read and were removed."),
}
SPLIT = {
    "dropped_": ("lookout_frames_dropped", "Frames dropped.", "reason"),
    "memory_": ("lookout_memory_decisions", "What the gate decided about the memory.", "decision"),
}


def _counters(seen: Mapping[str, Overview]) -> Iterator[Metric]:
    """Counted on the bus; they start anew when it does, as counters may."""
    for counter, (name, text) in PLAIN.items():
        metric = CounterMetricFamily(name, text, labels=["camera"])
        for camera, at in seen.items():
            metric.add_metric([camera], at.counters.get(counter, 0))
        yield metric
    for prefix, (name, text, label) in SPLIT.items():
        metric = CounterMetricFamily(name, text, labels=["camera", label])
        for camera, at in seen.items():
            for counter, value in at.counters.items():
                if counter.startswith(prefix):
                    metric.add_metric([camera, counter.removeprefix(prefix)], value)
        yield metric
