"""Training in a given time: the rate here is measured first, and the schedule is fitted to it.

The result is a row of a table: what was trained, how, on what, how long it took, what it measures.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lookout.models.arrays import Pixels
from lookout.models.base import Config
from lookout.models.checkpoint.header import read_header
from lookout.models.data.footage import Footage
from lookout.models.errors import DataError, TrainingError
from lookout.models.evaluation.evaluate import WAYS
from lookout.models.evaluation.report.tables import NAMES, percent
from lookout.models.media.atomic_file import replacing
from lookout.models.scorer import Scorer
from lookout.models.training.loader import Batch
from lookout.models.training.options import PUBLISHED, TrainOptions, fingerprint
from lookout.models.training.run_files import RunFiles
from lookout.models.training.trainer import Trainer
from lookout.models.training.validation import Validation

MEASUREMENTS = 8
"""Of held-out clips in a run; each takes time from the steps."""

MARGIN = 0.9
"""Share of the time that is planned: the rate of the first seconds is not that of all minutes."""

WARM_UP_STEPS = 5
MAX_PROBE_STEPS = 100
MAX_PROBE_S = 10.0
SCORING_PROBE_S = 2.0

RESULT_SUFFIX = ".result.json"

TRAINING_S = "training_s"
"""Key of a checkpoint's provenance: seconds that it was trained for."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """Speed of a training on this machine."""

    steps_per_s: float
    row_s: float  # seconds of one measurement of held-out clips

    def epochs_in(self, seconds: float, steps_per_epoch: int) -> int:
        """Return the whole epochs that fit into a time, with its measurements."""
        training_s = MARGIN * seconds - MEASUREMENTS * self.row_s
        return int(training_s * self.steps_per_s / steps_per_epoch)


