"""STD has clusters from the middle of a training on; entries before that are never best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lookout.models.data.footage import Footage
from lookout.models.std import STD
from lookout.models.training.loop import train
from lookout.models.training.options import TrainOptions
from lookout.models.training.progress import TimeBudget
from lookout.models.training.trainer import StoppedError, Trainer
from lookout.models.training.validation import HeldOutMetrics, Validation
from tests.tiny import TINY_OF, street

CONFIG = TINY_OF["std"]
OPTIONS = TrainOptions(epochs=4, batch=4, learning_rate=1e-3)
FOOTAGE = Footage.of(
    {"street.mp4": np.stack([street(seq) for seq in range(12)])}, CONFIG.input_spec.frames
)
SHORT = replace(OPTIONS, limit_s=1e-9)
"""A time limit that is over after the first step."""


class Falling(Validation):
    """A validation whose rows get worse and worse."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        super().__init__(FOOTAGE, CONFIG, 1)
        self._psnr_db, self._meanwhile = 30.0, meanwhile

    def measure(self, score: Any) -> HeldOutMetrics:
        score(torch.zeros(1, 5, 32, 32, 3, dtype=torch.uint8))
        self._meanwhile()
        self._psnr_db -= 1
        return HeldOutMetrics(self._psnr_db, None, {})


def centres(trainer: Trainer) -> Tensor:
    assert isinstance(trainer.model, STD)
    return trainer.model.cluster.cluster_center.detach().clone()


def centres_by_k_means(trainer: Trainer) -> Tensor:
    trainer.model.make_ready(batch.clips for batch in trainer.batches())
    return centres(trainer)


def test_no_row_is_the_best_before_there_are_clusters(tmp_path: Path) -> None:
    trainer = Trainer(CONFIG, OPTIONS, FOOTAGE, Falling())
    train(trainer, tmp_path / "state")
    assert [row.ready for row in trainer.log] == [False, False, True, True]
    assert [row.best for row in trainer.log] == [False, False, True, False]
    assert all(row.held_out for row in trainer.log)
    assert trainer.log[0].as_text(4).endswith(" dB (too early to be the best)")
    assert trainer.log[2].as_text(4).endswith(" dB (best)")


def test_patience_begins_with_the_clusters(tmp_path: Path) -> None:
    trainer = Trainer(CONFIG, replace(OPTIONS, epochs=8, patience=2), FOOTAGE, Falling())
    train(trainer, tmp_path / "state")
    assert [row.best for row in trainer.log] == [False] * 4 + [True, False, False]


@pytest.mark.parametrize("held_out", [True, False])
def test_a_training_that_the_clock_ends_before_makes_them_then(
    tmp_path: Path, held_out: bool
) -> None:
    trainer = Trainer(CONFIG, SHORT, FOOTAGE, Falling() if held_out else None)
    train(trainer, tmp_path / "state")
    assert [(row.step, row.ready, row.best) for row in trainer.log] == [(1, True, held_out)]
    assert torch.equal(centres(trainer), centres_by_k_means(trainer))


def test_where_the_time_runs_out_in_a_measurement_one_more_counts(tmp_path: Path) -> None:
    def time_runs_out() -> None:
        trainer.budget = TimeBudget(1.0, spent_before_s=2.0)

    trainer = Trainer(CONFIG, replace(OPTIONS, log_every=1), FOOTAGE, Falling(time_runs_out))
    train(trainer, tmp_path / "state")
    assert [(row.step, row.ready, row.best) for row in trainer.log] == [
        (1, False, False),
        (2, True, True),
    ]
    assert torch.equal(centres(trainer), centres_by_k_means(trainer))


def test_stopped_in_its_last_measurement_it_ends_with_the_same_clusters(tmp_path: Path) -> None:
    undisturbed, stopped, resumed = (Trainer(CONFIG, SHORT, FOOTAGE, Falling()) for _ in range(3))
    train(undisturbed, tmp_path / "other")
    with pytest.raises(StoppedError):
        train(stopped, tmp_path / "state", should_stop=lambda: stopped.steps_done == 1)
    resumed.resume(tmp_path / "state")
    train(resumed, tmp_path / "state")
    assert resumed.log == undisturbed.log
    assert torch.equal(centres(resumed), centres(undisturbed))
