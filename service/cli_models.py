"""The commands around checkpoints: train, calibrate, evaluate, import, list."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.errors import DataError
from service import __version__
from service.lifecycle import stop_on_signals
from service.settings import load_settings

if TYPE_CHECKING:
    from models.checkpoint import Checkpoint
    from models.family import Config
    from models.guard import MemoryRule
    from models.preprocess import Preprocess
    from models.training.footage import Footage
    from models.training.loop import Progress, Trainer, TrainOptions
    from models.training.rows import Row
    from models.training.session import Files
    from models.training.validation import Validation

models_app = typer.Typer()

INTERRUPTED = 130


class PrecisionChoice(StrEnum):
    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


class MemoryChoice(StrEnum):
    CARRIED = "carried"
    PER_CLIP = "per-clip"


class BestChoice(StrEnum):
    PSNR = "psnr"
    AUC = "auc"


class ScoreChoice(StrEnum):
    PAPER = "paper"
    LOCAL = "local"


class UpdateChoice(StrEnum):
    PAPER = "paper"
    GUARDED = "guarded"


Data = Annotated[Path, typer.Option(help="a set's folder (train/, test/, labels), or one of clips: videos or images")]
CheckpointFile = Annotated[Path, typer.Option(help="a checkpoint of Lookout's")]
Out = Annotated[Path, typer.Option(help="the checkpoint to write")]
Memory = Annotated[MemoryChoice, typer.Option(help="carried from clip to clip, as the authors do, or reset")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")]


@models_app.command()
def train(
    data: Data,
    out: Out,
    model: Annotated[str, typer.Option(help="what to train")] = "mnad-pred",
    epochs: Annotated[int, typer.Option(min=1)] = 60,
    batch: Annotated[int, typer.Option(min=1)] = 4,
    learning_rate: Annotated[float, typer.Option(min=1e-9)] = 2e-4,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    width: Annotated[
        int | None, typer.Option(help="channels of the first stage  [default: as published]", min=1)
    ] = None,
    dim: Annotated[
        int | None, typer.Option(help="D, length of an item or code  [default: in proportion to the width]", min=1)
    ] = None,
    items: Annotated[
        int | None, typer.Option(help="M, items of the memory, or clusters  [default: as published]", min=2)
    ] = None,
    size: Annotated[int, typer.Option(help="side of the square input, px", min=8)] = 256,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="another number than the published one, for instance loss_separate=0", metavar="NAME=X"
        ),
    ] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="a wide checkpoint of MNAD, whose queries a narrow one is to learn too")
    ] = None,
    precision: PrecisionChoice = PrecisionChoice.FP32,
    device: Device = "auto",
    half: Annotated[bool, typer.Option("--half", help="store the weights in float16")] = False,
    held_out: Annotated[
        float, typer.Option(help="share of the normal clips to measure on and not to train on", min=0, max=0.9)
    ] = 0.0,
    validate: Annotated[Path | None, typer.Option(help="other normal clips to measure on")] = None,
    validate_every: Annotated[int, typer.Option(help="steps; 0: an epoch", min=0)] = 0,
    best_by: Annotated[
        BestChoice, typer.Option(help="PSNR of held-out clips, or AUC of generated anomalies")
    ] = BestChoice.PSNR,
    patience: Annotated[int, typer.Option(help="measurements without a new best before the end; 0: all", min=0)] = 0,
    minutes: Annotated[
        float, typer.Option(help="of training a run, if its epochs take longer; 0: no limit", min=0)
    ] = 0.0,
    seeds: Annotated[int, typer.Option(help="so many runs, NAME-seedK each, with mean and deviation", min=1)] = 1,
    deterministic: Annotated[bool, typer.Option("--deterministic", help="the same bits on the same machine")] = False,
    compiled: Annotated[bool, typer.Option("--compile", help="torch.compile: pays on a GPU")] = False,
) -> None:
    """Train on normal clips, to the last epoch or what ends it before: --patience, --minutes.

    Stopped or killed, the same command goes on where it was.
    """
    from models.device import choose_device, choose_precision  # noqa: PLC0415
    from models.header import read_header  # noqa: PLC0415
    from models.preprocess import Preprocess  # noqa: PLC0415
    from models.registry import changed, sized  # noqa: PLC0415
    from models.training import determinism, loop, session  # noqa: PLC0415

    where = choose_device(device)
    config = sized(model, width=width, dim=dim, items=items, height_px=size, width_px=size)
    config = changed(config, _named(values or []))
    if teacher is not None:
        config = _taught(config, _named(values or []), compiled=compiled)
        read_header(teacher)
    preprocess = Preprocess(config.height_px, config.width_px)
    footage, validation = _footage(data, preprocess, config, held_out, validate, seed)
    if patience and validation is None:
        raise DataError("--patience needs clips to measure on: --held-out 0.1, or --validate FOLDER")
    options = loop.TrainOptions(
        epochs, batch, learning_rate, seed, choose_precision(precision.value, where), where, validate_every, patience
    )
    options = replace(
        options, best_by=best_by.value, deterministic=deterministic, compiled=compiled, most_s=60 * minutes
    )
    files = session.Files(out)
    runs = {k: files if seeds == 1 else files.of_seed(k) for k in range(seed, seed + seeds)}
    with stop_on_signals() as stop, determinism.deterministic(deterministic):
        held = f", {len(validation.footage.clips)} held out" if validation else ""
        typer.echo(f"{len(footage.windows)} windows of {len(footage.clips)} clips{held}, {epochs} epochs, on {where}")
        for k, own in runs.items():
            trainer = _trainer(config, replace(options, seed=k), footage, validation, teacher)
            if seeds > 1 and session.finished(trainer, own):
                typer.echo(f"{own.out} is there already")
                continue
            run_training(trainer, own, preprocess, half, stop.is_set)
    if seeds > 1:
        _over_seeds(files, {k: own.out for k, own in runs.items()})


def _taught(config: Config, changed: dict[str, str], *, compiled: bool) -> Config:
    """The configuration of a network that a teacher trains: without the losses that it then has not."""
    from models.mnad import MnadConfig  # noqa: PLC0415

    if not isinstance(config, MnadConfig):
        raise DataError("--teacher is for mnad-pred and mnad-recon: what it teaches are the queries of their memory")
    if compiled:
        raise DataError("--teacher and --compile: take one of them")
    if unused := sorted({"loss_compact", "loss_separate"} & set(changed)):
        raise DataError(f"--set {unused[0]}: with --teacher the memory is the teacher's, and has no loss of its own")
    return replace(config, loss_compact=0.0, loss_separate=0.0)


def _trainer(
    config: Config, options: TrainOptions, footage: Footage, validation: Validation | None, teacher: Path | None
) -> Trainer:
    """Of one run: it learns alone, or from a teacher."""
    from models.checkpoint import digest, load_checkpoint  # noqa: PLC0415
    from models.mnad import MnadConfig  # noqa: PLC0415
    from models.training.apprentice import Apprentice  # noqa: PLC0415
    from models.training.loop import Trainer  # noqa: PLC0415
    from models.training.teacher import Teacher  # noqa: PLC0415

    if teacher is None or not isinstance(config, MnadConfig):
        return Trainer(config, options, footage, validation)
    wide = Teacher(load_checkpoint(teacher), digest(teacher), config, footage, options)
    return Apprentice(config, options, footage, wide, validation)


def _named(values: list[str]) -> dict[str, str]:
    """NAME=X of the command line. Raises DataError for anything else."""
    for value in values:
        if "=" not in value:
            raise DataError(f"--set takes NAME=X, for instance loss_separate=0, not {value!r}")
    return dict(value.split("=", 1) for value in values)


def _footage(
    data: Path, preprocess: Preprocess, config: Config, held_out: float, validate: Path | None, seed: int
) -> tuple[Footage, Validation | None]:
    """What to train on, and what to measure on, if anything."""
    from models.training.footage import Footage, train_clips  # noqa: PLC0415
    from models.training.validation import Validation, split  # noqa: PLC0415

    if held_out and validate:
        raise DataError("--held-out and --validate: take one of them")
    frames = config.needs.frames
    footage = Footage.load(train_clips(data), preprocess, frames)
    if validate:
        return footage, Validation(Footage.load(train_clips(validate), preprocess, frames), config, seed)
    if not held_out:
        return footage, None
    footage, held = split(footage, held_out, seed)
    return footage, Validation(held, config, seed)


def run_training(
    trainer: Trainer,
    files: Files,
    preprocess: Preprocess,
    half: bool,
    should_stop: Callable[[], bool],
    note: Callable[[], dict[str, object]] = dict,
) -> None:
    """One run, from its state where there is one. note: what a checkpoint's provenance says besides."""
    from models.training import loop, session  # noqa: PLC0415

    if session.begin(trainer, files):
        typer.echo(f"going on from {files.state} (epoch {trainer.epoch}, step {trainer.step_in_epoch})")
    try:
        with _steps(trainer) as (report, tell):
            session.run(
                trainer,
                files,
                lambda: trainer.checkpoint(preprocess, provenance() | note()),
                lambda path, checkpoint: _write(path, checkpoint, half),
                report=report,
                tell=tell,
                should_stop=should_stop,
            )
    except loop.StoppedError:
        typer.echo(f"stopped; the same command goes on from {files.state}")
        raise typer.Exit(INTERRUPTED) from None
    _wrote(files.out)


