"""`lookout export`: a checkpoint for other programs, as ONNX or as a folder of a model hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from lookout.models.errors import DataError
from lookout.service.cli.options import CheckpointFile, next_command

export_app = typer.Typer()

ONNX = ".onnx"


@export_app.command()
def export(
    checkpoint: CheckpointFile,
    onnx: Annotated[
        Path | None, typer.Option(help="write the scoring of a frame here, NAME.onnx")
    ] = None,
    hub: Annotated[
        Path | None,
        typer.Option(help="write weights, config.json and a card into this folder"),
    ] = None,
    license_id: Annotated[
        str | None,
        typer.Option(
            "--license", help="with --hub: licence of the weights, as hubs name it: apache-2.0"
        ),
    ] = None,
) -> None:
    """Write a checkpoint for other programs: as ONNX, or as a folder in a model hub's layout."""
    if onnx is None and hub is None:
        raise DataError("nothing to export: give --onnx NAME.onnx, --hub FOLDER, or both")
    if license_id is not None and (hub is None or not re.fullmatch(r"[\w.-]+", license_id)):
        raise DataError("--license takes a name such as apache-2.0, and goes with --hub")
    if onnx is not None and (onnx.suffix != ONNX or onnx.is_dir()):
        raise DataError(f"--onnx {onnx.name}: the name of the file must end in {ONNX}")
    if hub is not None:
        from lookout.models.checkpoint.hub import write_hub  # noqa: PLC0415

        write_hub(hub, checkpoint, hub.resolve().name, license_id)
        typer.echo(f"wrote {hub}: model.safetensors, config.json, README.md")
    if onnx is not None:
        from lookout.models.checkpoint.file import describe_file, load_checkpoint  # noqa: PLC0415
        from lookout.models.onnx_file import write_onnx  # noqa: PLC0415

        found = write_onnx(onnx, load_checkpoint(checkpoint))
        typer.echo(f"wrote {describe_file(onnx)}")
        told = ", ".join(f"{name} {difference:.1e}" for name, difference in found.items())
        typer.echo(f"largest difference of ONNX Runtime from PyTorch on random frames: {told}")
    elif hub is not None:
        next_command(f"lookout evaluate --checkpoint {hub} --data CLIPS")
