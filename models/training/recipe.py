"""Training in a given time: how fast it goes here is measured first, and the schedule is fitted to it.

What comes out is a row of a table: what was trained, how, on what, how long it took, and what it measures.
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

from lookout.models.base import Config
from lookout.models.checkpoint.header import read_header
from lookout.models.data.clips import Footage
from lookout.models.errors import DataError, TrainingError
from lookout.models.evaluation.report.tables import NAMES, percent
from lookout.models.media.atomic_file import replacing
from lookout.models.media.preprocess import Pixels
from lookout.models.scorer import Scorer
from lookout.models.training.run_files import Files
from lookout.models.training.trainer import Batch, Trainer, TrainOptions, fingerprint
from lookout.models.training.validation import Validation

PUBLISHED = TrainOptions()

ROWS = 8
"""Measurements on held-out clips in a training: each takes time that no step has."""

MARGIN = 0.9
"""Of the time is planned for: the rate of the first seconds is not that of all minutes."""

WARM_UP = 5
MOST_STEPS, MOST_PROBE_S = 100, 10.0
RATE_S = 2.0

RESULT = ".result.json"

TRAINING_S = "training_s"
"""Of a checkpoint's provenance: how long it had been trained for."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a training goes."""

    steps_per_s: float
    row_s: float  # a measurement on held-out clips

    def epochs_in(self, seconds: float, steps_per_epoch: int) -> int:
        return int((MARGIN * seconds - ROWS * self.row_s) * self.steps_per_s / steps_per_epoch)


@dataclass(frozen=True, slots=True)
class Plan:
    """What was measured before the training, and what follows from it."""

    epochs: int
    compiled: bool
    pace: Pace


def learning_rate(batch: int) -> float:
    """Adam's step for another batch than the published one: in proportion to the root of the batch.

    Malladi et al., "On the SDEs and Scaling Rules for Adaptive Gradient Algorithms", NeurIPS 2022.
    """
    return PUBLISHED.learning_rate * float(np.sqrt(batch / PUBLISHED.batch))


def plan_file(files: Files) -> Path:
    return files.out.with_name(f"{files.out.stem}.plan.json")


def result_file(files: Files) -> Path:
    return files.out.with_name(files.out.stem + RESULT)


