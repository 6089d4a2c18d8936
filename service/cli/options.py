"""Options that several commands share, provenance of a checkpoint, and a bar over frames."""

from __future__ import annotations

import datetime
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import ValidationError

from lookout import __version__
from lookout.models.errors import DataError
from lookout.service.cli.status_lines import StatusLines, share_done
from lookout.service.core.camera import BudgetSettings
from lookout.service.core.schedule import zone_of
from lookout.service.core.settings import Settings

if TYPE_CHECKING:
    from lookout.models.checkpoint.file import Checkpoint


def finite(number: float | None) -> float | None:
    """Return an option's number. Raises BadParameter for inf and nan, which pass its bounds."""
    if number is not None and not math.isfinite(number):
        raise typer.BadParameter(f"{number} is no number to work with")
    return number


def parse_budget(text: str) -> BudgetSettings:
    """Return an alarm budget, in the form that a camera takes. Raises BadParameter."""
    try:
        return BudgetSettings.model_validate_json(text)
    except ValidationError as error:
        reasons = "; ".join(part["msg"] for part in error.errors())
        raise typer.BadParameter(f'{reasons}; such as {{"per_day": 1}}') from error


def instant(text: str, settings: Settings, option: str = "--began") -> datetime.datetime:
    """Return the time that an option gives; without a zone of its own it is in LOOKOUT_TIMEZONE.

    Raises DataError for what is no time, or one far from any recording.
    """
    zone = zone_of(settings.timezone)
    try:
        found = datetime.datetime.fromisoformat(text)
        if found.tzinfo is None:
            found = found.replace(tzinfo=zone)
        found = found.astimezone(zone)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{option}: {text!r} is no time such as 2026-07-01T22:00") from error
    if not 1970 <= found.year < 3000:
        raise DataError(f"{option}: {text!r} is not between the years 1970 and 3000")
    return found


def checkpoint_path(out: Path) -> Path:
    """Return the path to write, before any work is done. Raises DataError where it is unfit."""
    from lookout.models.checkpoint.header import SUFFIX  # noqa: PLC0415

    if out.suffix != SUFFIX:
        raise DataError(f"--out {out.name}: the name of a checkpoint must end in {SUFFIX}")
    if out.is_dir():
        raise DataError(f"--out {out.name} is a folder")
    return out


def weights_of(checkpoint: Path) -> Path:
    """Return the file of --checkpoint, also for a folder of a model hub. Raises CheckpointError."""
    from lookout.models.checkpoint.hub import weights_file  # noqa: PLC0415

    return weights_file(checkpoint)


Data = Annotated[
    Path,
    typer.Option(help="a set's folder (train/, test/, labels), or one of clips: videos or images"),
]
Out = Annotated[
    Path, typer.Option(help="the checkpoint to write, NAME.safetensors", callback=checkpoint_path)
]
CheckpointFile = Annotated[
    Path,
    typer.Option(
        help="a checkpoint of Lookout's, or its folder as a model hub has it",
        callback=weights_of,
    ),
]
SampleFps = Annotated[
    float | None,
    typer.Option(
        help="frames a second of a recording to keep, as a camera's fps does  [default: all]",
        min=0.01,
        max=1000,
        callback=finite,
    ),
]
FpsOption = Annotated[
    float | None,
    typer.Option(
        help="frame rate of clips that do not say theirs: folders of images",
        min=0.01,
        max=1000,
        callback=finite,
    ),
]
BudgetOption = Annotated[
    BudgetSettings | None,
    typer.Option(
        parser=parse_budget,
        metavar='{"per_day": N}',
        help="false alarms a day that set the threshold, as a camera's alarm_budget does",
    ),
]
BeganOption = Annotated[
    str | None,
    typer.Option(
        help="with --alarm-budget: when the first clip began, such as 2026-07-01T22:00, each clip "
        "following on the last; the budget then knows the hour"
    ),
]
Seed = Annotated[int, typer.Option(help="of what is drawn by chance", min=0, max=2**32 - 1)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")]
PrecisionOption = Annotated[Literal["auto", "fp32", "bf16"], typer.Option()]
Half = Annotated[bool, typer.Option("--half", help="store the weights in float16")]


def parse_changes(words: list[str]) -> dict[str, str]:
    """Return the numbers that --set names. Raises DataError for a word that is not NAME=X."""
    changes = {}
    for word in words:
        name, equals, number = word.partition("=")
        if not equals:
            raise DataError(f"--set takes NAME=X, for instance loss_separate=0, not {word!r}")
        changes[name] = number
    return changes


def save(out: Path, checkpoint: Checkpoint, half: bool) -> None:
    """Write a checkpoint, in float16 where `half`, and say so."""
    import torch  # noqa: PLC0415

    from lookout.models.checkpoint.file import describe_file, save_checkpoint  # noqa: PLC0415

    save_checkpoint(out, checkpoint, torch.float16 if half else torch.float32)
    typer.echo(f"wrote {describe_file(out)}")


def next_command(text: str) -> None:
    """Print what to type next, as the last line."""
    typer.echo(f"next: {text}")


def provenance(program: str = "lookout") -> dict[str, object]:
    """Return version and command, without the folders of this machine."""
    words = [program]
    for word in sys.argv[1:]:
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        words.append(option + equals + (Path(value).name if "/" in value else value))
    return {"lookout": __version__, "command": " ".join(words)}


@contextmanager
def frames_bar(
    clips: list[Path], label: str, t_length: int, sample_fps: float | None = None
) -> Iterator[Callable[[], None]]:
    """Show progress over the scored frames of clips: all but the first T - 1 of each.

    A bar on a terminal, else a line every 30 s on standard error.
    """
    from rich.progress import Progress  # noqa: PLC0415

    from lookout.models.data.clips import frames_expected  # noqa: PLC0415

    total = sum(max(0, frames_expected(path, sample_fps) - t_length + 1) for path in clips)
    with Progress() as bar:
        task = bar.add_task(label, total=total or None)
        if bar.console.is_terminal:
            yield lambda: bar.advance(task)
            return
        done = bar.tasks[0]

        def state() -> str:
            return share_done(label, int(done.completed), total or None)

        # Standard output is for the table, which may go to a file.
        with StatusLines(state, partial(typer.echo, err=True)):
            yield lambda: bar.advance(task)
