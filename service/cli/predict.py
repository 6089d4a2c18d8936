"""`lookout predict`: a recording as a video with heatmap and the curve of its score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookout.models.errors import DataError
from lookout.service.cli.options import Device, PrecisionOption, SampleFps, frames_bar
from lookout.service.core.camera import Camera, ScoreScheme
from lookout.service.core.replay import FROM_SETTINGS, MASKED_URL, CameraCopy, ReplayOptions
from lookout.service.core.settings import Settings, load_settings

if TYPE_CHECKING:
    from lookout.models.checkpoint.file import Checkpoint

predict_app = typer.Typer()

VIDEO = ".mp4"


def video_path(out: Path) -> Path:
    """Return the path to write, before any work is done. Raises DataError where it is unfit."""
    if out.suffix != VIDEO:
        raise DataError(f"--out {out.name}: the name of the video must end in {VIDEO}")
    if out.is_dir():
        raise DataError(f"--out {out.name} is a folder")
    return out


@predict_app.command()
def predict(
    recording: Annotated[Path, typer.Argument(help="a video file", exists=True, dir_okay=False)],
    out: Annotated[Path, typer.Option(help="the video to write, .mp4", callback=video_path)],
    checkpoint: Annotated[
        str, typer.Option(help="a file, its hub folder, or a name from `lookout models`")
    ] = "places",
    score: Annotated[
        ScoreScheme | None,
        typer.Option(help="[default: places with a model of that kind, else paper]"),
    ] = None,
    sample_fps: SampleFps = None,
    precision: PrecisionOption = "auto",
    device: Device = "auto",
) -> None:
    """Score a recording as a new camera would; write it with heatmap and curve as a video."""
    from lookout.models.checkpoint.file import load_checkpoint  # noqa: PLC0415
    from lookout.models.device import choose_device, choose_precision  # noqa: PLC0415
    from lookout.models.scorer import Scorer  # noqa: PLC0415
    from lookout.service.replay.overlay_video import write_overlay  # noqa: PLC0415
    from lookout.service.replay.replay import Replay  # noqa: PLC0415

    if out.exists() and out.samefile(recording):
        raise DataError(f"--out {out.name} is the recording itself")
    settings = load_settings()
    where = choose_device(device)
    loaded = load_checkpoint(checkpoint_file(checkpoint, settings))
    scorer = Scorer(loaded, where, choose_precision(precision, where))
    copy = new_camera(loaded, score, sample_fps, settings)
    run = Replay(copy, ReplayOptions(), settings, scorer)
    with frames_bar([recording], "scoring", scorer.t_length, sample_fps) as on_frame:
        count = write_overlay(run, recording, out, on_frame)
    state = run.line.state
    if state.normalizer.bounds is None:
        typer.echo(
            f"no frame got a value: {state.learned_frames} of {state.to_learn_frames} frames were "
            "learned; a calibrated checkpoint needs none"
        )
    typer.echo(f"wrote {out}: {count} frames")


def checkpoint_file(text: str, settings: Settings) -> Path:
    """Return the file of a path, or of a checkpoint's name. Raises DataError."""
    from lookout.models.checkpoint.header import find_checkpoints  # noqa: PLC0415
    from lookout.models.checkpoint.hub import CONFIG, weights_file  # noqa: PLC0415

    path = Path(text)
    if path.is_file() or (path / CONFIG).is_file():
        return weights_file(path)
    known = find_checkpoints(*settings.model_folders)
    if text not in known:
        raise DataError(f"--checkpoint {text}: no such file or name; known: {', '.join(known)}")
    return known[text]


def new_camera(
    checkpoint: Checkpoint, score: ScoreScheme | None, fps: float | None, settings: Settings
) -> CameraCopy:
    """Return the copy of a camera that has learned nothing, with the checkpoint's own bounds.

    Without any it learns them from its first frames.
    """
    chosen = score or ("places" if checkpoint.name == "places" else "paper")
    has_bounds = checkpoint.calibration is not None and chosen in ("paper", "local")
    camera = Camera(
        id="recording",
        url=MASKED_URL,
        model=checkpoint.name,
        fps=fps,
        pace="fast",
        calibration="model" if has_bounds else "learn",
        score=chosen,
        created_at=0.0,
        revision=1,
    )
    return CameraCopy(
        camera=camera.model_dump(mode="json", exclude={"unreadable", "mark"}),
        identity="",
        view="",
        checkpoint="",
        cursor=None,
        state={},
        alerting={},
        fps=fps,
        settings={name: getattr(settings, name) for name in FROM_SETTINGS},
    )
