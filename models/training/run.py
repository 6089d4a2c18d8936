"""Train on a folder of normal clips: one call, whoever makes it.

`lookout train` is one caller, a job in a service may be another. What happens on the way goes to
an `Observer`; a stopped or killed run is resumed by the same request.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from lookout.models.base import Config
from lookout.models.checkpoint.file import (
    Checkpoint,
    describe_file,
    load_checkpoint,
    save_checkpoint,
)
from lookout.models.checkpoint.header import digest, read_header, stored_precision
from lookout.models.data.clips import MemoryLimit, Reading, common_fps, train_clips
from lookout.models.data.footage import Footage
from lookout.models.device import deterministic
from lookout.models.errors import DataError, TrainingError
from lookout.models.media.atomic_file import write_text
from lookout.models.media.preprocess import Preprocess
from lookout.models.mnad import MnadConfig
from lookout.models.registry import changed, make_config, sized
from lookout.models.training.distill.student import Student
from lookout.models.training.distill.teacher import Teacher
from lookout.models.training.loop import train
from lookout.models.training.options import PUBLISHED, TrainOptions
from lookout.models.training.progress import LogEntry, RunProgress
from lookout.models.training.run_files import RunFiles, summary_over_seeds
from lookout.models.training.trainer import StartWeights, StoppedError, Trainer
from lookout.models.training.validation import Validation, split

Stop = Callable[[], bool]
"""Returns True once the run should save its state and stop, for instance an Event's `is_set`."""

Clock = Callable[[], float]
"""Returns seconds, by which the time budget counts: `time.process_time` for those of one thread."""


class Observer(Protocol):
    """Gets what a run reports, in the thread that trains. What it raises ends the run."""

    def on_message(self, text: str) -> None:
        """Take a line for the user: what is trained, resumed, passed over, written."""

    def on_progress(self, progress: RunProgress) -> None:
        """Take the state of the run as it begins, and after each step."""

    def on_log_entry(self, entry: LogEntry) -> None:
        """Take a log entry, once its checkpoint and the log are on the disk."""


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """A model, the clips to train it on, and the checkpoint to write.

    Errors name a field as `lookout train` calls it: `--held-out` for `held_out`.
    """

    data: Path  # a set's folder, a folder of clips, or one recording
    out: Path  # NAME.safetensors
    model: str = "mnad-pred"
    width: int | None = None  # channels of the first stage; None: as published
    dim: int | None = None  # D, length of an item or code; None: in proportion to the width
    items: int | None = None  # M, items of the memory, or clusters; None: as published
    blocks: int | None = None  # residual or transformer blocks; None: as published
    side_px: int = 256  # of the square input
    changes: Mapping[str, str] = field(default_factory=dict)  # other numbers than the published
    options: TrainOptions = PUBLISHED  # its seed is the first of `seeds`
    seeds: int = 1  # runs; with several, the files of each are named NAME-seedK
    held_out: float = 0.0  # share of the clips to measure on and not to train on, 0 to 1
    validate: Path | None = None  # other normal clips to measure on
    sample_fps: float | None = None  # frames a second to keep; None: all
    fps: float | None = None  # of clips that do not say theirs: folders of images
    teacher: Path | None = None  # a wide checkpoint of MNAD to learn queries from
    start: Path | None = None  # a checkpoint to go on from: its model, sizes, weights and items
    half: bool = False  # store the weights in float16
    provenance: Mapping[str, object] = field(default_factory=dict)  # added to each checkpoint

    def configuration(self) -> Config:
        """Return the model's configuration: that of `start` where there is one.

        Raises DataError for what no model has, CheckpointError where `start` cannot be read.
        """
        if self.start is not None:
            return self.start_configuration(self.start)
        config = sized(
            self.model,
            width=self.width,
            dim=self.dim,
            items=self.items,
            blocks=self.blocks,
            height_px=self.side_px,
            width_px=self.side_px,
        )
        config = changed(config, dict(self.changes))
        if self.teacher is None:
            return config
        if not isinstance(config, MnadConfig):
            raise DataError(
                "--teacher is for mnad-pred and mnad-recon: "
                "what it teaches are the queries of their memory"
            )
        if self.options.compiled:
            raise DataError("--teacher and --compile: take one of them")
        if unused := sorted({"loss_compact", "loss_separate"} & set(self.changes)):
            raise DataError(
                f"--set {unused[0]}: with --teacher the memory is the teacher's, "
                "and has no loss of its own"
            )
        return replace(config, loss_compact=0.0, loss_separate=0.0)

    def start_configuration(self, start: Path) -> Config:
        """Return the configuration of the checkpoint to go on from.

        Raises DataError where the request asks for another model too, CheckpointError.
        """
        if self.teacher is not None or self.changes:
            raise DataError("with a checkpoint to start from, the model is that of the checkpoint")
        header = read_header(start)
        if header.preprocess.channel_order != "rgb":
            raise DataError(f"{start.name} takes BGR frames, and training gives RGB")
        config = make_config(header.model, header.config)
        if self.options.fine_tuning is not None and isinstance(config, MnadConfig):
            return replace(config, loss_compact=0.0, loss_separate=0.0)
        return config


