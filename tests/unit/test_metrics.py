"""Names and labels of the metrics follow Prometheus; histograms add up over processes."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.__main__ import generated
from lookout.service.core import metrics
from lookout.service.core.metrics import LATENCY, Metric
from lookout.service.inference.outbox import PEAK_S, RecentScores

EVERY = [metric for told in metrics.ALL.values() for metric in told]
HISTOGRAMS = [metric for metric in EVERY if metric.kind == "histogram"]


def test_every_metric_is_in_the_list_once() -> None:
    defined = [value for value in vars(metrics).values() if isinstance(value, Metric)]
    assert Counter(metric.name for metric in EVERY) == Counter(metric.name for metric in defined)
    assert len({metric.name for metric in EVERY}) == len(EVERY)


@pytest.mark.parametrize("metric", EVERY, ids=lambda metric: metric.name)
def test_its_name_and_labels_follow_the_rules(metric: Metric) -> None:
    assert metric.name.startswith("lookout_")
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert not metric.name.endswith(("_ms", "_mb", "_percent", "_count", "_sum", "_bucket"))
    assert set(metric.labels) <= set(metrics.LABELS)
    assert metric.text.endswith(".")
    assert bool(metric.bounds) == (metric.kind == "histogram")
    assert all(low < high for low, high in pairwise(metric.bounds))


@pytest.mark.parametrize("path", generated(), ids=lambda path: path.name)
def test_what_is_generated_does_not_lag(path: Path) -> None:
    assert path.read_text() == generated()[path], "run `make generate`"


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(-1, 10)), max_size=30))
def test_what_several_processes_observe_is_one_histogram(seen: list[tuple[int, float]]) -> None:
    """Redis adds the counts that each process sends, in any order."""
    by_process = [Counter[str]() for _ in range(3)]
    for process, value in seen:
        by_process[process].update(metrics.observed(LATENCY, value))
    together = sum(by_process, Counter[str]())
    found, total = metrics.buckets(LATENCY, together)
    values = [max(0.0, value) for _, value in seen]
    bounds = (*LATENCY.bounds, float("inf"))
    assert found == [sum(value <= bound for value in values) for bound in bounds]
    assert total == pytest.approx(sum(values), abs=1e-6 * (len(values) + 1))


@given(st.lists(st.tuples(st.floats(0, 10), st.none() | st.floats(0, 1)), max_size=30))
def test_the_peak_is_the_highest_of_the_last_while(steps: list[tuple[float, float | None]]) -> None:
    recent, now, seen = RecentScores(), 0.0, list[tuple[float, float]]()
    for pause_s, value in steps:
        now += pause_s
        recent.add(value, now)
        seen += [] if value is None else [(now, value)]
        assert recent.newest == value
        assert recent.peak(now) == max(
            (value for at, value in seen if now - at <= PEAK_S), default=None
        )
    assert recent.peak(now + 2 * PEAK_S) is None
