"""lookout train: from a folder of normal clips to a checkpoint, told as it goes on; stopped, it goes on later."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookout.models.errors import DataError
from lookout.service.cli.options import (
    Data,
    Device,
    Out,
    PrecisionChoice,
    SampleFps,
    Seed,
    finite,
    provenance,
    write,
    wrote,
)
from lookout.service.core.lifecycle import stop_on_signals

if TYPE_CHECKING:
    from lookout.models.base import Config
    from lookout.models.data.clips import Footage
    from lookout.models.media.preprocess import Preprocess
    from lookout.models.training.loop import Progress
    from lookout.models.training.progress import Row
    from lookout.models.training.run_files import Files
    from lookout.models.training.trainer import Trainer, TrainOptions
    from lookout.models.training.validation import Validation

train_app = typer.Typer()

INTERRUPTED = 130


class BestChoice(StrEnum):
    PSNR = "psnr"
    AUC = "auc"


@train_app.command()
def train(
    data: Data,
    out: Out,
    model: Annotated[str, typer.Option(help="what to train")] = "mnad-pred",
    epochs: Annotated[int, typer.Option(help="over all windows", min=1)] = 60,
    batch: Annotated[int, typer.Option(help="windows a step", min=1)] = 4,
    learning_rate: Annotated[
        float,
        typer.Option(help="of Adam at the beginning; it falls to 0", min=1e-9, callback=finite),
    ] = 2e-4,
    seed: Seed = 0,
    width: Annotated[
        int | None, typer.Option(help="channels of the first stage  [default: as published]", min=1)
    ] = None,
    dim: Annotated[
        int | None,
        typer.Option(
            help="D, length of an item or code  [default: in proportion to the width]", min=1
        ),
    ] = None,
    items: Annotated[
        int | None,
        typer.Option(help="M, items of the memory, or clusters  [default: as published]", min=2),
    ] = None,
    size: Annotated[int, typer.Option(help="side of the square input, px", min=8)] = 256,
    sample_fps: SampleFps = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="another number than the published one, for instance loss_separate=0",
            metavar="NAME=X",
        ),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(help="a wide checkpoint of MNAD, whose queries a narrow one is to learn too"),
    ] = None,
    precision: PrecisionChoice = PrecisionChoice.FP32,
    device: Device = "auto",
    half: Annotated[bool, typer.Option("--half", help="store the weights in float16")] = False,
    held_out: Annotated[
        float,
        typer.Option(
            help="share of the normal clips to measure on and not to train on",
            min=0,
            max=0.9,
            callback=finite,
        ),
    ] = 0.0,
    validate: Annotated[Path | None, typer.Option(help="other normal clips to measure on")] = None,
    validate_every: Annotated[int, typer.Option(help="steps; 0: an epoch", min=0)] = 0,
    best_by: Annotated[
        BestChoice, typer.Option(help="PSNR of held-out clips, or AUC of generated anomalies")
    ] = BestChoice.PSNR,
    patience: Annotated[
        int,
        typer.Option(
            help="end after so many measurements without a new best; 0: never before the last epoch",
            min=0,
        ),
    ] = 0,
    minutes: Annotated[
        float,
        typer.Option(
            help="end after so many of training, wherever it stands; 0: no limit",
            min=0,
            callback=finite,
        ),
    ] = 0.0,
    seeds: Annotated[
        int, typer.Option(help="so many runs, NAME-seedK each, with mean and deviation", min=1)
    ] = 1,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="the same bits on the same machine")
    ] = False,
    compiled: Annotated[
        bool, typer.Option("--compile", help="torch.compile: meant for a GPU")
    ] = False,
) -> None:
    """Train on normal clips, to the last epoch or what ends it before: --patience, --minutes.

    Stopped or killed, the same command goes on where it was.
    """
    from lookout.models.checkpoint.header import read_header, stored_precision  # noqa: PLC0415
    from lookout.models.device import choose_device, choose_precision  # noqa: PLC0415
    from lookout.models.media.preprocess import Preprocess  # noqa: PLC0415
    from lookout.models.registry import changed, sized  # noqa: PLC0415
    from lookout.models.training import determinism  # noqa: PLC0415
    from lookout.models.training import run_files as session  # noqa: PLC0415
    from lookout.models.training.trainer import TrainOptions  # noqa: PLC0415

    where = choose_device(device)
    config = sized(model, width=width, dim=dim, items=items, height_px=size, width_px=size)
    config = changed(config, _named(values or []))
    if teacher is not None:
        config = _taught(config, _named(values or []), compiled=compiled)
        read_header(teacher)
    preprocess = Preprocess(config.height_px, config.width_px)
    footage, validation = _footage(data, preprocess, config, held_out, validate, seed, sample_fps)
    if validation is None and (patience or best_by is BestChoice.AUC):
        option = "--patience" if patience else "--best-by auc"
        raise DataError(f"{option} needs clips to measure on: --held-out 0.1, or --validate FOLDER")
    options = TrainOptions(
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        seed=seed,
        precision=choose_precision(precision.value, where),
        device=where,
        row_every=validate_every,
        patience=patience,
        best_by=best_by.value,
        deterministic=deterministic,
        compiled=compiled,
        most_s=60 * minutes,
    )
    files = session.Files(out)
    sampled: dict[str, object] = {} if sample_fps is None else {"sample_fps": sample_fps}
    runs = {k: files if seeds == 1 else files.of_seed(k) for k in range(seed, seed + seeds)}
    with stop_on_signals() as stop, determinism.deterministic(deterministic):
        held = f", {len(validation.footage.names)} held out" if validation else ""
        typer.echo(
            f"{len(footage.windows)} windows of {len(footage.names)} clips{held}, {epochs} epochs, on {where}"
        )
        for k, own in runs.items():
            trainer = _trainer(config, replace(options, seed=k), footage, validation, teacher)
            if session.finished(trainer, own):
                stored = stored_precision(own.out)
                typer.echo(
                    f"{own.out} is there already, trained so, stored in {stored}; remove it to train it anew"
                )
                continue
            run_training(trainer, own, preprocess, half, stop.is_set, lambda: sampled)
    if seeds > 1:
        _over_seeds(files, {k: own.out for k, own in runs.items()})


def _taught(config: Config, changed: dict[str, str], *, compiled: bool) -> Config:
    """The configuration of a network that a teacher trains: without the losses that it then has not."""
    from lookout.models.mnad import MnadConfig  # noqa: PLC0415

    if not isinstance(config, MnadConfig):
        raise DataError(
            "--teacher is for mnad-pred and mnad-recon: what it teaches are the queries of their memory"
        )
    if compiled:
        raise DataError("--teacher and --compile: take one of them")
    if unused := sorted({"loss_compact", "loss_separate"} & set(changed)):
        raise DataError(
            f"--set {unused[0]}: with --teacher the memory is the teacher's, and has no loss of its own"
        )
    return replace(config, loss_compact=0.0, loss_separate=0.0)


def _trainer(
    config: Config,
    options: TrainOptions,
    footage: Footage,
    validation: Validation | None,
    teacher: Path | None,
) -> Trainer:
    """Of one run: it learns alone, or from a teacher."""
    from lookout.models.checkpoint.file import digest, load_checkpoint  # noqa: PLC0415
    from lookout.models.mnad import MnadConfig  # noqa: PLC0415
    from lookout.models.training.distill.student import Apprentice  # noqa: PLC0415
    from lookout.models.training.distill.teacher import Teacher  # noqa: PLC0415
    from lookout.models.training.trainer import Trainer  # noqa: PLC0415

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
    data: Path,
    preprocess: Preprocess,
    config: Config,
    held_out: float,
    validate: Path | None,
    seed: int,
    sample_fps: float | None,
) -> tuple[Footage, Validation | None]:
    """What to train on, and what to measure on, if anything."""
    from lookout.models.data.clips import Footage, Reading, Room, train_clips  # noqa: PLC0415
    from lookout.models.training.validation import Validation, split  # noqa: PLC0415

    if held_out and validate:
        raise DataError("--held-out and --validate: take one of them")
    frames, reading = config.input_spec.frames, Reading(sample_fps, typer.echo)
    clips, others = train_clips(data), train_clips(validate) if validate else []
    room = Room(clips + others, preprocess, sample_fps)
    footage = Footage.load(clips, preprocess, frames, reading, room)
    if others:
        return footage, Validation(
            Footage.load(others, preprocess, frames, reading, room), config, seed
        )
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
    from lookout.models.training import run_files as session  # noqa: PLC0415
    from lookout.models.training.trainer import StoppedError  # noqa: PLC0415

    if session.begin(trainer, files):
        typer.echo(
            f"going on from {files.state} (epoch {trainer.epoch}, step {trainer.step_in_epoch})"
        )
    try:
        with _steps(trainer) as (report, tell):
            session.run(
                trainer,
                files,
                lambda: trainer.checkpoint(preprocess, provenance() | note()),
                lambda path, checkpoint: write(path, checkpoint, half),
                report=report,
                tell=tell,
                should_stop=should_stop,
            )
    except StoppedError:
        typer.echo(f"stopped; the same command goes on from {files.state}")
        raise typer.Exit(INTERRUPTED) from None
    wrote(files.out)


def _over_seeds(files: Files, outs: dict[int, Path]) -> None:
    from lookout.models.evaluation.report import tables  # noqa: PLC0415
    from lookout.models.training import run_files as session  # noqa: PLC0415

    found = session.over_seeds(outs)
    tables.write_text(files.summary, json.dumps(found | provenance(), indent=1) + "\n")
    for name, spread in found["over_seeds"].items():
        typer.echo(
            f"{name} over {len(outs)} seeds: {spread['mean']:.4g}, deviation {spread['deviation']:.2g}"
        )
    typer.echo(f"wrote {files.summary}")


@contextmanager
def _steps(trainer: Trainer) -> Iterator[tuple[Callable[[Progress], None], Callable[[Row], None]]]:
    """A progress bar over training steps, with rate and time left, and a line for each row above it."""
    from rich import progress  # noqa: PLC0415

    from lookout.models.training import progress as rows  # noqa: PLC0415
    from lookout.models.training import run_files as session  # noqa: PLC0415

    pace, text = session.Pace(trainer.steps_done), progress.TextColumn("{task.description}")
    with progress.Progress(text, progress.BarColumn(), progress.MofNCompleteColumn()) as bar:
        task = bar.add_task("training", completed=trainer.steps_done, total=trainer.steps)

        def going(step: int) -> str:
            return pace(step, trainer.steps, trainer.clock.left_s)

        def report(now: Progress) -> None:
            text = f"epoch {now.epoch + 1}  loss {now.loss:.5f}  PSNR {now.psnr_db:.2f} dB"
            bar.update(task, description=f"{text}  {going(now.step)}", completed=now.step)

        def tell(row: Row) -> None:
            line = f"{rows.as_text(row, trainer.options.epochs)}; {going(row.step)}"
            bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

        yield report, tell
