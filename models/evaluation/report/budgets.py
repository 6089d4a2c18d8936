"""Alarm budgets beside the alarms seen: over the footage, and by hour of the day if it is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lookout.models.evaluation.budget_course import HOUR_S, spans_of
from lookout.models.evaluation.events import EventMetrics
from lookout.models.evaluation.report.charts import Chart, Line
from lookout.models.scoring.budget_report import poisson_interval

TEMPLATE = "budgets.html.j2"


def templates() -> Environment:
    """Return the environment of the templates in this folder."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )


def budget_section(found: EventMetrics) -> dict[str, Any] | None:
    """Return the course of a budget as chart and rows, and the rows of the day's hours.

    None without a budget.
    """
    if found.budget is None or not found.budget_course:
        return None
    points = found.budget_course
    hours = [point.footage_s / HOUR_S for point in points]
    intervals = [poisson_interval(point.seen) for point in points]
    lines = [
        Line("allowed by the budget", hours, [point.expected for point in points]),
        Line("seen", hours, [point.seen for point in points], steps=True),
        Line("95 % interval, from", hours, [low for low, _ in intervals], steps=True),
        Line("to", hours, [high for _, high in intervals], steps=True),
    ]
    most = max(points[-1].expected, intervals[-1][1])
    chart = Chart("hours of footage", "alarms", (0, max(hours[-1], 1e-3)), (0, most), width_px=900)
    return {
        "sentence": found.budget.sentence,
        "course": chart.draw(lines),
        "rows": [
            [
                f"{span.first_hour:.3g} to {span.last_hour:.3g}",
                span.expected,
                span.seen,
                span.low,
                span.high,
            ]
            for span in spans_of(points)
        ],
        "hours": [
            [f"{one.hour}:00", one.footage_s / HOUR_S, one.expected, one.seen, one.low, one.high]
            for one in found.budget_hours
        ],
    }


def budgets_html(cameras: Mapping[str, EventMetrics | None], facts: Mapping[str, object]) -> str:
    """Return the budgets of several cameras as an HTML document that loads nothing.

    cameras: by name; None where there was no budget. facts: what was run, name by name.
    """
    sections = []
    for name, found in cameras.items():
        section = None
        if found is not None:
            section = budget_section(found)
        sections.append((name, section))
    shown = {name: str(fact) for name, fact in facts.items()}
    return templates().get_template(TEMPLATE).render(facts=shown, cameras=sections)
