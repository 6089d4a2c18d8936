"""What is noted of a training from time to time, and which of it is best."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

Criterion = Literal["psnr", "auc"]


@dataclass(frozen=True, slots=True)
class Row:
    """How training went since the row before."""

    epoch: int  # 1-based, the one it is in
    step: int  # done, over all epochs
    loss: float  # mean
    psnr_db: float  # mean, of the batches trained on
    learning_rate: float
    held_out: dict[str, Any] | None = None  # the fields of `validation.Measured`
    best: bool = False  # so far
    ready: bool = True  # the model had all that it scores with; a row before that is never the best


def worth(row: Row | None, best_by: Criterion) -> float:
    """Higher is better; no row at all, or one that did not measure it, is worth less than any."""
    field = {"psnr": "psnr_db", "auc": "auc_percent"}[best_by]
    found = None if row is None or row.held_out is None else row.held_out[field]
    return -math.inf if found is None else float(found)


def as_text(row: Row, epochs: int) -> str:
    """A row for a person."""
    text = f"epoch {row.epoch} of {epochs}, step {row.step}: loss {row.loss:.5f}, PSNR {row.psnr_db:.2f} dB"
    if row.held_out is not None:
        auc = row.held_out["auc_percent"]
        text += f", held out {row.held_out['psnr_db']:.2f} dB" + (
            "" if auc is None else f", generated AUC {auc:.1f} %"
        )
        text += "" if row.ready else " (too early to be the best)"
    return text + (" (best)" if row.best else "")