def _over_seeds(files: Files, outs: dict[int, Path]) -> None:
    from models.training import session, tables  # noqa: PLC0415

    found = session.over_seeds(outs)
    tables.write_text(files.summary, json.dumps(found | provenance(), indent=1) + "\n")
    for name, spread in found["over_seeds"].items():
        typer.echo(f"{name} over {len(outs)} seeds: {spread['mean']:.4g}, deviation {spread['deviation']:.2g}")
    typer.echo(f"wrote {files.summary}")


@models_app.command()
def calibrate(
    checkpoint: CheckpointFile,
    data: Data,
    out: Out,
    precision: PrecisionChoice = PrecisionChoice.AUTO,
    device: Device = "auto",
    half: Annotated[bool, typer.Option("--half", help="store the weights in float16")] = False,
) -> None:
    """Take the bounds of PSNR, distance and gate error from normal clips and store them in the checkpoint."""
    from models.checkpoint import load_checkpoint  # noqa: PLC0415
    from models.device import choose_device, choose_precision  # noqa: PLC0415
    from models.training import calibrate  # noqa: PLC0415
    from models.training.footage import train_clips  # noqa: PLC0415

    where = choose_device(device)
    loaded = load_checkpoint(checkpoint)
    clips = train_clips(data)
    with frames_bar(clips, "calibrating", loaded.config.needs.frames) as on_frame:
        done = calibrate.calibrate(
            loaded, clips, device=where, precision=choose_precision(precision.value, where), on_frame=on_frame
        )
    _save(out, done, half)
    bounds = done.calibration
    if bounds is not None:
        gate = "" if bounds.gate_error is None else f", gate error {bounds.gate_error:.3g}"
        typer.echo(
            f"normal over {bounds.frames} frames: PSNR {bounds.psnr_low_db:.2f} to {bounds.psnr_high_db:.2f} dB, "
            f"distance {bounds.distance_low:.3g} to {bounds.distance_high:.3g}{gate}"
        )


