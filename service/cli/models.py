"""The commands around checkpoints: calibrate, evaluate, import, list."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lookout.models.errors import DataError
from lookout.service.cli.options import (
    Data,
    Device,
    Half,
    Out,
    PrecisionOption,
    SampleFps,
    finite,
    frames_bar,
    provenance,
    save,
)
from lookout.service.core.settings import load_settings

if TYPE_CHECKING:
    from lookout.models.checkpoint.file import Checkpoint
    from lookout.models.memory_update import UpdateRule

models_app = typer.Typer()


CheckpointFile = Annotated[Path, typer.Option(help="a checkpoint of Lookout's")]


@models_app.command()
def calibrate(
    checkpoint: CheckpointFile,
    data: Data,
    out: Out,
    sample_fps: SampleFps = None,
    precision: PrecisionOption = "auto",
    device: Device = "auto",
    half: Half = False,
) -> None:
    """Store the bounds of PSNR, distance and gate error of normal clips in the checkpoint."""
    from lookout.models.checkpoint.file import load_checkpoint  # noqa: PLC0415
    from lookout.models.data.clips import Reading, train_clips  # noqa: PLC0415
    from lookout.models.device import choose_device, choose_precision  # noqa: PLC0415
    from lookout.models.evaluation import calibrate  # noqa: PLC0415

    where = choose_device(device)
    loaded = load_checkpoint(checkpoint)
    clips = train_clips(data, typer.echo)
    with frames_bar(clips, "calibrating", loaded.config.input_spec.frames, sample_fps) as on_frame:
        done = calibrate.calibrate(
            loaded,
            clips,
            device=where,
            precision=choose_precision(precision, where),
            reading=Reading(sample_fps, typer.echo),
            on_frame=on_frame,
        )
    save(out, done, half)
    bounds = done.calibration
    if bounds is not None:
        gate = "" if bounds.gate_error is None else f", gate error {bounds.gate_error:.3g}"
        typer.echo(
            f"normal over {bounds.frames} frames: "
            f"PSNR {bounds.psnr_low_db:.2f} to {bounds.psnr_high_db:.2f} dB, "
            f"distance {bounds.distance_low:.3g} to {bounds.distance_high:.3g}{gate}"
        )


@models_app.command()
def evaluate(
    checkpoint: CheckpointFile,
    data: Data,
    precision: PrecisionOption = "fp32",
    memory: Annotated[
        Literal["carried", "per-clip"],
        typer.Option(help="carried over the clips, as the authors do"),
    ] = "carried",
    update: Annotated[
        Literal["paper", "guarded"],
        typer.Option(
            help="of the memory: as published, or guarded for cameras that run for months"
        ),
    ] = "paper",
    gate: Annotated[
        float | None,
        typer.Option(
            help="gate errors below it update the memory  [default: γ, or as calibrated]",
            min=0,
            callback=finite,
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            help="λ, share of PSNR in the score  [default: the checkpoint's]",
            min=0,
            max=1,
            callback=finite,
        ),
    ] = None,
    score: Annotated[
        Literal["paper", "local"], typer.Option(help="whose live values the alarms are of")
    ] = "paper",
    threshold: Annotated[
        float | None,
        typer.Option(
            help="of an alarm  [default: LOOKOUT_ALERT_THRESHOLD]", min=0, max=1, callback=finite
        ),
    ] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="write the summary here")] = None,
    scores: Annotated[
        Path | None, typer.Option(help="write every frame's numbers here, .npz or .csv")
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(help="write a plot of each clip into this folder")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="write curves and the worst frames here, .html")
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            help="frame rate of clips that do not say theirs: folders of images",
            min=0.01,
            max=1000,
            callback=finite,
        ),
    ] = None,
    device: Device = "auto",
) -> None:
    """Score the test clips: frame AUC and AP by each normalisation, events and false alarms."""
    from lookout.models.checkpoint.file import digest, load_checkpoint  # noqa: PLC0415
    from lookout.models.data.clips import evaluation_clips  # noqa: PLC0415
    from lookout.models.device import choose_device, choose_precision  # noqa: PLC0415
    from lookout.models.evaluation import evaluate  # noqa: PLC0415
    from lookout.models.evaluation.report import tables  # noqa: PLC0415
    from lookout.models.evaluation.report.html import as_html  # noqa: PLC0415
    from lookout.models.media.atomic_file import write_text  # noqa: PLC0415
    from lookout.models.scorer import Scorer  # noqa: PLC0415
    from lookout.models.scoring.alert_policy import AlertPolicy  # noqa: PLC0415

    tables.check_suffix("--scores", scores, ".npz", ".csv")
    tables.check_suffix("--report", report, ".html")
    settings = load_settings(alert_threshold=threshold)
    alarm = AlertPolicy(
        settings.alert_threshold,
        settings.alert_hysteresis,
        settings.alert_min_duration_s,
        settings.alert_clear_after_s,
    )
    where = choose_device(device)
    chosen = choose_precision(precision, where)
    loaded = load_checkpoint(checkpoint)
    rule = update_rule(loaded, update, gate)
    scorer = Scorer(loaded, where, chosen)
    clips = evaluation_clips(data, typer.echo)
    with frames_bar(clips, "scoring", scorer.t_length) as on_frame:
        found = evaluate.evaluate(
            scorer,
            data,
            carry_memory=memory == "carried",
            rule=rule,
            fusion_weight=alpha,
            learn_frames=settings.learn_frames,
            scheme=score,
            alarm=alarm,
            keep_heat=report is not None,
            fps=fps,
            on_frame=on_frame,
        )
    options: dict[str, object] = {
        "checkpoint": checkpoint.name,
        "checkpoint_sha256": digest(checkpoint),
        "precision": chosen,
    }
    options |= {"memory": memory, "update": update, "gate": rule.gate}
    options |= {
        "alpha": found.fusion_weight,
        "learn_frames": settings.learn_frames,
        "device": where,
    }
    options |= provenance()
    typer.echo(tables.as_lines(found))  # first: what cannot be written must not cost it
    summary = evaluate.summary(found) | options
    if json_out is not None:
        write_text(json_out, json.dumps(summary, indent=1) + "\n")
    if scores is not None:
        tables.write_scores(scores, found)
    if plots is not None:
        tables.write_plots(plots, found)
    if report is not None:
        write_text(report, as_html(found, clips, options))


@models_app.command("import-mnad")
def import_mnad(
    weights: Annotated[
        Path,
        typer.Argument(help="the authors' weights as safetensors, with their memory as m_items"),
    ],
    out: Out,
) -> None:
    """Take over a checkpoint of the MNAD authors' code (3 input channels: B, G, R)."""
    from lookout.models.checkpoint.import_mnad import import_mnad  # noqa: PLC0415

    save(out, import_mnad(weights), half=False)