def planned(
    config: Config,
    options: TrainOptions,
    footage: Footage,
    validation: Validation,
    path: Path,
    tell: Callable[[str], None],
) -> TrainOptions:
    """The options that fit `options.most_s`: no more epochs than asked for, compiled where asked for and faster.

    Kept in `path`, so that a run that goes on has the same. Raises TrainingError where not one epoch fits, DataError
    where another run was planned there.
    """
    asked = fingerprint(config, options, footage, validation)
    if path.exists():
        plan = _kept(path, asked)
    else:
        plan = _measured(config, options, footage, validation, tell)
        with replacing(path) as temporary:
            temporary.write_text(
                json.dumps({"asked": asked, "plan": asdict(plan)}, indent=1) + "\n"
            )
    steps = plan.epochs * footage.batches_per_epoch(options.batch)
    fitted = f"{plan.epochs} of {options.epochs} epochs fit into {options.most_s / 60:g} min"
    tell(f"{fitted}: {plan.pace.steps_per_s:.3g} steps/s" + (", compiled" if plan.compiled else ""))
    return replace(options, epochs=plan.epochs, compiled=plan.compiled, row_every=-(-steps // ROWS))


def _kept(path: Path, asked: dict[str, Any]) -> Plan:
    try:
        data = json.loads(path.read_text())
        same = data["asked"] == json.loads(json.dumps(asked))
        plan = Plan(data["plan"]["epochs"], data["plan"]["compiled"], Pace(**data["plan"]["pace"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path.name} is no plan of a training ({type(error).__name__}); remove it"
        ) from None
    if not same:
        raise DataError(
            f"{path.name} is of a training with other options or footage; remove it, or take another --out"
        )
    return plan


def _measured(
    config: Config,
    options: TrainOptions,
    footage: Footage,
    validation: Validation,
    tell: Callable[[str], None],
) -> Plan:
    """Without the compiler and, where it is asked for, with it."""
    paces = {False: _pace(Trainer(config, replace(options, compiled=False), footage, validation))}
    if options.compiled:
        try:
            paces[True] = _pace(Trainer(config, options, footage, validation))
        except RuntimeError as error:  # whatever the compiler finds wrong with this machine
            tell(f"torch.compile does not work here: {str(error).strip().splitlines()[0]}")
    compiled = max(paces, key=lambda which: paces[which].steps_per_s)
    pace, steps = paces[compiled], footage.batches_per_epoch(options.batch)
    epochs = min(options.epochs, pace.epochs_in(options.most_s, steps))
    if epochs < 1:
        least = (steps / pace.steps_per_s + ROWS * pace.row_s) / MARGIN / 60
        raise TrainingError(
            f"one epoch takes {least:.2g} min here: more --minutes, or a smaller --width or --size"
        )
    return Plan(epochs, compiled, pace)


def _pace(trainer: Trainer) -> Pace:
    """Of a trainer that is thrown away."""
    trainer.begin_epoch()
    batches = _endless(trainer)
    for _ in range(WARM_UP):
        trainer.step(next(batches))
    began_s, steps = time.monotonic(), 0
    while steps < MOST_STEPS and (not steps or time.monotonic() - began_s < MOST_PROBE_S):
        trainer.step(next(batches))
        steps += 1
    ended_s = time.monotonic()
    trainer.write_row()
    return Pace(steps / max(ended_s - began_s, 1e-9), time.monotonic() - ended_s)


def _endless(trainer: Trainer) -> Iterator[Batch]:
    while True:
        yield from trainer.batches()


def scoring_rates(scorer: Scorer, clip: Pixels) -> dict[int, float]:
    """Frames/s by how many cameras a step serves: upload, model, gate, memory, heatmap. clip: (T, H, W, 3) uint8."""
    batches = (1, 32) if scorer.device.type == "cuda" else (1,)
    return {batch: _scoring_rate(scorer, [clip] * batch) for batch in batches}


def _scoring_rate(scorer: Scorer, clips: list[Pixels]) -> float:
    items = torch.stack([scorer.fresh_items()] * len(clips))
    steps, began_s = -WARM_UP, 0.0
    while steps < 1 or time.monotonic() - began_s < RATE_S:
        if steps == 0:
            began_s = time.monotonic()
        scorer.step(
            clips, items
        ).psnr_db.tolist()  # ends with numbers on the host: the device is done
        steps += 1
    return steps * len(clips) / (time.monotonic() - began_s)


def device_name(device: str) -> str:
    """For the table."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"CPU {platform.machine()}, {torch.get_num_threads()} of {os.cpu_count()} cores"


def trained(
    files: Files, options: TrainOptions, steps_per_epoch: int, epochs_wanted: int
) -> dict[str, Any]:
    """What the files of a finished training say of it."""
    header, last = read_header(files.out), read_header(files.last)
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


def _auc(way: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: percent(row["auc"][way])


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
    **{f"AUC, {name}": _auc(way) for way, name in NAMES.items()},
    "checkpoint": lambda row: row["checkpoint_sha256"],
    "command": lambda row: f"`{row['command']}`",
}
"""What the table says, and how it is read off a result."""


def results(folder: Path, tell: Callable[[str], None]) -> list[list[str]]:
    """The rows of the trainings whose results lie there, by their names; what is none of them is passed over, and told.

    It may be of another version, and comes after a training that must not be lost for it.
    """
    rows = []
    for path in sorted(folder.glob(f"*{RESULT}")):
        try:
            result = json.loads(path.read_text())
            rows.append([word(result) for word in COLUMNS.values()])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            tell(
                f"{path.name} is left out: it holds no result of this version ({type(error).__name__})"
            )
    return rows


def table(rows: list[list[str]]) -> str:
    """In Markdown, a line a training."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)
