"""Generate docs/metrics.md from the list of metrics."""

from __future__ import annotations

from lookout.service.core.metrics import ALL, LABELS, Metric

INTRODUCTION = """\
# Metrics

`GET /metrics` of the API reports them in Prometheus' text form. `make generate` makes this page of
the list in [service/core/metrics.py](../service/core/metrics.py).

- Counters are in Redis, one for each camera or stage. They are right with any number of workers,
  and go on when a worker ends or a camera changes hands. Counters on the bus start again when the
  bus does, which `rate()` and `increase()` allow for; those of alerts are in the store and do not.
  Each is reported from 0 on as soon as its camera exists.
- Every API process reports the same about cameras, stages and servers. Where several are scraped,
  take `max by (camera)` and the like, never `sum`; metrics "of this API process" are its own.
- The metrics of a Redis server are missing while it is away; `lookout_up` says which one it is.
- A file at full pace is no live camera: it has no latency, and its frames may be ahead of the
  clock.
"""


def page() -> str:
    """Return the page: a table for each part of the list, and one for the labels."""
    parts = [INTRODUCTION]
    for title, metrics in ALL.items():
        parts.append(f"\n## {title}\n\n| metric | kind | labels | what |\n|---|---|---|---|\n")
        parts.extend(row(metric) for metric in metrics)
    parts.append("\n## Labels\n\n| label | what it may be |\n|---|---|\n")
    parts.extend(f"| `{name}` | {text} |\n" for name, text in LABELS.items())
    return "".join(parts)


def row(metric: Metric) -> str:
    """Return the table's row for one metric."""
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    buckets = (
        f" Buckets: {', '.join(f'{bound:g}' for bound in metric.bounds)}." if metric.bounds else ""
    )
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.text}{buckets} |\n"
