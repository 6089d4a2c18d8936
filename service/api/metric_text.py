"""Metrics as Prometheus text.

It is written here: prometheus_client checks every name and label anew in every line, which takes a
second for a thousand cameras. What a camera's lines begin with is the same at every scrape: it is
made once for a set of cameras, as a template, and a scrape fills in the values. A test holds that
prometheus_client would write the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import TypeVar

from prometheus_client.utils import floatToGoString

from lookout.service.core import metrics
from lookout.service.core.metrics import Metric

LabelValues = TypeVar("LabelValues", bound=tuple[str, ...])

TEMPLATES = 128
"""Templates that are kept: of each metric of cameras, for a few sets of cameras."""


def family(metric: Metric, values: Mapping[LabelValues, float]) -> str:
    """Return a counter or gauge with a value for each tuple of labels."""
    return filled(head(metric) + sample_lines(metric, values), values.values())


def by_camera(metric: Metric, values: Mapping[str, float | None]) -> str:
    """Return a metric with a value for each camera; one without a value is left out."""
    numbers = [value for value in values.values() if value is not None]
    cameras = tuple(values)
    if len(numbers) < len(cameras):
        cameras = tuple(camera for camera, value in values.items() if value is not None)
    return filled(camera_template(metric, cameras), numbers)


def by_camera_and(
    metric: Metric, second: tuple[str, ...], rows: Mapping[str, Iterable[float]]
) -> str:
    """Return a metric with a row of values for each camera: one for each value of a second label.

    second: the values of that label, in the order of a row.
    """
    template = camera_template(metric, tuple(rows), second)
    return filled(template, chain.from_iterable(rows.values()))


def histogram_family(metric: Metric, counted: Mapping[LabelValues, Mapping[str, int]]) -> str:
    """Return a histogram with counters for each tuple of labels."""
    values: list[float] = []
    for counters in counted.values():
        counts, total = metrics.buckets(metric, counters)
        values += (*counts, counts[-1], total)
    return filled(histogram_template(metric, tuple(counted)), values)


# Templates: text with %s for each value


def filled(template: str, values: Iterable[float]) -> str:
    """Return a template with its values."""
    return template % tuple(map(number, values))


@lru_cache(maxsize=TEMPLATES)
def camera_template(
    metric: Metric, cameras: tuple[str, ...], second: tuple[str, ...] | None = None
) -> str:
    """Return the template of a metric of cameras, and of a second label's values."""
    if second is None:
        return head(metric) + sample_lines(metric, [(camera,) for camera in cameras])
    return head(metric) + sample_lines(
        metric, [(camera, value) for camera in cameras for value in second]
    )


@lru_cache(maxsize=TEMPLATES)
def histogram_template(metric: Metric, labels: Sequence[tuple[str, ...]]) -> str:
    """Return the template of a histogram: buckets, count and sum for each tuple of labels."""
    names = (*metric.labels, "le")
    bounds = [*(f"{bound:g}" for bound in metric.bounds), "+Inf"]
    lines = [head(metric)]
    for values in labels:
        where = label_set(metric.labels, values)
        lines += [
            f"{metric.name}_bucket{label_set(names, (*values, bound))} %s\n" for bound in bounds
        ]
        lines += [f"{metric.name}_count{where} %s\n", f"{metric.name}_sum{where} %s\n"]
    return "".join(lines)


def head(metric: Metric) -> str:
    """Return the lines before a metric's samples."""
    text = f"# HELP {metric.name} {metric.text}\n# TYPE {metric.name} {metric.kind}\n"
    return text.replace("%", "%%")


def sample_lines(metric: Metric, labels: Iterable[tuple[str, ...]]) -> str:
    """Return a line for each tuple of labels."""
    return "".join(f"{metric.name}{label_set(metric.labels, values)} %s\n" for values in labels)


def label_set(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    """Return labels as they stand behind a metric's name, sorted by name; empty for none."""
    if not names:
        return ""
    pairs = sorted(zip(names, values, strict=True))
    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in pairs) + "}"


def escaped(value: str) -> str:
    """Return a label's value as it stands between quotes in a template."""
    value = value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return value.replace("%", "%%")


@lru_cache(maxsize=50_000)
def number(value: float) -> str:
    """Return a sample's value as text."""
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]
    return text
