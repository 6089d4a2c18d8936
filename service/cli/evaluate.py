"""`lookout evaluate`: score labelled clips with a checkpoint; print metrics and write files."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import TypeAdapter, ValidationError

from lookout.models.checkpoint.header import is_table_file
from lookout.models.errors import DataError
from lookout.models.vision.zones import ZoneMask, check_zones
from lookout.service.cli.options import (
    BeganOption,
    BudgetOption,
    CheckpointFile,
    Data,
    Device,
    FpsOption,
    PrecisionOption,
    finite,
    frames_bar,
    instant,
    provenance,
)
from lookout.service.cli.tables import evaluate_rows
from lookout.service.core.camera import MAX_STILL_FRAMES, ZoneSettings
from lookout.service.core.settings import load_settings

if TYPE_CHECKING:
    from lookout.models.checkpoint.file import Checkpoint
    from lookout.models.evaluation.evaluate import Evaluation
    from lookout.models.memory_update import UpdateRule

evaluate_app = typer.Typer()

# The memory and the score
MemoryOption = Annotated[
    Literal["carried", "per-clip"],
    typer.Option(help="carried over the clips, as the authors do"),
]
UpdateOption = Annotated[
    Literal["paper", "guarded"],
    typer.Option(help="of the memory: as published, or guarded for cameras that run for months"),
]
GateOption = Annotated[
    float | None,
    typer.Option(
        help="gate errors below it update the memory  [default: γ, or as calibrated]",
        min=0,
        callback=finite,
    ),
]
AlphaOption = Annotated[
    float | None,
    typer.Option(
        help="λ, share of PSNR in the score  [default: the checkpoint's]",
        min=0,
        max=1,
        callback=finite,
    ),
]

# The alarms
ExactOption = Annotated[
    bool,
    typer.Option("--exact", help="all parts of a score in each frame, not its form for cameras"),
]
ScoreOption = Annotated[
    Literal["paper", "local", "places", "fused"],
    typer.Option(help="whose live values the alarms are of"),
]
NormalOption = Annotated[
    Path | None,
    typer.Option(
        help="normal clips that `places` and `fused` learn from first  "
        "[default: the first frames scored]",
        exists=True,
        file_okay=False,
    ),
]
ZonesOption = Annotated[
    Path | None,
    typer.Option(
        help="zones of the picture, as a camera's field `zones`, .json; ignored ones are left out",
        exists=True,
        dir_okay=False,
    ),
]
StillOption = Annotated[
    int,
    typer.Option(
        help="of a picture that does not change, one frame in so many is scored",
        min=1,
        max=MAX_STILL_FRAMES,
    ),
]
ThresholdOption = Annotated[
    float | None,
    typer.Option(
        help="of an alarm  [default: LOOKOUT_ALERT_THRESHOLD]", min=0, max=1, callback=finite
    ),
]

# What is written
JsonOption = Annotated[Path | None, typer.Option("--json", help="write the summary here")]
ScoresOption = Annotated[
    Path | None, typer.Option(help="write every frame's numbers here, .npz or .csv")
]
PlotsOption = Annotated[
    Path | None, typer.Option(help="write a plot of each clip into this folder")
]
ReportOption = Annotated[
    Path | None, typer.Option(help="write curves and the worst frames here, .html")
]


@evaluate_app.command()
def evaluate(
    context: typer.Context,
    checkpoint: CheckpointFile,
    data: Data,
    precision: PrecisionOption = "fp32",
    memory: MemoryOption = "carried",
    update: UpdateOption = "paper",
    gate: GateOption = None,
    alpha: AlphaOption = None,
    exact: ExactOption = False,
    score: ScoreOption = "paper",
    normal: NormalOption = None,
    zones: ZonesOption = None,
    still_frames: StillOption = 1,
    threshold: ThresholdOption = None,
    alarm_budget: BudgetOption = None,
    began: BeganOption = None,
    json_out: JsonOption = None,
    scores: ScoresOption = None,
    plots: PlotsOption = None,
    report: ReportOption = None,
    fps: FpsOption = None,
    device: Device = "auto",
) -> None:
    """Score the test clips: frame AUC and AP by each normalisation, events and false alarms."""
    if checkpoint.is_file() and is_table_file(checkpoint):
        evaluate_rows(context)
        return
    from lookout.models.base import has_live_form  # noqa: PLC0415
    from lookout.models.checkpoint.file import load_checkpoint  # noqa: PLC0415
    from lookout.models.checkpoint.header import digest  # noqa: PLC0415
    from lookout.models.data.clips import evaluation_clips, train_clips  # noqa: PLC0415
    from lookout.models.device import choose_device, choose_precision  # noqa: PLC0415
    from lookout.models.evaluation import evaluate  # noqa: PLC0415
    from lookout.models.evaluation.report import tables  # noqa: PLC0415
    from lookout.models.scorer import Scorer  # noqa: PLC0415
    from lookout.models.scoring.alert_policy import AlertPolicy  # noqa: PLC0415
    from lookout.models.scoring.normalizer import PLACE_SCHEMES  # noqa: PLC0415

    files = EvaluationFiles(json_out, scores, plots, report)
    files.check()
    if threshold is not None and alarm_budget is not None:
        raise DataError("--alarm-budget stands in place of --threshold: give one of them")
    if began is not None and alarm_budget is None:
        raise DataError("--began is for an alarm budget: give one (--alarm-budget)")
    zones_asked: list[ZoneSettings] = []
    if zones is not None:
        zones_asked = read_zones(zones)
    settings = load_settings(alert_threshold=threshold)
    where = choose_device(device)
    chosen = choose_precision(precision, where)
    loaded = load_checkpoint(checkpoint)
    if not evaluate.require_clips(data):
        typer.echo(f"{data.name} has no labels: scores alone, no AUC and no events")
    rule = update_rule(loaded, update, gate)
    if exact and not has_live_form(loaded.model):
        raise DataError(f"--exact: {loaded.name} has one form alone, which is exact")
    scorer = Scorer(loaded, where, chosen)
    clips = evaluation_clips(data, typer.echo)
    normal_clips: list[Path] = []
    if normal is not None:
        if score not in PLACE_SCHEMES:
            raise DataError("--normal is for --score places and --score fused alone")
        normal_clips = train_clips(normal, typer.echo)
    with frames_bar([*normal_clips, *clips], "scoring", scorer.t_length) as on_frame:
        evaluation = evaluate.evaluate(
            scorer,
            data,
            carry_memory=memory == "carried",
            rule=rule,
            fusion_weight=alpha,
            learn_frames=settings.learn_frames,
            scheme=score,
            alarm=AlertPolicy(
                settings.alert_threshold,
                settings.alert_hysteresis,
                settings.alert_min_duration_s,
                settings.alert_clear_after_s,
                cooldown_s=settings.alert_cooldown_s,
            ),
            alarms_per_day=alarm_budget.per_day if alarm_budget else None,
            began=None if began is None else instant(began, settings),
            keep_heat=report is not None,
            fps=fps,
            exact=exact,
            normal=normal_clips,
            zones=ZoneMask(
                [zone.as_zone() for zone in zones_asked],
                loaded.preprocess.height_px,
                loaded.preprocess.width_px,
            ),
            still_frames=still_frames,
            on_frame=on_frame,
        )
    facts: dict[str, object] = {
        "checkpoint": checkpoint.name,
        "checkpoint_sha256": digest(checkpoint),
        "precision": chosen,
        "memory": memory,
        "update": update,
        "gate": rule.gate,
        "exact": exact or not has_live_form(loaded.model),
        "alpha": evaluation.fusion_weight,
        "zones": [zone.model_dump(exclude={"alert"}) for zone in zones_asked],
        "still_frames": still_frames,
        "learn_frames": settings.learn_frames,
        "device": where,
    }
    typer.echo(tables.as_lines(evaluation))  # first: what cannot be written must not cost it
    files.write(evaluation, facts | provenance(), clips)


@dataclass(frozen=True, slots=True)
class EvaluationFiles:
    """The files that an evaluation is asked for; None: not asked for."""

    json: Path | None
    scores: Path | None  # .npz or .csv
    plots: Path | None  # a folder
    report: Path | None  # .html

    def check(self) -> None:
        """Find out, before any work, what could not be written later.

        Raises DataError for a name of another suffix, ModuleNotFoundError without an extra, and
        OSError for a folder that takes no file.
        """
        from lookout.models.evaluation.report import html, tables  # noqa: F401, PLC0415

        tables.check_suffix("--scores", self.scores, ".npz", ".csv")
        tables.check_suffix("--report", self.report, ".html")
        for path in (self.json, self.scores, self.report):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=path.parent):
                    pass

    def write(self, evaluation: Evaluation, facts: dict[str, object], clips: list[Path]) -> None:
        """Write what is asked for. Raises OSError.

        facts: what was run, name by name. clips: those of the evaluation, for the report.
        """
        from lookout.models.evaluation.evaluate import summary  # noqa: PLC0415
        from lookout.models.evaluation.report import tables  # noqa: PLC0415
        from lookout.models.evaluation.report.html import as_html  # noqa: PLC0415
        from lookout.models.media.atomic_file import write_text  # noqa: PLC0415

        if self.json is not None:
            numbers = summary(evaluation) | facts
            write_text(self.json, json.dumps(numbers, indent=1) + "\n")
        if self.scores is not None:
            tables.write_scores(self.scores, evaluation)
        if self.plots is not None:
            tables.write_plots(self.plots, evaluation)
        if self.report is not None:
            write_text(self.report, as_html(evaluation, clips, facts))


def read_zones(path: Path) -> list[ZoneSettings]:
    """Return the zones of a JSON file, in the form of a camera's field `zones`.

    Raises DataError, with what is wrong in one line, where they cannot be used, and OSError.
    """
    try:
        zones = TypeAdapter(list[ZoneSettings]).validate_json(path.read_bytes())
        check_zones([zone.as_zone() for zone in zones])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataError(f"--zones: {path.name}: {place or 'the list'}: {first['msg']}") from None
    except ValueError as error:
        raise DataError(f"--zones: {path.name}: {error}") from None
    return zones


def update_rule(checkpoint: Checkpoint, update: str, gate: float | None) -> UpdateRule:
    """Return the rule of the memory's update; a given gate replaces that of the rule.

    Raises DataError for a gate of a memory that does not adapt, and CheckpointError where the
    guarded update has no calibration.
    """
    from lookout.models.evaluation.evaluate import guarded_rule  # noqa: PLC0415
    from lookout.models.memory_update import UpdateRule  # noqa: PLC0415

    if gate is not None and checkpoint.config.input_spec.memory != "adapts":
        raise DataError(f"--gate: {checkpoint.name} has no memory that adapts")
    rule = UpdateRule.paper(checkpoint.config.input_spec.gate)
    if update == "guarded":
        rule = guarded_rule(checkpoint)
    if gate is not None:
        rule = replace(rule, gate=gate)
    return rule
