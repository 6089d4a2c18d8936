"""`lookout benchmark`: the memory of places on scenes, beside the copy of the last frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookout.models.errors import DataError
from lookout.service.cli.options import (
    BeganOption,
    BudgetOption,
    FpsOption,
    finite,
    frames_bar,
    instant,
    provenance,
)
from lookout.service.core.settings import load_settings

if TYPE_CHECKING:
    from lookout.models.evaluation.benchmark import SceneResult

benchmark_app = typer.Typer()

ScenesArgument = Annotated[
    list[Path],
    typer.Argument(
        help="folders of scenes, each with normal clips, test clips and labels",
        exists=True,
        file_okay=False,
    ),
]
NormalMinutes = Annotated[
    float | None,
    typer.Option(
        help="of normal footage to learn from each scene  [default: all there is]",
        min=0.05,
        callback=finite,
    ),
]
AlarmsOption = Annotated[
    float,
    typer.Option(
        help="an hour that may be false, for the recall of events", min=0, callback=finite
    ),
]
BudgetReportOption = Annotated[
    Path | None, typer.Option(help="write the course of each scene's alarm budget here, as .html")
]
NumbersOption = Annotated[Path | None, typer.Option("--json", help="write every number here")]


@benchmark_app.command()
def benchmark(
    scenes: ScenesArgument,
    minutes: NormalMinutes = None,
    false_alarms: AlarmsOption = 1.0,
    alarm_budget: BudgetOption = None,
    began: BeganOption = None,
    fps: FpsOption = None,
    report: BudgetReportOption = None,
    json_out: NumbersOption = None,
) -> None:
    """Learn each scene's normal clips, score its test clips, compare with the last frame's copy."""
    from lookout.models.data.clips import evaluation_clips, train_clips  # noqa: PLC0415
    from lookout.models.evaluation.benchmark import SCORES, run_scene  # noqa: PLC0415
    from lookout.models.evaluation.report.budgets import budgets_html  # noqa: PLC0415
    from lookout.models.evaluation.report.tables import check_suffix  # noqa: PLC0415
    from lookout.models.media.atomic_file import write_text  # noqa: PLC0415
    from lookout.models.scoring.alert_policy import AlertPolicy  # noqa: PLC0415

    settings = load_settings()
    policy = AlertPolicy(
        hysteresis=settings.alert_hysteresis,
        min_duration_s=settings.alert_min_duration_s,
        clear_after_s=settings.alert_clear_after_s,
        cooldown_s=settings.alert_cooldown_s,
    )
    check_suffix("--report", report, ".html")
    if report is not None and alarm_budget is None:
        raise DataError("--report shows an alarm budget: give one (--alarm-budget)")
    if began is not None and alarm_budget is None:
        raise DataError("--began is for an alarm budget: give one (--alarm-budget)")
    began_at = None if began is None else instant(began, settings)
    for path in (json_out, report):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
    typer.echo("all scores: causal, not normalised, over the frames of all clips together")
    results: list[SceneResult] = []
    for scene in scenes:
        clips = [*train_clips(scene, typer.echo), *evaluation_clips(scene, typer.echo)]
        with frames_bar(clips, scene.name, 1) as on_frame:
            result = run_scene(
                scene,
                policy,
                normal_minutes=minutes,
                false_alarms_per_hour=false_alarms,
                alarms_per_day=alarm_budget.per_day if alarm_budget else None,
                began=began_at,
                fps=fps,
                on_frame=on_frame,
            )
        results.append(result)
        typer.echo(as_lines(result, false_alarms))
    if report is not None:
        budgeted = {result.name: result.scores["places"].budgeted for result in results}
        write_text(report, budgets_html(budgeted, {"score": SCORES["places"]} | provenance()))
    if json_out is not None:
        numbers = {
            "false_alarms_per_hour": false_alarms,
            "scenes": [result.as_json() for result in results],
        }
        write_text(json_out, json.dumps(numbers | provenance(), indent=1) + "\n")


def as_lines(result: SceneResult, false_alarms: float) -> str:
    """Return the lines that the user reads about one scene."""
    from lookout.models.evaluation.benchmark import SCORES  # noqa: PLC0415
    from lookout.models.evaluation.report.tables import (  # noqa: PLC0415
        event_words,
        frame_words,
        percent,
    )

    footage = f"{result.normal_frames} frames"
    if result.normal_minutes is not None:
        footage = f"{result.normal_minutes:.1f} minutes"
    lines = [
        f"{result.name}: {footage} of normal footage learned in {result.learn_cpu_s:.0f} s of CPU; "
        f"{result.score_cpu_ms:.1f} ms of CPU a frame"
    ]
    for name, score in result.scores.items():
        line = f"  frame AUC, {SCORES[name]}: {frame_words(score.frames)}"
        if score.events is not None:
            line += (
                f"; {percent(score.recall_percent)} of {score.events} events "
                f"at {false_alarms:g} false an hour"
            )
        lines.append(line)
        if score.budgeted is not None:
            lines += [f"    {words}" for words in event_words(score.budgeted).splitlines()]
    return "\n".join(lines)
