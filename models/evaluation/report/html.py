"""One evaluation as one HTML file: numbers, curves, every clip's values, and the worst frames.

It holds everything itself and loads nothing. It shows frames of the footage: it belongs where the
footage may lie.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path

import numpy as np

from lookout.models.evaluation.clip_scores import ClipScores
from lookout.models.evaluation.evaluate import WAYS, Evaluation
from lookout.models.evaluation.events import at_thresholds, runs
from lookout.models.evaluation.frames import precision_recall, roc
from lookout.models.evaluation.regions import RegionMetrics, best_at
from lookout.models.evaluation.report.charts import Chart, Line, Span
from lookout.models.evaluation.report.tables import NAMES, event_words, percent
from lookout.models.evaluation.report.worst_frames import Ranked, Wrong, jpegs, ranked

STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; max-width: 1060px; margin: 2em auto; padding: 0 1em; \
color: #222 }
table { border-collapse: collapse } th, td { padding: .2em .8em .2em 0; text-align: left; \
font-weight: normal }
th { color: #666 } td.n { text-align: right; font-variant-numeric: tabular-nums }
figure { display: inline-block; margin: 0 1em 1em 0; vertical-align: top } \
figcaption { font-size: 12px; color: #666 }
svg text { font-size: 11px; fill: #666 } .axis { stroke: #999; fill: none } \
.line { fill: none; stroke-width: 1.5 }
.level { stroke: #999; stroke-dasharray: 4 3; fill: none }
.anomalous { fill: #fbe3e3 } .alarm { fill: #555 } .false { fill: #d22 } img { display: block }
"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def as_html(evaluation: Evaluation, paths: list[Path], facts: Mapping[str, object]) -> str:
    """Return the report as an HTML document.

    evaluation: with its heatmaps. paths: the clips, which are decoded once more. facts: what was
    run, name by name.
    """
    worst = ranked(evaluation)
    parts = [
        "<h1>Evaluation</h1>",
        _table([], [(name, str(fact)) for name, fact in facts.items()]),
        "<h2>Frames</h2>",
        _frames(evaluation),
        "<h2>Events and alarms</h2>",
        _events(evaluation),
        "<h2>Regions</h2>",
        _regions(evaluation.regions) if evaluation.regions else "<p>The clips have no masks.</p>",
        _worst(evaluation, paths, worst),
        "<h2>Clips</h2>",
        *(_clip(evaluation, clip) for clip in evaluation.clips),
    ]
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>Lookout: evaluation</title><style>{STYLE}</style>"
    )
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n'
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _table(head: list[str], rows: Iterable[Iterable[object]]) -> str:
    """Numbers are right-aligned."""
    lines = (
        ["<tr>" + "".join(f"<th>{escape(word)}</th>" for word in head) + "</tr>"] if head else []
    )
    lines += ["<tr>" + "".join(_cell(word) for word in row) + "</tr>" for row in rows]
    return f"<table>{''.join(lines)}</table>"


def _cell(word: object) -> str:
    if isinstance(word, float):
        return f'<td class="n">{word:.4g}</td>'
    return f"<td>{escape('none' if word is None else str(word))}</td>"


def _frames(evaluation: Evaluation) -> str:
    if evaluation.frames is None or evaluation.labels is None:
        return "<p>There are no labels.</p>"
    rows = []
    roc_lines, recall_lines = [], []
    truth = np.concatenate([evaluation.labels[clip.name] for clip in evaluation.clips])
    for way, field in WAYS.items():
        found, name = evaluation.frames[way], NAMES[way]
        without = ", ".join(found.left_out)
        rows.append(
            [
                name,
                percent(found.auc_micro),
                percent(found.auc_macro),
                percent(found.ap_micro),
                without,
            ]
        )
        values = np.concatenate(
            [getattr(evaluation.values[clip.name], field) for clip in evaluation.clips]
        )
        if found.auc_micro is not None:
            roc_lines.append(Line(name, *roc(truth, values)))
            recall_lines.append(Line(name, *precision_recall(truth, values)))
    share = Chart("false positive rate", "true positive rate", (0, 1), (0, 1))
    precision = Chart("recall", "precision", (0, 1), (0, 1))
    table = _table(["", "AUC (micro)", "AUC (macro)", "AP", "left out of macro"], rows)
    return table + share.draw(roc_lines) + precision.draw(recall_lines)


def _events(evaluation: Evaluation) -> str:
    if evaluation.events is None or evaluation.watched is None:
        return "<p>There are no labels, or a clip does not say its frame rate (--fps).</p>"
    at = at_thresholds(evaluation.watched, evaluation.events.policy)
    keys = ("threshold", "recall_percent", "false_alarms_per_hour", "normal_in_alarm_percent")
    head = [
        "threshold",
        "events noticed, %",
        "false alarms an hour of normal footage",
        "of it within an alarm, %",
    ]
    table = _table(head, [[one[key] for key in keys] for one in at])
    return f"<p>{escape(event_words(evaluation.events))}</p>{table}"


def _regions(found: RegionMetrics) -> str:
    rows = [
        ("RBDC", percent(found.rbdc)),
        ("TBDC", percent(found.tbdc)),
        ("AUC over pixels", percent(found.pixel_auc)),
        ("anomalous regions", found.regions),
        ("tracks", found.tracks),
    ]
    false = [point.false_regions_per_frame for point in found.curve]
    lines = [
        Line(
            "regions",
            *best_at(false, [point.regions_found_percent for point in found.curve]),
            steps=True,
        ),
        Line(
            "tracks",
            *best_at(false, [point.tracks_found_percent for point in found.curve]),
            steps=True,
        ),
    ]
    chart = Chart("false regions per frame", "found, %", (0, 1), (0, 100))
    return _table([], rows) + (chart.draw(lines) if found.curve else "")


def _worst(evaluation: Evaluation, paths: list[Path], worst: Ranked) -> str:
    pictures = jpegs(evaluation, paths, worst.false_alarms + worst.misses)
    offline = "the per-video min-max value, since no frame has a live one"
    by = f"the live value ({evaluation.scheme})" if worst.causal else offline
    parts = []
    for title, wrongs in (
        ("Worst false alarms: normal frames of the highest value", worst.false_alarms),
        ("Worst misses: anomalous frames of the lowest value", worst.misses),
    ):
        figures = [_figure(wrong, pictures[wrong.clip, wrong.frame]) for wrong in wrongs] or [
            "<p>None.</p>"
        ]
        parts += [
            f"<h2>{title}</h2><p>By {by}. Beside each its heatmap; masks are outlined.</p>",
            *figures,
        ]
    return "".join(parts)


def _figure(wrong: Wrong, jpeg: bytes) -> str:
    state = "within an alarm" if wrong.alarmed else "no alarm"
    words = escape(f"clip {wrong.clip}, frame {wrong.frame}: {wrong.value:.3f}, {state}")
    data = b64encode(jpeg).decode()
    image = f'<img alt="{words}" src="data:image/jpeg;base64,{data}">'
    return f"<figure>{image}<figcaption>{words}</figcaption></figure>"


def _clip(evaluation: Evaluation, clip: ClipScores) -> str:
    """Its values over time, anomalous stretches shaded, alarms at the foot."""
    values, frames = evaluation.values[clip.name], clip.first + np.arange(len(clip.psnr_db))
    spans = []
    if evaluation.labels is not None:
        shaded = runs(evaluation.labels[clip.name] != 0)
        spans += [
            Span(clip.first + first, clip.first + last + 1, "anomalous") for first, last in shaded
        ]
    alarms = (
        [alarm for alarm in evaluation.events.alarms if alarm.clip == clip.name]
        if evaluation.events
        else []
    )
    spans += [
        Span(alarm.since, alarm.last + 1, "false" if alarm.false else "alarm") for alarm in alarms
    ]
    shown = ("causal", "local", "per_video_minmax")
    lines = [Line(NAMES[way], frames, getattr(values, WAYS[way])) for way in shown]
    chart = Chart("frame", "value", (0, max(1, clip.frames)), (0, 1), width_px=900, height_px=170)
    level = evaluation.events.policy.threshold if evaluation.events else None
    return f"<h3>{escape(clip.name)}</h3>" + chart.draw(lines, spans, level)