@models_app.command("models")
def list_models() -> None:
    """List the checkpoints in the models folders, and the models that can be trained."""
    from lookout.models.checkpoint.foreign import find_foreign  # noqa: PLC0415
    from lookout.models.checkpoint.header import find_checkpoints, read_header  # noqa: PLC0415
    from lookout.models.errors import CheckpointError  # noqa: PLC0415
    from lookout.models.registry import MODELS, make_config  # noqa: PLC0415

    folders = load_settings().model_folders
    for name, path in find_checkpoints(*folders).items():
        try:
            header = read_header(path)
            spec = make_config(header.model, header.config).input_spec
        except CheckpointError as error:
            typer.echo(f"{name:24} cannot be used: {error}")
            continue
        shape = f"{header.preprocess.width_px}x{header.preprocess.height_px}"
        calibrated = "calibrated" if header.calibration else "not calibrated"
        typer.echo(f"{name:24} {header.model:12} {shape:9} {calibrated:15} {spec}")
    for name, reason in find_foreign(*folders).items():
        typer.echo(f"{name:24} cannot be used: {reason}")
    typer.echo("\nlookout train --model:")
    for name in MODELS:
        typer.echo(f"{name:24} {make_config(name, {}).input_spec}")


def update_rule(checkpoint: Checkpoint, update: str, gate: float | None) -> UpdateRule:
    """Return the rule of the memory's update; a given gate replaces that of the rule."""
    from lookout.models.evaluation.evaluate import guarded_rule  # noqa: PLC0415
    from lookout.models.memory_update import UpdateRule  # noqa: PLC0415

    if gate is not None and checkpoint.config.input_spec.memory != "adapts":
        raise DataError(f"--gate: {checkpoint.name} has no memory that adapts")
    published = UpdateRule.paper(checkpoint.config.input_spec.gate)
    rule = published if update == "paper" else guarded_rule(checkpoint)
    return rule if gate is None else replace(rule, gate=gate)
