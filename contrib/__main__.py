"""`python -m contrib recipe …` and `python -m contrib join …`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from contrib import parts
from contrib import recipe as timed
from lookout.models.base import Config
from lookout.models.checkpoint.file import describe_file, load_checkpoint
from lookout.models.checkpoint.header import digest
from lookout.models.data.clips import common_fps, evaluation_clips, train_clips, whole_clip
from lookout.models.data.footage import Footage
from lookout.models.device import choose_device, choose_precision, fastest
from lookout.models.errors import DataError
from lookout.models.evaluation import calibrate, evaluate
from lookout.models.media.atomic_file import write_text
from lookout.models.media.preprocess import Preprocess
from lookout.models.registry import changed, sized
from lookout.models.scorer import Scorer
from lookout.models.training.options import TrainOptions
from lookout.models.training.run import train_to_files
from lookout.models.training.run_files import RunFiles
from lookout.models.training.trainer import StoppedError, Trainer
from lookout.models.training.validation import Validation, split
from lookout.service.cli.entry import run_app
from lookout.service.cli.options import (
    Data,
    Device,
    Out,
    PrecisionOption,
    Seed,
    finite,
    frames_bar,
    parse_changes,
    provenance,
    save,
)
from lookout.service.cli.train import ProgressBar, end_of_stopped
from lookout.service.cli.train_options import SetOption
from lookout.service.core.lifecycle import stop_on_signals

PROGRAM = "python -m contrib"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Helpers for machines with limits of their own.",
)


@app.command()
def recipe(
    data: Data,
    out: Annotated[Path, typer.Option(help="folder for checkpoint, parts and numbers")],
    model: Annotated[str, typer.Option(help="what to train")] = "mnad-pred",
    minutes: Annotated[
        float, typer.Option(help="for the training alone", min=0.01, callback=finite)
    ] = 7.5,
    epochs: Annotated[
        int, typer.Option(help="at most: fewer where they do not fit into the time", min=1)
    ] = 60,
    batch: Annotated[int, typer.Option(help="windows a step", min=1)] = 4,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="of Adam  [default: 2e-4 times the root of batch / 4]", min=1e-9, callback=finite
        ),
    ] = None,
    seed: Seed = 0,
    width: Annotated[
        int | None, typer.Option(help="channels of the first stage  [default: as published]", min=1)
    ] = None,
    size: Annotated[int, typer.Option(help="side of the square input, px", min=8)] = 256,
    values: SetOption = None,
    held_out: Annotated[
        float,
        typer.Option(
            help="share of the normal clips to choose and to calibrate on",
            min=0.01,
            max=0.9,
            callback=finite,
        ),
    ] = 0.1,
    precision: PrecisionOption = "auto",
    device: Device = "auto",
    compiled: Annotated[
        bool | None,
        typer.Option("--compile/--no-compile", help="try torch.compile  [default: on a GPU]"),
    ] = None,
) -> None:
    """Train in a given time, calibrate, evaluate, print the table.

    Killed, the same command goes on.
    """
    evaluate.require_clips(data)  # what the training is for must not fail after it
    chosen_device = choose_device(device)
    config = changed(
        sized(model, width=width, height_px=size, width_px=size), parse_changes(values or [])
    )
    if learning_rate is None:
        learning_rate = timed.learning_rate(batch)
    if compiled is None:
        compiled = chosen_device.startswith("cuda")
    options = TrainOptions(
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        seed=seed,
        precision=choose_precision(precision, chosen_device),
        device=chosen_device,
        compiled=compiled,
        limit_s=60 * minutes,
    )
    files = RunFiles(out / f"{model}.safetensors").for_seed(seed)
    result, calibration_clips = train_in_time(data, config, options, held_out, files)
    result |= calibrate_and_evaluate(data, calibration_clips, files.out, options)
    result |= provenance(PROGRAM)
    write_text(timed.result_file(files), json.dumps(result, indent=1) + "\n")
    manifest = parts.cut(files.out)
    typer.echo(timed.table(timed.results(out, typer.echo)))
    typer.echo(
        f"{PROGRAM} join {manifest} --out {files.out.name} puts the checkpoint together again"
    )


@app.command()
def join(
    manifest: Annotated[
        Path, typer.Argument(help="NAME.safetensors.parts.json, with the parts beside it")
    ],
    out: Out,
) -> None:
    """Put a checkpoint together again from its parts."""
    parts.join(manifest, out)
    typer.echo(f"wrote {describe_file(out)}")


def train_in_time(
    data: Path, config: Config, options: TrainOptions, held_out: float, files: RunFiles
) -> tuple[dict[str, Any], list[Path]]:
    """Train within the time; return the training's result and the clips that were held out.

    Raises DataError, TrainingError, and Exit after a signal.
    """
    clips = train_clips(data)
    preprocess = Preprocess(config.height_px, config.width_px)
    if len(clips) < 2:
        raise DataError(
            f"{data.name} has one normal clip; "
            "the recipe needs two, to train on and to calibrate on"
        )
    footage, held = split(
        Footage.load(clips, preprocess, config.input_spec.frames), held_out, options.seed
    )
    validation = Validation(held, config, options.seed)
    try:
        with stop_on_signals() as stop, fastest(), ProgressBar() as bar:
            fitted = timed.fit_options(
                config, options, footage, validation, timed.plan_file(files), bar.on_message
            )
            trainer = Trainer(config, fitted, footage, validation)

            def notes() -> dict[str, object]:
                return provenance(PROGRAM) | {timed.TRAINING_S: trainer.budget.spent_s}

            if not files.is_finished(trainer):
                fps = common_fps(clips)
                train_to_files(trainer, files, preprocess, bar, stop.is_set, True, notes, fps)
    except StoppedError as stopped:
        raise end_of_stopped(stopped.state) from None
    result = timed.training_result(files, fitted, trainer.steps_per_epoch, options.epochs)
    return result, [path for path in clips if path.name in held.names]


def calibrate_and_evaluate(
    data: Path, calibration_clips: list[Path], path: Path, options: TrainOptions
) -> dict[str, Any]:
    """Calibrate a checkpoint in place and evaluate it; return its part of the result."""
    checkpoint = load_checkpoint(path)
    t_length = checkpoint.config.input_spec.frames
    with frames_bar(calibration_clips, "calibrating", t_length) as on_frame:
        calibrated = calibrate.calibrate(
            checkpoint,
            calibration_clips,
            device=options.device,
            precision=options.precision,
            on_frame=on_frame,
        )
    save(path, calibrated, half=True)
    scorer = Scorer(load_checkpoint(path), options.device, options.precision)
    clip = whole_clip(calibration_clips[0], checkpoint.preprocess, t_length)[:t_length]
    rates = timed.scoring_rates(scorer, clip)
    with frames_bar(evaluation_clips(data), "scoring", t_length) as on_frame:
        evaluation = evaluate.evaluate(scorer, data, regions=False, on_frame=on_frame)
    return evaluate.summary(evaluation) | {
        "scoring_frames_per_s": rates,
        "checkpoint": path.name,
        "checkpoint_sha256": digest(path),
    }


def main() -> None:
    """Run the command; an error is one line."""
    run_app(app, PROGRAM)


if __name__ == "__main__":
    main()
