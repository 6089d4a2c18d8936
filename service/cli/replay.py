"""`lookout replay`: a recording scored as a camera of a running service would score it now."""

from __future__ import annotations

import datetime
import time
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
from lookout.service.core.replay import CameraCopy, ReplayReport, ReplayRequest
from lookout.service.core.schedule import zone_of
from lookout.service.core.settings import Settings, load_settings

if TYPE_CHECKING:
    from lookout.models.scorer import Scorer

replay_app = typer.Typer()

MOST_LINES = 20
"""Alerts that are printed; the report has more."""


@replay_app.command()
def replay(
    camera: Annotated[str, typer.Option(help="of the running service, whose present state scores")],
    recording: Annotated[
        Path | None,
        typer.Argument(help="a video file", exists=True, dir_okay=False, show_default=False),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="in place of a file: begin of a period of the camera, such as 2026-07-01T22:00",
        ),
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="end of the period")] = None,
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
    """Score a recording with a camera's present model, bounds, zones and alert policy.

    Or a period of the camera, as far as its footage is kept in LOOKOUT_DATA_DIR.
    """
    from lookout.service.learning.footage import footage_folder  # noqa: PLC0415
    from lookout.service.replay.files import scored_to_the_end  # noqa: PLC0415
    from lookout.service.replay.kept_frames import KeptFrames  # noqa: PLC0415
    from lookout.service.replay.recording import ReplaySource  # noqa: PLC0415
    from lookout.service.replay.replay import Replay  # noqa: PLC0415

    settings = load_settings()

    def seconds(text: str | None, option: str) -> float | None:
        return None if text is None else instant(text, settings, option).timestamp()

    fields = {
        "kind": "replay",
        "camera": camera,
        "video": None if recording is None else recording.name,
        "threshold": threshold,
        "zones": None if zones is None else read_zones(zones),
        "began_at": seconds(began, "--began"),
        "from": seconds(since, "--from"),
        "to": seconds(until, "--to"),
    }
    try:
        wanted = ReplayRequest.model_validate(fields)
    except ValidationError as error:  # all else is checked already
        raise RequestError(f"there is no camera {camera!r}") from error
    wanted.check_source(time.time())
    with ApiClient(settings, url) as client:
        answer = client.ask("GET", f"/cameras/{quote(camera, safe='')}/copy")
    try:
        copy = CameraCopy.model_validate(answer)
        own = copy.apply_settings(settings)
        scorer = load_scorer(own, copy)
        run = Replay(copy, wanted.options, own, scorer)
    except ValidationError as error:
        raise RequestError("the service is of another version than this command") from error
    except ValueError as error:
        raise DataError(f"camera {camera}: {error}") from error
    source: ReplaySource
    if recording is not None:
        source = run.recording(recording)
    else:
        source = KeptFrames.of(
            footage_folder(settings.data_dir, run.camera.id),
            run.camera,
            scorer.checkpoint.preprocess,
            (run.began_s, wanted.until or run.began_s),
            zone_of(own.timezone),
        )
    clips = [] if recording is None else [recording]
    folder = out or Path(f"{camera}-replay")
    if out is None and recording is not None:
        folder = recording.with_name(f"{recording.stem}-replay")
    with frames_bar(clips, "scoring", scorer.t_length, run.camera.fps) as on_frame:
        report = scored_to_the_end(run, source, folder, copy.fps, lambda _: on_frame())
    typer.echo(as_lines(report, zone_of(own.timezone)))
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


def as_lines(report: ReplayReport, zone: datetime.tzinfo) -> str:
    """Return a report for a terminal. zone: of the times of a report that knows when it began."""

    def at(seconds: float) -> str:
        if report.began_at is None:
            return clock(seconds)
        when = datetime.datetime.fromtimestamp(report.began_at + seconds, zone)
        return f"{when:%Y-%m-%d %H:%M:%S}"

    name = report.recording or f"{at(0.0)} to {at(report.duration_s)}"
    lines = [
        f"{name} by camera {report.camera} ({report.model}): {report.scored} of "
        f"{report.frames} frames scored, {clock(report.duration_s)}"
    ]
    lines += [f"note: {note}" for note in report.notes]
    lines.append(f"alerts at {report.threshold:.3g}: {report.alerts_opened}")
    for alert in report.alerts[:MOST_LINES]:
        zone_name = "" if alert.zone is None else f"  zone {alert.zone}"
        lines.append(
            f"  {at(alert.opened_s)} to {at(alert.closed_s)}  peak {alert.peak_value:.3f} "
            f"at {at(alert.peak_s)}{zone_name}"
        )
    if report.minutes:
        lines.append("strangest minutes:")
    lines += [
        f"  {at(minute.begins_s)}  {minute.peak_value:.3f} at {at(minute.peak_s)}"
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
