"""A training in a given time: planned from the measured rate, and ended on time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch

from contrib import recipe
from contrib.recipe import Throughput, fit_options
from lookout.models.data.footage import Footage
from lookout.models.errors import DataError, TrainingError
from lookout.models.training.loop import train
from lookout.models.training.options import TrainOptions
from lookout.models.training.trainer import Trainer
from lookout.models.training.validation import Validation
from tests.tiny import TINY, street

FOOTAGE = Footage.of({"street.mp4": np.stack([street(seq) for seq in range(12)])}, TINY.t_length)
OPTIONS = TrainOptions(epochs=60, batch=4, limit_s=600, compiled=True)
STEPS = FOOTAGE.batches_per_epoch(OPTIONS.batch)

Planner = Callable[[TrainOptions], TrainOptions]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def plan(tmp_path: Path, said: list[str]) -> Planner:
    validation = Validation(FOOTAGE, TINY, 0)
    return lambda options: fit_options(
        TINY, options, FOOTAGE, validation, tmp_path / "plan.json", said.append
    )


def goes(
    monkeypatch: pytest.MonkeyPatch, plain: float, compiled: float, row_s: float = 1.0
) -> None:
    """Set the measured steps per second; a real compilation would take half a minute."""
    monkeypatch.setattr(torch, "compile", lambda step: step)
    monkeypatch.setattr(
        recipe,
        "throughput",
        lambda it: Throughput(compiled if it.options.compiled else plain, row_s),
    )


def test_as_many_epochs_as_fit_and_no_more_than_asked_for(
    monkeypatch: pytest.MonkeyPatch, plan: Planner
) -> None:
    seconds = 0.9 * 600 - recipe.MEASUREMENTS
    goes(monkeypatch, plain=20.5 * STEPS / seconds, compiled=0)
    fitted = plan(OPTIONS)
    assert (fitted.epochs, fitted.compiled, fitted.log_every) == (
        20,
        False,
        -(-20 * STEPS // recipe.MEASUREMENTS),
    )
    assert replace(fitted, epochs=60, compiled=True, log_every=0) == OPTIONS


def test_a_fast_machine_does_the_published_schedule(
    monkeypatch: pytest.MonkeyPatch, plan: Planner
) -> None:
    goes(monkeypatch, plain=1e3, compiled=2e3)
    fitted = plan(OPTIONS)
    assert (fitted.epochs, fitted.compiled) == (60, True)


def test_a_plan_is_kept_for_the_run_that_goes_on(
    monkeypatch: pytest.MonkeyPatch, plan: Planner, tmp_path: Path
) -> None:
    goes(monkeypatch, plain=1.0, compiled=0.5)
    before = plan(OPTIONS)
    goes(monkeypatch, plain=1e3, compiled=1e3)
    assert plan(OPTIONS) == before
    with pytest.raises(DataError, match=r"plan\.json is of a training with other options"):
        plan(replace(OPTIONS, batch=8))
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(DataError, match=r"plan\.json is no plan"):
        plan(OPTIONS)


def test_not_one_epoch_is_one_line_and_no_plan(
    monkeypatch: pytest.MonkeyPatch, plan: Planner, tmp_path: Path
) -> None:
    goes(monkeypatch, plain=STEPS / 3600, compiled=0, row_s=0)
    with pytest.raises(TrainingError, match=r"one epoch takes 67 min here: more --minutes"):
        plan(OPTIONS)
    assert not list(tmp_path.iterdir())


def test_without_a_working_compiler_it_goes_on_without(
    monkeypatch: pytest.MonkeyPatch, plan: Planner, said: list[str]
) -> None:
    def broken(*_: Any, **__: Any) -> NoReturn:
        raise RuntimeError("no compiler\nand a long story")

    monkeypatch.setattr(torch, "compile", lambda _: broken)
    monkeypatch.setattr(recipe, "MAX_PROBE_STEPS", 2)
    fitted = plan(replace(OPTIONS, epochs=1))
    assert (fitted.epochs, fitted.compiled) == (1, False)
    assert said[0] == "torch.compile does not work here: no compiler"


def test_the_time_ends_a_training_with_a_row_wherever_it_stands(tmp_path: Path) -> None:
    trainer = Trainer(TINY, replace(OPTIONS, limit_s=1e-9, compiled=False), FOOTAGE)
    train(trainer, tmp_path / "state")
    assert [row.step for row in trainer.log] == [trainer.steps_done] == [1]


def test_the_clock_goes_on_after_a_kill(tmp_path: Path) -> None:
    options = replace(OPTIONS, epochs=1, compiled=False)
    trainer = Trainer(TINY, options, FOOTAGE)
    train(trainer, tmp_path / "state")
    trainer.save(tmp_path / "state")
    resumed = Trainer(TINY, options, FOOTAGE)
    resumed.resume(tmp_path / "state")
    assert resumed.budget.spent_s > 0
    assert resumed.budget.spent_s <= trainer.budget.spent_s


def test_the_step_grows_with_the_root_of_the_batch() -> None:
    assert recipe.learning_rate(4) == 2e-4
    assert recipe.learning_rate(16) == pytest.approx(4e-4)