@dataclass(frozen=True, slots=True)
class Plan:
    """Speed measured before the training, and the schedule that follows from it."""

    epochs: int
    compiled: bool
    pace: Throughput

    @classmethod
    def read(cls, path: Path, asked: dict[str, Any]) -> Plan:
        """Read the plan of a run. Raises DataError where it is damaged or of another run."""
        try:
            data = json.loads(path.read_text())
            is_same = data["asked"] == json.loads(json.dumps(asked))
            plan = data["plan"]
            kept = cls(plan["epochs"], plan["compiled"], Throughput(**plan["pace"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path.name} is no plan of a training ({type(error).__name__}); remove it"
            ) from None
        if not is_same:
            raise DataError(
                f"{path.name} is of a training with other options or footage; "
                "remove it, or take another --out"
            )
        return kept


def learning_rate(batch: int) -> float:
    """Return Adam's step for another batch than the published one: it grows with the batch's root.

    Malladi et al., "On the SDEs and Scaling Rules for Adaptive Gradient Algorithms", NeurIPS 2022.
    """
    return PUBLISHED.learning_rate * float(np.sqrt(batch / PUBLISHED.batch))


def plan_file(files: RunFiles) -> Path:
    """Return the path of a run's plan."""
    return files.out.with_name(f"{files.out.stem}.plan.json")


def result_file(files: RunFiles) -> Path:
    """Return the path of a run's result."""
    return files.out.with_name(files.out.stem + RESULT_SUFFIX)


def fit_options(
    config: Config,
    options: TrainOptions,
    footage: Footage,
    validation: Validation,
    path: Path,
    on_message: Callable[[str], None],
) -> TrainOptions:
    """Return options that fit `options.limit_s`.

    They have no more epochs than asked for, and compile where that was asked for and is faster.
    The plan is kept in `path`, so that a resumed run has the same.

    Raises TrainingError where not one epoch fits, DataError where another run was planned there.
    """
    asked = fingerprint(config, options, footage, validation)
    if path.exists():
        plan = Plan.read(path, asked)
    else:
        plan = make_plan(config, options, footage, validation, on_message)
        with replacing(path) as temporary:
            temporary.write_text(
                json.dumps({"asked": asked, "plan": asdict(plan)}, indent=1) + "\n"
            )
    steps = plan.epochs * footage.batches_per_epoch(options.batch)
    compiled = ", compiled" if plan.compiled else ""
    on_message(
        f"{plan.epochs} of {options.epochs} epochs fit into {options.limit_s / 60:g} min: "
        f"{plan.pace.steps_per_s:.3g} steps/s{compiled}"
    )
    log_every = -(-steps // MEASUREMENTS)
    return replace(options, epochs=plan.epochs, compiled=plan.compiled, log_every=log_every)


def make_plan(
    config: Config,
    options: TrainOptions,
    footage: Footage,
    validation: Validation,
    on_message: Callable[[str], None],
) -> Plan:
    """Measure without the compiler and, where it is asked for, with it; return the faster plan.

    Raises TrainingError where not one epoch fits.
    """
    plain = Trainer(config, replace(options, compiled=False), footage, validation)
    throughputs = {False: throughput(plain)}
    if options.compiled:
        try:
            throughputs[True] = throughput(Trainer(config, options, footage, validation))
        except RuntimeError as error:  # whatever the compiler finds wrong with this machine
            reason = str(error).strip().splitlines()[0]
            on_message(f"torch.compile does not work here: {reason}")
    compiled = max(throughputs, key=lambda choice: throughputs[choice].steps_per_s)
    chosen = throughputs[compiled]
    steps = footage.batches_per_epoch(options.batch)
    epochs = min(options.epochs, chosen.epochs_in(options.limit_s, steps))
    if epochs < 1:
        needed_s = (steps / chosen.steps_per_s + MEASUREMENTS * chosen.row_s) / MARGIN
        raise TrainingError(
            f"one epoch takes {needed_s / 60:.2g} min here: "
            "more --minutes, or a smaller --width or --size"
        )
    return Plan(epochs, compiled, chosen)


def throughput(trainer: Trainer) -> Throughput:
    """Measure the speed of a trainer, which is not used afterwards."""

    def endless() -> Iterator[Batch]:
        while True:
            yield from trainer.batches()

    trainer.begin_epoch()
    batches = endless()
    for _ in range(WARM_UP_STEPS):
        trainer.step(next(batches))
    began_s = time.monotonic()
    steps = 0
    while steps < MAX_PROBE_STEPS and (not steps or time.monotonic() - began_s < MAX_PROBE_S):
        trainer.step(next(batches))
        steps += 1
    ended_s = time.monotonic()
    trainer.measure()
    return Throughput(steps / max(ended_s - began_s, 1e-9), time.monotonic() - ended_s)


def scoring_rates(scorer: Scorer, clip: Pixels) -> dict[int, float]:
    """Return frames per second by the number of cameras that a step serves.

    A step is upload, model, gate, memory and heatmap. clip: (T, H, W, 3) uint8 RGB.
    """
    batches = (1, 32) if scorer.device.type == "cuda" else (1,)
    return {batch: scoring_rate(scorer, [clip] * batch) for batch in batches}


def scoring_rate(scorer: Scorer, clips: list[Pixels]) -> float:
    """Return frames per second of steps over these clips, after some to warm up."""
    items = torch.stack([scorer.fresh_items()] * len(clips))
    steps = -WARM_UP_STEPS
    began_s = 0.0
    while steps < 1 or time.monotonic() - began_s < SCORING_PROBE_S:
        if steps == 0:
            began_s = time.monotonic()
        scorer.step(clips, items).psnr_db.tolist()  # waits for the device
        steps += 1
    return steps * len(clips) / (time.monotonic() - began_s)


def device_name(device: str) -> str:
    """Return the device's name for the table."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"CPU {platform.machine()}, {torch.get_num_threads()} of {os.cpu_count()} cores"


def training_result(
    files: RunFiles, options: TrainOptions, steps_per_epoch: int, epochs_wanted: int
) -> dict[str, Any]:
    """Return the training's part of a result, from the files of a finished run."""
    header = read_header(files.out)
    last = read_header(files.last)
    steps = last.provenance["row"]["step"]
    return {
        "model": header.model,
        "config": header.config,
        "seed": options.seed,
        "epochs": steps / steps_per_epoch,
        "epochs_planned": options.epochs,
        "epochs_wanted": epochs_wanted,
        "steps": steps,
        "batch": options.batch,
        "learning_rate": options.learning_rate,
        "precision": options.precision,
        "compiled": options.compiled,
        "device": device_name(options.device),
        "torch": torch.__version__,
        "training_min": last.provenance[TRAINING_S] / 60,
        "row": header.provenance["row"],
        "footage": header.provenance["footage"],
    }


def auc_column(bounds: str) -> Callable[[dict[str, Any]], str]:
    """Return a column of the table: the AUC with these bounds."""
    return lambda row: percent(row["auc"][bounds])


COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "model": lambda row: (
        f"{row['model']}, width {row['config']['width']}, {row['config']['width_px']} px"
    ),
    "seed": lambda row: str(row["seed"]),
    "epochs": lambda row: f"{row['epochs']:.3g} of {row['epochs_wanted']}",
    "batch": lambda row: str(row["batch"]),
    "learning rate": lambda row: f"{row['learning_rate']:.2g}",
    "precision": lambda row: row["precision"],
    "device": lambda row: row["device"],
    "training, min": lambda row: f"{row['training_min']:.1f}",
    "scoring, frames/s (cameras a step)": lambda row: ", ".join(
        f"{rate:.0f} ({batch})" for batch, rate in row["scoring_frames_per_s"].items()
    ),
    **{f"AUC, {name}": auc_column(bounds) for bounds, name in NAMES.items() if bounds in WAYS},
    "checkpoint": lambda row: row["checkpoint_sha256"],
    "command": lambda row: f"`{row['command']}`",
}
"""Columns of the table, and how each is read off a result."""


def results(folder: Path, on_message: Callable[[str], None]) -> list[list[str]]:
    """Return a row for each result in a folder, sorted by name.

    A file that holds no result of this version is left out with a message: it must not cost the
    training that was just done.
    """
    rows = []
    for path in sorted(folder.glob(f"*{RESULT_SUFFIX}")):
        try:
            result = json.loads(path.read_text())
            rows.append([read_cell(result) for read_cell in COLUMNS.values()])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            on_message(
                f"{path.name} is left out: it holds no result of this version "
                f"({type(error).__name__})"
            )
    return rows


def table(rows: list[list[str]]) -> str:
    """Return the table in Markdown, a line a training."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)
