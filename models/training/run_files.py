"""A training and its files: the checkpoint, the last and the best so far, the log, and the state to resume from.

Of `gate.safetensors`, while it runs: `gate.best.safetensors` and `gate.last.safetensors`, written with each row;
`gate.log.jsonl`, a line a row; `gate.safetensors.resume`. At its end the best becomes `gate.safetensors`, and the last
stays beside it; without held-out clips the last becomes `gate.safetensors`.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lookout.models.checkpoint.file import Checkpoint
from lookout.models.checkpoint.header import read_header
from lookout.models.errors import CheckpointError, TrainingError
from lookout.models.media.atomic_file import replacing
from lookout.models.training.loop import Progress, train
from lookout.models.training.progress import Row
from lookout.models.training.trainer import Trainer


@dataclass(frozen=True, slots=True)
class Files:
    """By the name of the checkpoint that is wanted."""

    out: Path

    @property
    def state(self) -> Path:
        return self.out.with_name(self.out.name + ".resume")

    @property
    def best(self) -> Path:
        return self._beside("best")

    @property
    def last(self) -> Path:
        return self._beside("last")

    @property
    def log(self) -> Path:
        return self.out.with_name(f"{self.out.stem}.log.jsonl")

    @property
    def summary(self) -> Path:
        """Of several seeds."""
        return self.out.with_name(f"{self.out.stem}.seeds.json")

    def of_seed(self, seed: int) -> Files:
        return Files(self.out.with_name(f"{self.out.stem}-seed{seed}{self.out.suffix}"))

    def half_written(self) -> list[Path]:
        """What a killed process left of its last write: `files.replacing` had no time to remove it."""
        folder, found = self.out.parent, []
        for path in (self.out, self.best, self.last, self.log, self.state):
            temporary = re.compile(re.escape(f".{path.stem}.") + r"\d+" + re.escape(path.suffix))
            found += [beside for beside in folder.glob(".*") if temporary.fullmatch(beside.name)]
        return found

    def _beside(self, which: str) -> Path:
        return self.out.with_name(f"{self.out.stem}.{which}{self.out.suffix}")


def begin(trainer: Trainer, files: Files) -> bool:
    """Go on from the state where there is one, and say so; else write one: what cannot be written is known at once.

    Raises CheckpointError for a state of another run, OSError.
    """
    for path in files.half_written():
        path.unlink()
    if files.state.exists():
        trainer.resume(files.state)
        return True
    for path in (files.best, files.last, files.log):
        path.unlink(missing_ok=True)  # of an earlier run
    trainer.save(files.state)
    return False


def run(
    trainer: Trainer,
    files: Files,
    made: Callable[[], Checkpoint],
    write: Callable[[Path, Checkpoint], None],
    *,
    report: Callable[[Progress], None] = lambda _: None,
    tell: Callable[[Row], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Train to the end; `begin` comes first. Raises as `loop.train` does, CheckpointError, OSError.

    made: the checkpoint as the trainer stands; write: puts it into a file, atomically.
    """

    def keep(row: Row) -> None:
        write(files.last, made())
        if row.best:
            write(files.best, made())
        _write_lines(files.log, [asdict(one) for one in trainer.rows])
        tell(row)

    try:
        train(trainer, files.state, report=report, keep=keep, should_stop=should_stop)
    except TrainingError as error:
        raise TrainingError(f"{error}; {_kept(files)}") from None
    _put_in_place(trainer, files)
    files.state.unlink()


def _put_in_place(trainer: Trainer, files: Files) -> None:
    """The best, or the last, gets the name that is wanted; a process that was killed after this has done it before.

    Raises CheckpointError where it is nowhere.
    """
    found = files.best if trainer.best else files.last
    if found.exists():
        found.replace(files.out)
    elif not _is_of(trainer, files.out):
        raise CheckpointError(f"{found.name} is gone; remove {files.state.name} to start anew")


def _kept(files: Files) -> str:
    """For the person whose training broke."""
    kept = " and ".join(path.name for path in (files.best, files.last) if path.exists())
    anew = f"remove {files.state.name} to start anew"
    return f"{kept} kept; {anew}" if kept else anew


def finished(trainer: Trainer, files: Files) -> bool:
    """The same run has been here before, and came to its end."""
    return not files.state.exists() and _is_of(trainer, files.out)


def _is_of(trainer: Trainer, path: Path) -> bool:
    """A checkpoint of this run, whatever row of it."""
    try:
        header = read_header(path)
    except CheckpointError:
        return False
    wanted = trainer.fingerprint()
    found = (
        {"model": header.model} | header.config,
        header.provenance.get("train"),
        header.provenance.get("footage"),
    )
    return found == (wanted["config"], wanted["options"], wanted["footage"])


def over_seeds(outs: dict[int, Path]) -> dict[str, Any]:
    """What the finished runs measured, by their seeds, with mean and sample deviation of each number."""
    rows = {seed: read_header(path).provenance["row"] for seed, path in outs.items()}
    columns = {
        "loss": [row["loss"] for row in rows.values()],
        "psnr_db": [(row["held_out"] or {}).get("psnr_db") for row in rows.values()],
        "auc_percent": [(row["held_out"] or {}).get("auc_percent") for row in rows.values()],
    }
    known = {name: column for name, column in columns.items() if None not in column}
    runs = [{"seed": seed, "checkpoint": outs[seed].name, "row": row} for seed, row in rows.items()]
    spread = {
        name: {"mean": float(np.mean(c)), "deviation": float(np.std(c, ddof=1))}
        for name, c in known.items()
    }
    return {"runs": runs, "over_seeds": spread}


def _write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    with replacing(path) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines))


class Pace:
    """How fast it goes and how long it will take, from the steps of this process alone."""

    def __init__(self, steps_done: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._first, self._clock, self._since_s = steps_done, clock, clock()

    def __call__(self, step: int, steps: int, most_s: float = math.inf) -> str:
        """most_s: how long it may still go on, if its steps take longer."""
        per_s = (step - self._first) / max(self._clock() - self._since_s, 1e-9)
        if not per_s:
            return "0 steps/s, time left unknown"
        left_s = round(min((steps - step) / per_s, most_s))
        return f"{per_s:.3g} steps/s, {left_s // 3600}:{left_s // 60 % 60:02}:{left_s % 60:02} left"
