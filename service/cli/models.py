"""The commands around checkpoints: calibrate, import, list."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from lookout.service.cli.options import (
    CheckpointFile,
    Data,
    Device,
    Half,
    Out,
    PrecisionOption,
    SampleFps,
    frames_bar,
    next_command,
    save,
)
from lookout.service.core.settings import load_settings

models_app = typer.Typer()


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
    after_calibration(out)


def after_calibration(out: Path) -> None:
    """Print how the service takes the checkpoint."""
    folders = [folder.resolve() for folder in load_settings().model_folders]
    command = f'lookout serve, and "model": "{out.stem}" in the camera'
    if out.resolve().parent not in folders:
        command = f"cp {shlex.quote(str(out))} {shlex.quote(str(folders[0]))}/; {command}"
    next_command(command)


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
    from lookout.models.checkpoint.header import (  # noqa: PLC0415
        TABLE_MODEL,
        find_checkpoints,
        read_header,
    )
    from lookout.models.errors import CheckpointError  # noqa: PLC0415
    from lookout.models.registry import MODELS, make_config  # noqa: PLC0415

    settings = load_settings()
    folders = settings.model_folders
    if settings.models_dir is not None and not settings.models_dir.is_dir():
        typer.echo(f"LOOKOUT_MODELS_DIR: there is no folder {settings.models_dir}", err=True)
    for name, path in find_checkpoints(*folders).items():
        try:
            header = read_header(path)
            spec = make_config(header.model, header.config).input_spec
        except CheckpointError as error:
            typer.echo(f"{name:24} cannot be used: {error}")
            continue
        shape = f"{header.preprocess.width_px}x{header.preprocess.height_px}"
        calibrated = "calibrated" if header.calibration else "not calibrated"
        rate = f"{header.fps:g} fps" if header.fps else "any fps"
        typer.echo(f"{name:24} {header.model:12} {shape:9} {rate:9} {calibrated:15} {spec}")
    for name, reason in find_foreign(*folders).items():
        typer.echo(f"{name:24} cannot be used: {reason}")
    typer.echo("\nlookout train --model:")
    for name in MODELS:
        typer.echo(f"{name:24} {make_config(name, {}).input_spec}")
    typer.echo(f"{TABLE_MODEL:24} rows of numbers: docs/training.md")
