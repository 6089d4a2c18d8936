"""Files of a run: checkpoints, log and the state to resume from.

While `gate.safetensors` is in training there are `gate.best.safetensors` and
`gate.last.safetensors`, written with each log entry; `gate.log.jsonl`, an entry a line; and
`gate.safetensors.resume`. At the end the best becomes `gate.safetensors` and the last stays beside
it; without held-out clips the last becomes `gate.safetensors`.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lookout.models.checkpoint.header import read_header
from lookout.models.errors import CheckpointError
from lookout.models.media.atomic_file import write_text
from lookout.models.training.progress import LogEntry
from lookout.models.training.trainer import Trainer


@dataclass(frozen=True, slots=True)
class RunFiles:
    """Paths of a run, by the name of the checkpoint that it writes."""

    out: Path

    @property
    def state(self) -> Path:
        """State to resume from."""
        return self.out.with_name(self.out.name + ".resume")

    @property
    def best(self) -> Path:
        """Checkpoint of the best log entry."""
        return self.out.with_name(f"{self.out.stem}.best{self.out.suffix}")

    @property
    def last(self) -> Path:
        """Checkpoint of the newest log entry."""
        return self.out.with_name(f"{self.out.stem}.last{self.out.suffix}")

    @property
    def log(self) -> Path:
        """Log entries, as JSON lines."""
        return self.out.with_name(f"{self.out.stem}.log.jsonl")

    @property
    def summary(self) -> Path:
        """Mean and deviation over several seeds."""
        return self.out.with_name(f"{self.out.stem}.seeds.json")

    def for_seed(self, seed: int) -> RunFiles:
        """Return the files of one of several seeds."""
        return RunFiles(self.out.with_name(f"{self.out.stem}-seed{seed}{self.out.suffix}"))

    def begin(self, trainer: Trainer) -> bool:
        """Resume from the state where there is one, and return True; else write a first state.

        What a killed process left half written and what an earlier run left is removed.

        Raises CheckpointError for a state of another run, OSError where nothing can be written.
        """
        for path in (self.out, self.best, self.last, self.log, self.state):
            temporary = re.compile(re.escape(f".{path.stem}.") + r"\d+" + re.escape(path.suffix))
            for hidden in list(path.parent.glob(".*")):
                if temporary.fullmatch(hidden.name):  # of `atomic_file.replacing`
                    hidden.unlink()
        if self.state.exists():
            trainer.resume(self.state)
            return True
        for path in (self.best, self.last, self.log):
            path.unlink(missing_ok=True)
        trainer.save(self.state)
        return False

    def write_log(self, log: list[LogEntry]) -> None:
        """Write every entry, a line each."""
        write_text(self.log, "".join(json.dumps(asdict(entry)) + "\n" for entry in log))

    def finish(self, trainer: Trainer) -> None:
        """Give the best checkpoint, or the last, its final name, and remove the state.

        A process that was killed in between did the first already; it is done again safely.

        Raises CheckpointError where that checkpoint is nowhere.
        """
        chosen = self.best if trainer.best else self.last
        if chosen.exists():
            chosen.replace(self.out)
        elif not is_checkpoint_of(trainer, self.out):
            raise CheckpointError(f"{chosen.name} is gone; remove {self.state.name} to start again")
        self.state.unlink()

    def is_finished(self, trainer: Trainer) -> bool:
        """Return whether the same run has come to its end before."""
        return not self.state.exists() and is_checkpoint_of(trainer, self.out)

    def advice_after_failure(self) -> str:
        """Return what is kept of a run that failed, and what to remove to start it again."""
        kept = " and ".join(path.name for path in (self.best, self.last) if path.exists())
        advice = f"remove {self.state.name} to start again"
        if kept:
            return f"{kept} kept; {advice}"
        return advice


def is_checkpoint_of(trainer: Trainer, path: Path) -> bool:
    """Return whether `path` is a checkpoint of this run, whichever log entry it belongs to."""
    try:
        header = read_header(path)
    except CheckpointError:
        return False
    expected = trainer.fingerprint()
    content = (
        {"model": header.model} | header.config,
        header.provenance.get("train"),
        header.provenance.get("footage"),
    )
    return content == (expected["config"], expected["options"], expected["footage"])


def summary_over_seeds(outs: dict[int, Path]) -> dict[str, Any]:
    """Return the log entry of each finished run by seed, with mean and sample deviation.

    Raises CheckpointError where a checkpoint is missing or damaged.
    """
    entries = {seed: read_header(path).provenance["row"] for seed, path in outs.items()}
    held_out = [entry["held_out"] or {} for entry in entries.values()]
    columns = {
        "loss": [entry["loss"] for entry in entries.values()],
        "psnr_db": [metrics.get("psnr_db") for metrics in held_out],
        "auc_percent": [metrics.get("auc_percent") for metrics in held_out],
    }
    return {
        "runs": [
            {"seed": seed, "checkpoint": outs[seed].name, "row": entry}
            for seed, entry in entries.items()
        ],
        "over_seeds": {
            name: {"mean": float(np.mean(column)), "deviation": float(np.std(column, ddof=1))}
            for name, column in columns.items()
            if None not in column
        },
    }