@models_app.command()
def evaluate(
    checkpoint: CheckpointFile,
    data: Data,
    precision: PrecisionChoice = PrecisionChoice.FP32,
    memory: Annotated[
        MemoryChoice, typer.Option(help="carried over the clips, as the authors do")
    ] = MemoryChoice.CARRIED,
    update: Annotated[
        UpdateChoice, typer.Option(help="of the memory: as published, or guarded for cameras that run for months")
    ] = UpdateChoice.PAPER,
    gate: Annotated[
        float | None, typer.Option(help="gate errors below it update the memory  [default: γ, or as calibrated]")
    ] = None,
    alpha: Annotated[float | None, typer.Option(help="λ  [default: the checkpoint's]", min=0, max=1)] = None,
    score: Annotated[ScoreChoice, typer.Option(help="whose live values the alarms are of")] = ScoreChoice.PAPER,
    threshold: Annotated[
        float | None, typer.Option(help="of an alarm  [default: LOOKOUT_ALERT_THRESHOLD]", min=0, max=1)
    ] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="write the summary here")] = None,
    scores: Annotated[Path | None, typer.Option(help="write every frame's numbers here, .npz or .csv")] = None,
    plots: Annotated[Path | None, typer.Option(help="write a plot of each clip into this folder")] = None,
    report: Annotated[Path | None, typer.Option(help="write curves and the worst frames here, .html")] = None,
    fps: Annotated[
        float | None, typer.Option(help="frame rate of clips that do not say theirs: folders of images", min=0.01)
    ] = None,
    device: Device = "auto",
) -> None:
    """Score the test clips; frame AUC and AP with per-video min-max, without, and live; events and false alarms."""
    from models.checkpoint import digest, load_checkpoint  # noqa: PLC0415
    from models.device import choose_device, choose_precision  # noqa: PLC0415
    from models.scorer import Scorer  # noqa: PLC0415
    from models.training import evaluate, tables  # noqa: PLC0415
    from models.training.events import AlarmRule  # noqa: PLC0415
    from models.training.footage import evaluation_clips  # noqa: PLC0415
    from models.training.report import as_html  # noqa: PLC0415

    tables.check_suffix("--scores", scores, ".npz", ".csv")
    tables.check_suffix("--report", report, ".html")
    settings = load_settings(alert_threshold=threshold)
    alarm = AlarmRule(
        settings.alert_threshold,
        settings.alert_hysteresis,
        settings.alert_min_duration_s,
        settings.alert_clear_after_s,
    )
    where = choose_device(device)
    chosen = choose_precision(precision.value, where)
    loaded = load_checkpoint(checkpoint)
    rule = _rule(loaded, update, gate)
    scorer = Scorer(loaded, where, chosen)
    with frames_bar(evaluation_clips(data), "scoring", scorer.t_length) as on_frame:
        found = evaluate.evaluate(
            scorer,
            data,
            carry_memory=memory is MemoryChoice.CARRIED,
            rule=rule,
            lambda_=alpha,
            learn_frames=settings.learn_frames,
            scheme=score.value,
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
    options |= {"memory": memory.value, "update": update.value, "gate": rule.gate}
    options |= {"alpha": found.lambda_, "device": where}
    options |= provenance()
    summary = evaluate.summary(found) | options
    if json_out is not None:
        tables.write_text(json_out, json.dumps(summary, indent=1) + "\n")
    if scores is not None:
        tables.write_scores(scores, found)
    if plots is not None:
        tables.write_plots(plots, found)
    if report is not None:
        tables.write_text(report, as_html(found, evaluation_clips(data), options))
    typer.echo(tables.as_lines(found))


@models_app.command("import-mnad")
def import_mnad(
    weights: Annotated[Path, typer.Argument(help="the authors' weights as safetensors, with their memory as m_items")],
    out: Out,
) -> None:
    """Take over a checkpoint of the MNAD authors' code (3 input channels: B, G, R)."""
    from models.training.import_mnad import import_mnad  # noqa: PLC0415

    _save(out, import_mnad(weights), half=False)


@models_app.command("models")
def list_models() -> None:
    """The checkpoints in the models folder, what each is and needs; and the models that can be trained."""
    from models.errors import CheckpointError  # noqa: PLC0415
    from models.header import find_checkpoints, read_header  # noqa: PLC0415
    from models.registry import MODELS, make_config  # noqa: PLC0415

    folder = load_settings().models_dir
    for name, path in find_checkpoints(folder).items():
        try:
            header = read_header(path)
            needs = make_config(header.model, header.config).needs
        except CheckpointError as error:
            typer.echo(f"{name:24} cannot be used: {error}")
            continue
        shape = f"{header.preprocess.width_px}x{header.preprocess.height_px}"
        calibrated = "calibrated" if header.calibration else "not calibrated"
        typer.echo(f"{name:24} {header.model:12} {shape:9} {calibrated:15} {needs}")
    typer.echo("\nlookout train --model:")
    for name in MODELS:
        typer.echo(f"{name:24} {make_config(name, {}).needs}")


def _rule(checkpoint: Checkpoint, update: UpdateChoice, gate: float | None) -> MemoryRule:
    """The rule of the memory's update; a given gate goes before the published and the calibrated one."""
    from models.guard import MemoryRule  # noqa: PLC0415
    from models.training.evaluate import guarded_rule  # noqa: PLC0415

    paper = update is UpdateChoice.PAPER
    rule = MemoryRule.paper(checkpoint.config.needs.gate) if paper else guarded_rule(checkpoint)
    return rule if gate is None else replace(rule, gate=gate)


def _save(out: Path, checkpoint: Checkpoint, half: bool) -> None:
    _write(out, checkpoint, half)
    _wrote(out)


def _write(path: Path, checkpoint: Checkpoint, half: bool) -> None:
    import torch  # noqa: PLC0415

    from models.checkpoint import save_checkpoint  # noqa: PLC0415

    save_checkpoint(path, checkpoint, torch.float16 if half else torch.float32)


def _wrote(path: Path) -> None:
    from models.checkpoint import digest  # noqa: PLC0415

    typer.echo(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB, sha256 {digest(path)})")


def provenance() -> dict[str, object]:
    """The command as it was given, without the folders of this machine."""
    words = [Path(word).name if "/" in word else word for word in sys.argv[1:]]
    return {"lookout": __version__, "command": " ".join(["lookout", *words])}


@contextmanager
def _steps(trainer: Trainer) -> Iterator[tuple[Callable[[Progress], None], Callable[[Row], None]]]:
    """A progress bar over training steps, with rate and time left, and a line for each row above it."""
    from rich import progress  # noqa: PLC0415

    from models.training import rows, session  # noqa: PLC0415

    pace, text = session.Pace(trainer.steps_done), progress.TextColumn("{task.description}")
    with progress.Progress(text, progress.BarColumn(), progress.MofNCompleteColumn()) as bar:
        task = bar.add_task("training", completed=trainer.steps_done, total=trainer.steps)

        def report(now: Progress) -> None:
            text = f"epoch {now.epoch + 1}  loss {now.loss:.5f}  PSNR {now.psnr_db:.2f} dB"
            bar.update(task, description=f"{text}  {pace(now.step, now.steps, trainer.left_s)}", completed=now.step)

        def tell(row: Row) -> None:
            line = f"{rows.as_text(row, trainer.options.epochs)}; {pace(row.step, trainer.steps, trainer.left_s)}"
            bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

        yield report, tell


@contextmanager
def frames_bar(clips: list[Path], what: str, t_length: int) -> Iterator[Callable[[], None]]:
    """A progress bar over the scored frames of some clips: all but the first T - 1 of each."""
    from rich.progress import Progress  # noqa: PLC0415

    from models.training.footage import frames_announced  # noqa: PLC0415

    total = sum(max(0, frames_announced(path) - t_length + 1) for path in clips)
    with Progress() as bar:
        task = bar.add_task(what, total=total or None)
        yield lambda: bar.advance(task)
