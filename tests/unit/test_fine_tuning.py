"""Fine-tuning of minutes makes a checkpoint better for another scene, from the first entry on."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from lookout.models.checkpoint.file import Checkpoint
from lookout.models.data.footage import Footage
from lookout.models.media.preprocess import Preprocess
from lookout.models.mnad import MnadConfig
from lookout.models.training.loop import train
from lookout.models.training.options import FineTuning, TrainOptions
from lookout.models.training.run import TrainRequest
from lookout.models.training.trainer import StartWeights, StoppedError, Trainer
from lookout.models.training.validation import Validation
from tests.tiny import TINY, TINY_OF, TRAINED, street, untrained, write_tiny

RATE = 2e-3
OPTIONS = TrainOptions(
    epochs=1000, learning_rate=RATE, log_every=20, limit_s=80.0, fine_tuning=FineTuning(5, 16)
)


def scene(frames: range, *, inverted: bool) -> Footage:
    clip = np.stack([street(seq) for seq in frames])
    if inverted:
        clip = 255 - clip[:, :, ::-1]
    return Footage.of({"street": np.ascontiguousarray(clip)}, TINY.t_length)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> StartWeights:
    """A model that knows the street, and none of the other scene."""
    footage = scene(range(40), inverted=False)
    trainer = Trainer(TINY, TrainOptions(epochs=12, learning_rate=1e-3), footage)
    train(trainer, tmp_path_factory.mktemp("run") / "state")
    return StartWeights(trainer.checkpoint(Preprocess(32, 32), {}), "5eed")


def new_trainer(start: StartWeights, options: TrainOptions = OPTIONS) -> Trainer:
    """A trainer whose clock gains a second with each look."""
    held_out = Validation(scene(range(60, 90), inverted=True), TINY, seed=1)
    trainer = Trainer(TINY, options, scene(range(40), inverted=True), held_out, start)
    trainer.budget.clock = map(float, count()).__next__
    return trainer


def statistics(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    tensors = checkpoint.model.state_dict()
    return {name: tensor for name, tensor in tensors.items() if "running" in name}


@pytest.mark.long
def test_every_entry_is_better_than_the_start(start: StartWeights, tmp_path: Path) -> None:
    trainer = new_trainer(start)
    assert trainer.validation is not None
    before = trainer.validation.measure(trainer.score)
    train(trainer, tmp_path / "state")
    values = [entry.held_out["psnr_db"] for entry in trainer.log if entry.held_out]
    assert values
    assert min(values) > before.psnr_db
    assert values[-1] == max(values)
    kept = statistics(trainer.checkpoint(Preprocess(32, 32), {}))
    for name, tensor in statistics(start.checkpoint).items():
        assert torch.equal(tensor, kept[name]), name


def test_the_learning_rate_warms_up_and_ends_with_the_time(start: StartWeights) -> None:
    trainer = new_trainer(start, replace(OPTIONS, limit_s=40.0))
    trainer.budget.start()
    rates = []
    while trainer.budget.left_s > 1:
        for batch in trainer.batches(trainer.step_in_epoch):
            rates.append(trainer.optimizer.param_groups[0]["lr"])
            trainer.step(batch)
        trainer.end_epoch()
    assert rates[0] == pytest.approx(RATE / 5)
    assert max(rates) == max(rates[:10])
    assert all(later <= earlier for earlier, later in pairwise(rates[5:]))
    assert rates[-1] < RATE / 50


def test_without_a_limit_the_learning_rate_stays(start: StartWeights) -> None:
    trainer = new_trainer(start, replace(OPTIONS, limit_s=0.0))
    trainer.budget.start()
    for batch in trainer.batches():
        trainer.step(batch)
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(RATE)


def test_a_stopped_run_goes_on_with_its_learning_rate(start: StartWeights, tmp_path: Path) -> None:
    trainer = new_trainer(start)
    with pytest.raises(StoppedError):
        train(trainer, tmp_path / "state", should_stop=lambda: trainer.steps_done == 12)
    resumed = new_trainer(start)
    resumed.resume(tmp_path / "state")
    assert resumed.steps_done == 12
    assert 0 < resumed.optimizer.param_groups[0]["lr"] < RATE
    train(resumed, tmp_path / "state")
    assert resumed.budget.is_over


def test_the_squares_are_drawn_by_seed_and_batch(start: StartWeights) -> None:
    def squares(trainer: Trainer) -> torch.Tensor:
        return torch.cat([batch.clips for batch in trainer.batches()])

    one = squares(new_trainer(start))
    assert one.shape[2:] == (16, 16)
    assert torch.equal(one, squares(new_trainer(start)))
    other = squares(new_trainer(start, replace(OPTIONS, seed=1)))
    assert not torch.equal(one, other)
    whole = replace(OPTIONS, fine_tuning=FineTuning(crop_px=128))
    assert squares(new_trainer(start, whole)).shape[2:] == (32, 32)


@pytest.mark.parametrize("name", TRAINED)
def test_every_model_is_fine_tuned_on_squares(name: str) -> None:
    config = replace(TINY_OF[name], height_px=64, width_px=64)
    clip = np.stack([street(seq, 64) for seq in range(20)])
    footage = Footage.of({"street": clip}, config.input_spec.frames)
    options = replace(OPTIONS, fine_tuning=FineTuning(crop_px=32))
    trainer = Trainer(config, options, footage, start=StartWeights(untrained(config), ""))
    trainer.begin_epoch()
    loss, _ = trainer.step(next(trainer.batches()))
    assert math.isfinite(loss)


def test_the_losses_of_the_memory_are_left_out(tmp_path: Path) -> None:
    def losses(options: TrainOptions) -> tuple[float, float]:
        start = write_tiny(tmp_path)
        config = TrainRequest(tmp_path, tmp_path / "out", options=options, start=start)
        made = config.configuration()
        assert isinstance(made, MnadConfig)
        return made.loss_compact, made.loss_separate

    assert losses(OPTIONS) == (0.0, 0.0)
    assert losses(replace(OPTIONS, fine_tuning=None)) == (TINY.loss_compact, TINY.loss_separate)
