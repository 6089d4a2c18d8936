"""The recipe for a GPU machine: a training that ends in time, its table, and a checkpoint in parts that can be sent."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookout.models.errors import DataError
from lookout.service.cli.options import (
    Data,
    Device,
    Out,
    PrecisionChoice,
    Seed,
    finite,
    frames_bar,
    provenance,
    write,
)
from lookout.service.cli.train import run_training
from lookout.service.core.lifecycle import stop_on_signals

if TYPE_CHECKING:
    from lookout.models.base import Config
    from lookout.models.training.run_files import Files
    from lookout.models.training.trainer import TrainOptions

recipe_app = typer.Typer()


@recipe_app.command()
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
    held_out: Annotated[
        float,
        typer.Option(
            help="share of the normal clips to choose and to calibrate on",
            min=0.01,
            max=0.9,
            callback=finite,
        ),
    ] = 0.1,
    precision: PrecisionChoice = PrecisionChoice.AUTO,
    device: Device = "auto",
    compiled: Annotated[
        bool | None,
        typer.Option("--compile/--no-compile", help="try torch.compile  [default: on a GPU]"),
    ] = None,
) -> None:
    """Train in a given time, calibrate, evaluate, print the table. Killed, the same command goes on."""
    from lookout.models.device import choose_device, choose_precision  # noqa: PLC0415
    from lookout.models.evaluation import evaluate  # noqa: PLC0415
    from lookout.models.evaluation.report import tables  # noqa: PLC0415
    from lookout.models.registry import sized  # noqa: PLC0415
    from lookout.models.training import parts, recipe  # noqa: PLC0415
    from lookout.models.training import run_files as session  # noqa: PLC0415
    from lookout.models.training.trainer import TrainOptions  # noqa: PLC0415

    evaluate.require_clips(data)  # what the training is for must not fail after it
    where = choose_device(device)
    config = sized(model, width=width, height_px=size, width_px=size)
    rate = recipe.learning_rate(batch) if learning_rate is None else learning_rate
    options = TrainOptions(
        epochs, batch, rate, seed, choose_precision(precision.value, where), where
    )
    options = replace(
        options,
        most_s=60 * minutes,
        compiled=where.startswith("cuda") if compiled is None else compiled,
    )
    files = session.Files(out / f"{model}.safetensors").of_seed(seed)
    found, held = _train(data, config, options, held_out, files)
    found |= _measure(data, held, files.out, options) | provenance()
    tables.write_text(recipe.result_file(files), json.dumps(found, indent=1) + "\n")
    manifest = parts.cut(files.out)
    typer.echo(recipe.table(recipe.results(out, typer.echo)))
    typer.echo(f"lookout join {manifest} --out {files.out.name} puts the checkpoint together again")


@recipe_app.command()
def join(
    manifest: Annotated[
        Path, typer.Argument(help="NAME.safetensors.parts.json, with the parts beside it")
    ],
    out: Out,
) -> None:
    """Put a checkpoint together again from its parts."""
    from lookout.models.checkpoint.file import digest  # noqa: PLC0415
    from lookout.models.training import parts  # noqa: PLC0415

    parts.join(manifest, out)
    typer.echo(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB, sha256 {digest(out)})")


def _train(
    data: Path, config: Config, options: TrainOptions, held_out: float, files: Files
) -> tuple[dict[str, Any], list[Path]]:
    """What was trained, and the clips that were not trained on."""
    from lookout.models.data.clips import Footage, train_clips  # noqa: PLC0415
    from lookout.models.media.preprocess import Preprocess  # noqa: PLC0415
    from lookout.models.training import determinism, recipe  # noqa: PLC0415
    from lookout.models.training import run_files as session  # noqa: PLC0415
    from lookout.models.training.trainer import Trainer  # noqa: PLC0415
    from lookout.models.training.validation import Validation, split  # noqa: PLC0415

    clips, preprocess = train_clips(data), Preprocess(config.height_px, config.width_px)
    if len(clips) < 2:
        raise DataError(
            f"{data.name} has one normal clip; the recipe needs two, to train on and to calibrate on"
        )
    footage, held = split(
        Footage.load(clips, preprocess, config.input_spec.frames), held_out, options.seed
    )
    validation = Validation(held, config, options.seed)
    with stop_on_signals() as stop, determinism.fastest():
        fitted = recipe.planned(
            config, options, footage, validation, recipe.plan_file(files), typer.echo
        )
        trainer = Trainer(config, fitted, footage, validation)
        if not session.finished(trainer, files):
            run_training(
                trainer,
                files,
                preprocess,
                half=True,
                should_stop=stop.is_set,
                note=lambda: {recipe.TRAINING_S: trainer.clock.spent_s},
            )
    found = recipe.trained(files, fitted, trainer.steps_per_epoch, options.epochs)
    return found, [path for path in clips if path.name in held.names]


def _measure(data: Path, held: list[Path], path: Path, options: TrainOptions) -> dict[str, Any]:
    """Calibrate the checkpoint on the clips that were held out, and evaluate it as it then lies there."""
    from lookout.models.checkpoint.file import digest, load_checkpoint  # noqa: PLC0415
    from lookout.models.data.clips import evaluation_clips, whole_clip  # noqa: PLC0415
    from lookout.models.evaluation import calibrate, evaluate  # noqa: PLC0415
    from lookout.models.scorer import Scorer  # noqa: PLC0415
    from lookout.models.training import recipe  # noqa: PLC0415

    checkpoint = load_checkpoint(path)
    frames, where, precision = (
        checkpoint.config.input_spec.frames,
        options.device,
        options.precision,
    )
    with frames_bar(held, "calibrating", frames) as on_frame:
        done = calibrate.calibrate(
            checkpoint, held, device=where, precision=precision, on_frame=on_frame
        )
    write(path, done, half=True)
    scorer = Scorer(load_checkpoint(path), where, precision)
    rates = recipe.scoring_rates(
        scorer, whole_clip(held[0], checkpoint.preprocess, frames)[:frames]
    )
    with frames_bar(evaluation_clips(data), "scoring", frames) as on_frame:
        found = evaluate.evaluate(scorer, data, regions=False, on_frame=on_frame)
    return evaluate.summary(found) | {
        "scoring_frames_per_s": rates,
        "checkpoint": path.name,
        "checkpoint_sha256": digest(path),
    }
