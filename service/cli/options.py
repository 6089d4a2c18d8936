"""What the commands around checkpoints share: their options, how a checkpoint is written, a bar over frames."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookout import __version__
from lookout.models.errors import DataError

if TYPE_CHECKING:
    from lookout.models.checkpoint.file import Checkpoint


class PrecisionChoice(StrEnum):
    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


def finite(number: float | None) -> float | None:
    """Of every option that takes one: infinity and nan lie within its bounds. Raises BadParameter."""
    if number is not None and not math.isfinite(number):
        raise typer.BadParameter(f"{number} is no number to work with")
    return number


Data = Annotated[
    Path,
    typer.Option(help="a set's folder (train/, test/, labels), or one of clips: videos or images"),
]


def _a_checkpoints_name(out: Path) -> Path:
    """Known before the work, not after it. Raises DataError."""
    from lookout.models.checkpoint.header import SUFFIX  # noqa: PLC0415

    if out.suffix != SUFFIX:
        raise DataError(f"--out {out.name}: the name of a checkpoint must end in {SUFFIX}")
    if out.is_dir():
        raise DataError(f"--out {out.name} is a folder")
    return out


Out = Annotated[
    Path,
    typer.Option(help="the checkpoint to write, NAME.safetensors", callback=_a_checkpoints_name),
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
Seed = Annotated[int, typer.Option(help="of what is drawn by chance", min=0, max=2**32 - 1)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")]


def save(out: Path, checkpoint: Checkpoint, half: bool) -> None:
    """Write it and say so."""
    write(out, checkpoint, half)
    wrote(out)


def write(path: Path, checkpoint: Checkpoint, half: bool) -> None:
    """half: the weights in float16."""
    import torch  # noqa: PLC0415

    from lookout.models.checkpoint.file import save_checkpoint  # noqa: PLC0415

    save_checkpoint(path, checkpoint, torch.float16 if half else torch.float32)


def wrote(path: Path) -> None:
    """Tell which file is there now, its size and its digest."""
    from lookout.models.checkpoint.file import digest  # noqa: PLC0415

    typer.echo(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB, sha256 {digest(path)})")


def provenance() -> dict[str, object]:
    """The command as it was given, without the folders of this machine."""
    return {
        "lookout": __version__,
        "command": " ".join(["lookout", *map(_without_folders, sys.argv[1:])]),
    }


def _without_folders(word: str) -> str:
    """Of a command: also where an option and its value are one word."""
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return option + equals + (Path(value).name if "/" in value else value)


@contextmanager
def frames_bar(
    clips: list[Path], what: str, t_length: int, sample_fps: float | None = None
) -> Iterator[Callable[[], None]]:
    """A progress bar over the scored frames of some clips: all but the first T - 1 of each."""
    from rich.progress import Progress  # noqa: PLC0415

    from lookout.models.data.clips import frames_expected  # noqa: PLC0415

    total = sum(max(0, frames_expected(path, sample_fps) - t_length + 1) for path in clips)
    with Progress() as bar:
        task = bar.add_task(what, total=total or None)
        yield lambda: bar.advance(task)
