"""docs/metrics.md, made of the list of metrics."""

from __future__ import annotations

from lookout.service.core.metrics import ALL, LABELS, Metric

INTRODUCTION = """\
# Metrics

`GET /metrics` of the API tells them in Prometheus' text form. This page is made of the list in
[service/core/metrics.py](../service/core/metrics.py) by `make generate`.

- Counters lie in Redis, one for each camera or stage: they are right however many workers there are, and go on when a
  worker ends or a camera changes hands. Those on the bus start anew when the bus does (alerts are in the store, and do
  not), which `rate()` and `increase()` allow for. Each is told from 0 on as soon as its camera is there.
- Every API process tells the same of cameras, stages and servers. Where several are scraped, take `max by (camera)` and
  the like, never `sum`; what is said "of this API process" is each one's own.
- A Redis server that is away takes its metrics with it; `lookout_up` says which one it is.
- A file at full pace is no live camera: it has no latency, and its frames may be ahead of the clock.
"""


def page() -> str:
    """Markdown: a table for each part of the list, and one for the labels."""
    parts = [f"\n## {title}\n\n{_table(told)}" for title, told in ALL.items()]
    labels = "".join(f"| `{name}` | {text} |\n" for name, text in LABELS.items())
    return f"{INTRODUCTION}{''.join(parts)}\n## Labels\n\n| label | what it may be |\n|---|---|\n{labels}"


def _table(told: tuple[Metric, ...]) -> str:
    return "| metric | kind | labels | what |\n|---|---|---|---|\n" + "".join(
        _row(metric) for metric in told
    )


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    buckets = (
        f" Buckets: {', '.join(f'{bound:g}' for bound in metric.bounds)}." if metric.bounds else ""
    )
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.text}{buckets} |\n"
