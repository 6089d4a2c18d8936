"""`lookout replay`: a recording scored as a camera of a running service would score it now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer
from pydantic import ValidationError

from lookout.models.errors import DataError
from lookout.service.cli.api_client import ApiClient, Url
from lookout.service.cli.evaluate import read_zones
from lookout.service.cli.options import finite, frames_bar, instant
from lookout.service.core.errors import RequestError
from lookout.service.core.replay import CameraCopy, ReplayOptions, ReplayReport
from lookout.service.core.settings import Settings, load_settings

if TYPE_CHECKING:
    from lookout.models.scorer import Scorer

replay_app = typer.Typer()

MOST_LINES = 20
"""Alerts that are printed; the report has more."""


@replay_app.command()
def replay(
    recording: Annotated[Path, typer.Argument(help="a video file", exists=True, dir_okay=False)],
    camera: Annotated[str, typer.Option(help="of the running service, whose present state scores")],
    out: Annotated[
        Path | None,
        typer.Option(help="folder for scores, report and pictures  [default: NAME-replay]"),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="in place of the camera's and its zones'", min=0.001, max=0.999, callback=finite
        ),
    ] = None,
    zones: Annotated[
        Path | None,
        typer.Option(
            help="in place of the camera's: its field `zones`, .json", exists=True, dir_okay=False
        ),
    ] = None,
    began: Annotated[
        str | None,
        typer.Option(
            help="when the recording began, such as 2026-07-01T22:00, for the schedule  "
            "[default: alerts open at any time]"
        ),
    ] = None,
    url: Url = None,
) -> None:
    """Score a recording with a camera's present model, bounds, zones and alert policy."""
    from lookout.service.replay.files import scored_to_the_end  # noqa: PLC0415
    from lookout.service.replay.replay import Replay  # noqa: PLC0415

    settings = load_settings()
    options = ReplayOptions(
        threshold=threshold,
        zones=None if zones is None else read_zones(zones),
        began_at=None if began is None else instant(began, settings).timestamp(),
    )
    with ApiClient(settings, url) as client:
        answer = client.ask("GET", f"/cameras/{quote(camera, safe='')}/copy")
    try:
        copy = CameraCopy.model_validate(answer)
        own = copy.apply_settings(settings)
        scorer = load_scorer(own, copy)
        run = Replay(copy, options, own, scorer)
    except ValidationError as error:
        raise RequestError("the service is of another version than this command") from error
    except ValueError as error:
        raise DataError(f"camera {camera}: {error}") from error
    folder = out or recording.with_name(f"{recording.stem}-replay")
    with frames_bar([recording], "scoring", scorer.t_length, run.camera.fps) as on_frame:
        report = scored_to_the_end(run, recording, folder, copy.fps, lambda _: on_frame())
    typer.echo(as_lines(report))
    typer.echo(
        f"wrote {folder}: scores.csv, report.json and {len(list(folder.glob('*.jpg')))} pictures"
    )


def load_scorer(settings: Settings, copy: CameraCopy) -> Scorer:
    """Return the scorer of the camera's checkpoint, as the service runs it.

    Raises DataError where the file here is another than the service's.
    """
    import torch  # noqa: PLC0415

    from lookout.models.device import choose_device, choose_precision  # noqa: PLC0415
    from lookout.service.inference.scorers import Scorers  # noqa: PLC0415

    device = choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    model = copy.record().model
    scorer, content = Scorers(settings.model_folders, device, precision).get(model)
    if content != copy.checkpoint:
        raise DataError(
            f"the checkpoint {model!r} in {settings.model_folders[0]} is another than the "
            "service's: LOOKOUT_MODELS_DIR names the folder"
        )
    return scorer


def as_lines(report: ReplayReport) -> str:
    """Return a report for a terminal."""
    lines = [
        f"{report.recording} by camera {report.camera} ({report.model}): {report.scored} of "
        f"{report.frames} frames scored, {clock(report.duration_s)}"
    ]
    lines += [f"note: {note}" for note in report.notes]
    lines.append(f"alerts at {report.threshold:.3g}: {report.alerts_opened}")
    for alert in report.alerts[:MOST_LINES]:
        zone = "" if alert.zone is None else f"  zone {alert.zone}"
        lines.append(
            f"  {clock(alert.opened_s)} to {clock(alert.closed_s)}  peak {alert.peak_value:.3f} "
            f"at {clock(alert.peak_s)}{zone}"
        )
    if report.minutes:
        lines.append("strangest minutes:")
    lines += [
        f"  {clock(minute.begins_s)}  {minute.peak_value:.3f} at {clock(minute.peak_s)}"
        for minute in report.minutes
    ]
    lines.append("another threshold:")
    lines += [
        f"  {other.threshold:.2f}  {other.alerts} alerts, open for {other.open_s:.1f} s"
        for other in report.thresholds
    ]
    return "\n".join(lines)


def clock(seconds: float) -> str:
    """Return seconds of a recording as `h:mm:ss.s`."""
    minutes, rest = divmod(max(0.0, seconds), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{rest:04.1f}"
