"""`lookout train`: normal clips to a checkpoint; stopped, the same command resumes."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import typer

from lookout.models.checkpoint.header import TABLE_MODEL
from lookout.service.cli.options import (
    Data,
    Device,
    FpsOption,
    Half,
    Out,
    PrecisionOption,
    SampleFps,
    Seed,
    next_command,
    parse_changes,
    provenance,
)
from lookout.service.cli.status_lines import StatusLines
from lookout.service.cli.tables import train_on_rows
from lookout.service.cli.train_options import (
    BatchOption,
    BestByOption,
    BlocksOption,
    CompileOption,
    DeterministicOption,
    DimOption,
    EpochsOption,
    HeldOutOption,
    ItemsOption,
    LearningRateOption,
    MinutesOption,
    ModelOption,
    PatienceOption,
    SeedsOption,
    SetOption,
    SizeOption,
    TeacherOption,
    ValidateEveryOption,
    ValidateOption,
    WidthOption,
)
from lookout.service.core.lifecycle import stop_on_signals

if TYPE_CHECKING:
    from rich.progress import TaskID

    from lookout.models.training.progress import LogEntry, RunProgress

train_app = typer.Typer()

INTERRUPTED = 130
"""Exit code after a signal: 128 and SIGINT's number, as a shell has it."""


@train_app.command()
def train(
    context: typer.Context,
    data: Data,
    out: Out,
    model: ModelOption = "mnad-pred",
    epochs: EpochsOption = 60,
    batch: BatchOption = 4,
    learning_rate: LearningRateOption = 2e-4,
    seed: Seed = 0,
    width: WidthOption = None,
    dim: DimOption = None,
    items: ItemsOption = None,
    blocks: BlocksOption = None,
    size: SizeOption = 256,
    sample_fps: SampleFps = None,
    fps: FpsOption = None,
    values: SetOption = None,
    teacher: TeacherOption = None,
    precision: PrecisionOption = "fp32",
    device: Device = "auto",
    half: Half = False,
    held_out: HeldOutOption = 0.0,
    validate: ValidateOption = None,
    validate_every: ValidateEveryOption = 0,
    best_by: BestByOption = "psnr",
    patience: PatienceOption = 0,
    minutes: MinutesOption = 0.0,
    seeds: SeedsOption = 1,
    deterministic: DeterministicOption = False,
    compiled: CompileOption = False,
) -> None:
    """Train on normal clips, to the last epoch or what ends it before: --patience, --minutes.

    Stopped or killed, the same command goes on where it was.
    """
    if model == TABLE_MODEL:
        train_on_rows(context)
        return
    from lookout.models.device import choose_device, choose_precision  # noqa: PLC0415
    from lookout.models.training import run  # noqa: PLC0415
    from lookout.models.training.options import TrainOptions  # noqa: PLC0415
    from lookout.models.training.trainer import StoppedError  # noqa: PLC0415

    changes = parse_changes(values or [])
    chosen_device = choose_device(device)
    options = TrainOptions(
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        seed=seed,
        precision=choose_precision(precision, chosen_device),
        device=chosen_device,
        log_every=validate_every,
        patience=patience,
        best_by=best_by,
        deterministic=deterministic,
        compiled=compiled,
        limit_s=60 * minutes,
    )
    request = run.TrainRequest(
        data,
        out,
        model=model,
        width=width,
        dim=dim,
        items=items,
        blocks=blocks,
        side_px=size,
        changes=changes,
        options=options,
        seeds=seeds,
        held_out=held_out,
        validate=validate,
        sample_fps=sample_fps,
        fps=fps,
        teacher=teacher,
        half=half,
        provenance=provenance(),
    )
    try:
        with stop_on_signals() as stop, ProgressBar() as bar:
            checkpoints = run.run(request, bar, stop.is_set)
    except StoppedError as stopped:
        raise end_of_stopped(stopped.state) from None
    last = shlex.quote(str(checkpoints[0]))
    next_command(f"lookout calibrate --checkpoint {last} --data OTHER-NORMAL-CLIPS --out {last}")


def end_of_stopped(state: Path | None) -> typer.Exit:
    """Print where a stopped run goes on from, and return its exit code to raise."""
    if state is None:
        typer.echo("stopped before the first step")
    else:
        typer.echo(f"stopped; the same command goes on from {state}")
    return typer.Exit(INTERRUPTED)


class ProgressBar:
    """Shows a run on the terminal: a bar over its steps, messages and log entries above it.

    An `Observer` of `lookout.models.training.run`; use it as a context manager.
    """

    def __init__(self) -> None:
        from rich import progress  # noqa: PLC0415

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
        )
        self._lines: StatusLines | None = None
        self._task: TaskID | None = None
        self._progress: RunProgress | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        if not self._bar.console.is_terminal:
            self._lines = StatusLines(self._state, self.on_message)
            self._lines.__enter__()
        return self

    def _state(self) -> str:
        """Return the state of the run in one line."""
        if self._progress is None:
            return "reading the clips"
        progress = self._progress
        text = f"{progress.checkpoint}: step {progress.step} of {progress.steps}"
        return f"{text}, epoch {progress.epoch + 1} of {progress.epochs}, {progress.rate_as_text()}"

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._lines is not None:
            self._lines.__exit__(None, None, None)
        self._bar.stop()

    def on_message(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def on_progress(self, progress: RunProgress) -> None:
        """Move the bar; the first report of a run begins a new one."""
        is_new = self._progress is None or self._progress.checkpoint != progress.checkpoint
        self._progress = progress
        if is_new or self._task is None:
            self._task = self._bar.add_task(
                progress.checkpoint, completed=progress.step, total=progress.steps
            )
            return
        text = f"epoch {progress.epoch + 1}  loss {progress.loss:.5f}  "
        text += f"PSNR {progress.psnr_db:.2f} dB  {progress.rate_as_text()}"
        self._bar.update(self._task, description=text, completed=progress.step)

    def on_log_entry(self, entry: LogEntry) -> None:
        """Print the entry with steps per second and time left."""
        if self._progress is not None:
            line = entry.as_text(self._progress.epochs)
            self.on_message(f"{line}; {self._progress.rate_as_text()}")