def run(
    request: TrainRequest,
    observer: Observer,
    stop: Stop = lambda: False,
    clock: Clock = time.monotonic,
) -> list[Path]:
    """Train until the last epoch, patience or the time budget ends it; return the checkpoints.

    A run that an earlier call left, stopped or killed, is resumed and ends in the same bits on the
    same machine; a finished one is left alone.

    Raises StoppedError once `stop` returns True, with the state saved if training had begun;
    DataError, VideoError and CheckpointError for what cannot be trained on or resumed;
    TrainingError where the loss or a weight is not finite; OSError where nothing can be written.
    """
    config = request.configuration()
    if request.teacher is not None:
        read_header(request.teacher)  # a wrong file is refused before the clips are decoded
    preprocess = Preprocess(config.height_px, config.width_px)
    footage, validation = load_footage(request, config, preprocess, observer, stop)
    options = request.options
    if validation is None and (options.patience or options.best_by == "auc"):
        option = "--patience" if options.patience else "--best-by auc"
        raise DataError(f"{option} needs clips to measure on: --held-out 0.1, or --validate FOLDER")
    provenance = dict(request.provenance)
    if request.sample_fps is not None:
        provenance["sample_fps"] = request.sample_fps
    fps = common_fps(train_clips(request.data), request.sample_fps, request.fps)
    if fps is None:
        observer.on_message(
            "the clips have no common frame rate, so the checkpoint names none: cameras keep "
            "every frame (--fps says that of images, --sample-fps makes recordings alike)"
        )
    files = RunFiles(request.out)
    seeds = range(options.seed, options.seed + request.seeds)
    runs = {seed: files if len(seeds) == 1 else files.for_seed(seed) for seed in seeds}
    held_out = f", {len(validation.footage.names)} held out" if validation else ""
    observer.on_message(
        f"{len(footage.windows)} windows of {len(footage.names)} clips{held_out}, "
        f"{options.epochs} epochs, on {options.device}"
    )
    with deterministic(options.deterministic):
        for seed, own_files in runs.items():
            seeded = replace(options, seed=seed)
            trainer = make_trainer(request, config, seeded, footage, validation)
            trainer.budget.clock = clock
            if own_files.is_finished(trainer):
                observer.on_message(
                    f"{own_files.out} is finished, trained with these options, stored in "
                    f"{stored_precision(own_files.out)}; remove it to train again"
                )
                continue
            train_to_files(
                trainer,
                own_files,
                preprocess,
                observer,
                stop,
                request.half,
                lambda: provenance,
                fps=fps,
            )
    outs = {seed: own_files.out for seed, own_files in runs.items()}
    if len(outs) > 1:
        write_summary(files.summary, outs, request.provenance, observer)
    return list(outs.values())


