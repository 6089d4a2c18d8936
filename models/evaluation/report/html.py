"""One evaluation as one HTML file: numbers, curves, every clip's values, and the worst frames.

It holds everything itself and loads nothing. It shows frames of the footage: it belongs where the
footage may lie. The text is in `report.html.j2`; this module gathers what it shows.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lookout.models.evaluation.clip_scores import ClipScores
from lookout.models.evaluation.evaluate import WAYS, Evaluation, ways_of
from lookout.models.evaluation.events import at_thresholds, runs
from lookout.models.evaluation.frames import precision_recall, roc
from lookout.models.evaluation.regions import best_at
from lookout.models.evaluation.report.budgets import budget_section, templates
from lookout.models.evaluation.report.charts import Chart, DrawnChart, Line, Span
from lookout.models.evaluation.report.tables import NAMES, event_words, percent
from lookout.models.evaluation.report.worst_frames import Wrong, jpegs, ranked

TEMPLATE = "report.html.j2"
SHOWN_WAYS = ("causal", "local", "per_video_minmax")  # in the chart of a clip
POINT_FIELDS = ("threshold", "recall_percent", "false_alarms_per_hour", "normal_in_alarm_percent")


def as_html(evaluation: Evaluation, paths: list[Path], facts: Mapping[str, object]) -> str:
    """Return the report as an HTML document.

    evaluation: with its heatmaps. paths: the clips, which are decoded once more. facts: what was
    run, name by name.
    """
    worst = ranked(evaluation)
    pictures = jpegs(evaluation, paths, worst.false_alarms + worst.misses)
    worst_by = "the per-video min-max value, since no frame has a live one"
    if worst.causal:
        worst_by = f"the live value ({evaluation.scheme})"
    return (
        templates()
        .get_template(TEMPLATE)
        .render(
            facts={name: str(fact) for name, fact in facts.items()},
            frames=frame_section(evaluation),
            events=event_section(evaluation),
            regions=region_section(evaluation),
            worst=[
                (title, [captioned(wrong, pictures[wrong.clip, wrong.frame]) for wrong in wrongs])
                for title, wrongs in (
                    ("Worst false alarms: normal frames of the highest value", worst.false_alarms),
                    ("Worst misses: anomalous frames of the lowest value", worst.misses),
                )
            ],
            worst_by=worst_by,
            clips=[(clip.name, clip_chart(evaluation, clip)) for clip in evaluation.clips],
        )
    )


def frame_section(evaluation: Evaluation) -> dict[str, Any] | None:
    """Return the frame metrics of each normalisation and their curves; None without labels."""
    if evaluation.frames is None or evaluation.labels is None:
        return None
    rows = []
    roc_lines = []
    recall_lines = []
    truth = np.concatenate([evaluation.labels[clip.name] for clip in evaluation.clips])
    for way, field in ways_of(evaluation.scheme).items():
        found = evaluation.frames[way]
        percents = map(percent, (found.auc_micro, found.auc_macro, found.ap_micro))
        rows.append([NAMES[way], *percents, ", ".join(found.left_out)])
        values = np.concatenate(
            [getattr(evaluation.values[clip.name], field) for clip in evaluation.clips]
        )
        if found.auc_micro is not None:
            roc_lines.append(Line(NAMES[way], *roc(truth, values)))
            recall_lines.append(Line(NAMES[way], *precision_recall(truth, values)))
    share = Chart("false positive rate", "true positive rate", (0, 1), (0, 1))
    precision = Chart("recall", "precision", (0, 1), (0, 1))
    return {
        "rows": rows,
        "roc": share.draw(roc_lines),
        "precision": precision.draw(recall_lines),
    }


def event_section(evaluation: Evaluation) -> dict[str, Any] | None:
    """Return the alarms at several thresholds; None without labels or a frame rate."""
    if evaluation.events is None or evaluation.watched is None:
        return None
    points = at_thresholds(evaluation.watched, evaluation.events.policy)
    return {
        "words": event_words(evaluation.events),
        "budget": budget_section(evaluation.events),
        "rows": [[point[field] for field in POINT_FIELDS] for point in points],
    }


def region_section(evaluation: Evaluation) -> dict[str, Any] | None:
    """Return the region metrics and their curve; None without masks."""
    found = evaluation.regions
    if found is None:
        return None
    rows = [
        ("RBDC", percent(found.rbdc)),
        ("TBDC", percent(found.tbdc)),
        ("AUC over pixels", percent(found.pixel_auc)),
        ("anomalous regions", found.regions),
        ("tracks", found.tracks),
    ]
    if not found.curve:
        return {"rows": rows, "curve": None}
    false = [point.false_regions_per_frame for point in found.curve]
    regions = best_at(false, [point.regions_found_percent for point in found.curve])
    tracks = best_at(false, [point.tracks_found_percent for point in found.curve])
    chart = Chart("false regions per frame", "found, %", (0, 1), (0, 100))
    lines = [Line("regions", *regions, steps=True), Line("tracks", *tracks, steps=True)]
    return {"rows": rows, "curve": chart.draw(lines)}


def captioned(wrong: Wrong, jpeg: bytes) -> tuple[str, str]:
    """Return the caption of a worst frame, and its picture as base64."""
    state = "within an alarm" if wrong.alarmed else "no alarm"
    words = f"clip {wrong.clip}, frame {wrong.frame}: {wrong.value:.3f}, {state}"
    return words, b64encode(jpeg).decode()


def clip_chart(evaluation: Evaluation, clip: ClipScores) -> DrawnChart:
    """Return a clip's values over time, anomalous stretches shaded, alarms at the foot."""
    values = evaluation.values[clip.name]
    frames = clip.first + np.arange(len(clip.psnr_db))
    spans = []
    level = None
    if evaluation.labels is not None:
        for first, last in runs(evaluation.labels[clip.name] != 0):
            spans.append(Span(clip.first + first, clip.first + last + 1, "anomalous"))
    if evaluation.events is not None:
        level = evaluation.events.policy.threshold
        for alarm in evaluation.events.alarms:
            if alarm.clip == clip.name:
                spans.append(Span(alarm.since, alarm.last + 1, "false" if alarm.false else "alarm"))
    lines = [Line(NAMES[way], frames, getattr(values, WAYS[way])) for way in SHOWN_WAYS]
    chart = Chart("frame", "value", (0, max(1, clip.frames)), (0, 1), width_px=900, height_px=170)
    return chart.draw(lines, spans, level)