def load_footage(
    request: TrainRequest, config: Config, preprocess: Preprocess, observer: Observer, stop: Stop
) -> tuple[Footage, Validation | None]:
    """Decode what to train on, and what to measure on where the request asks for it.

    Raises DataError, VideoError; StoppedError between two frames.
    """

    def on_frame() -> None:
        if stop():
            raise StoppedError

    if request.held_out and request.validate:
        raise DataError("--held-out and --validate: take one of them")
    t_length = config.input_spec.frames
    reading = Reading(request.sample_fps, observer.on_message, on_frame)
    clips = train_clips(request.data, observer.on_message)
    others = []
    if request.validate:
        others = train_clips(request.validate, observer.on_message)
    memory = MemoryLimit(clips + others, preprocess, request.sample_fps)
    footage = Footage.load(clips, preprocess, t_length, reading, memory)
    seed = request.options.seed
    if others:
        held_out = Footage.load(others, preprocess, t_length, reading, memory)
        return footage, Validation(held_out, config, seed)
    if request.held_out:
        footage, held_out = split(footage, request.held_out, seed)
        return footage, Validation(held_out, config, seed)
    return footage, None


def make_trainer(
    request: TrainRequest,
    config: Config,
    options: TrainOptions,
    footage: Footage,
    validation: Validation | None,
) -> Trainer:
    """Return the trainer of one seed: with a teacher, from a checkpoint, or from random weights.

    Raises CheckpointError, DataError.
    """
    if request.start is not None:
        start = StartWeights(load_checkpoint(request.start), digest(request.start))
        return Trainer(config, options, footage, validation, start)
    teacher = request.teacher
    if teacher is None or not isinstance(config, MnadConfig):
        return Trainer(config, options, footage, validation)
    wide = Teacher(load_checkpoint(teacher), digest(teacher), config, footage, options)
    return Student(config, options, footage, wide, validation)


def train_to_files(
    trainer: Trainer,
    files: RunFiles,
    preprocess: Preprocess,
    observer: Observer,
    stop: Stop,
    half: bool,
    provenance: Callable[[], dict[str, Any]],
    fps: float | None = None,
) -> None:
    """Train one run to its end, from its state where there is one; write its files on the way.

    `provenance` is called for each checkpoint; `fps` is the footage's. Raises as `run` does.
    """
    dtype = torch.float16 if half else torch.float32

    def checkpoint() -> Checkpoint:
        return replace(trainer.checkpoint(preprocess, provenance()), fps=fps)

    def on_log_entry(entry: LogEntry) -> None:
        save_checkpoint(files.last, checkpoint(), dtype)
        if entry.best:
            save_checkpoint(files.best, checkpoint(), dtype)
        files.write_log(trainer.log)
        observer.on_log_entry(entry)

    if files.begin(trainer):
        observer.on_message(
            f"going on from {files.state} (epoch {trainer.epoch}, step {trainer.step_in_epoch})"
        )
    try:
        train(
            trainer,
            files.state,
            on_progress=observer.on_progress,
            on_log_entry=on_log_entry,
            should_stop=stop,
        )
    except StoppedError:
        raise StoppedError(files.state) from None
    except TrainingError as error:
        raise TrainingError(f"{error}; {files.advice_after_failure()}") from None
    files.finish(trainer)
    observer.on_message(f"wrote {describe_file(files.out)}")


def write_summary(
    path: Path, outs: dict[int, Path], provenance: Mapping[str, object], observer: Observer
) -> None:
    """Write mean and deviation over several seeds, and report them.

    Raises CheckpointError, OSError.
    """
    summary = summary_over_seeds(outs)
    write_text(path, json.dumps(summary | dict(provenance), indent=1) + "\n")
    for name, spread in summary["over_seeds"].items():
        observer.on_message(
            f"{name} over {len(outs)} seeds: {spread['mean']:.4g}, "
            f"deviation {spread['deviation']:.2g}"
        )
    observer.on_message(f"wrote {path}")
