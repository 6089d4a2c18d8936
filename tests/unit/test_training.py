"""Training resumes to the same bits after a kill, and repeats with the same seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from lookout.models import memory
from lookout.models.data.clips import train_clips
from lookout.models.data.footage import Footage
from lookout.models.device import deterministic
from lookout.models.errors import CheckpointError, DataError, TrainingError
from lookout.models.media.preprocess import Preprocess
from lookout.models.mnad import MnadPred
from lookout.models.training.loader import WindowLoader, fits
from lookout.models.training.loop import train
from lookout.models.training.options import TrainOptions
from lookout.models.training.progress import LogEntry, RunProgress, TimeBudget
from lookout.models.training.trainer import StartWeights, StoppedError, Trainer
from lookout.models.training.validation import (
    HeldOutMetrics,
    Validation,
    measure_checkpoint,
    split,
)
from tests.clips import write_clip
from tests.conftest import with_long_forms
from tests.killed import KilledError
from tests.tiny import TINY, TINY_OF, TRAINED, untrained

OPTIONS = TrainOptions(epochs=3, batch=4, learning_rate=1e-3, seed=7)


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    folder = tmp_path_factory.mktemp("clips")
    for name in ("a", "b"):
        write_clip(folder / f"{name}.mp4", range(14), size_px=(64, 48))
    return Footage.load(train_clips(folder), Preprocess(32, 32), TINY.t_length)


def run_to_end(footage: Footage, state: Path) -> Trainer:
    trainer = Trainer(TINY, OPTIONS, footage)
    train(trainer, state)
    return trainer


def assert_same(one: Trainer, other: Trainer) -> None:
    assert torch.equal(one.items, other.items)
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, other.model.state_dict()[name]), name


def test_windows_never_span_two_clips(footage: Footage) -> None:
    assert len(footage.windows) == 2 * (14 - 4)
    first_of_b = footage.window(10)
    assert np.array_equal(first_of_b, footage.clips[1][:5])


def test_an_epoch_is_a_permutation_that_seed_and_epoch_decide(footage: Footage) -> None:
    def order(seed: int, epoch: int) -> Any:
        return np.concatenate(list(footage.batches(4, seed, epoch))).tolist()

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert sorted(order(1, 0)) == sorted(order(2, 5))


def test_training_lowers_the_loss(footage: Footage, tmp_path: Path) -> None:
    seen: list[RunProgress] = []
    train(Trainer(TINY, OPTIONS, footage), tmp_path / "state", on_progress=seen.append)
    assert [now.step for now in seen] == list(range(16))
    assert seen[-1].loss < seen[1].loss
    assert seen[-1].psnr_db > seen[1].psnr_db


def test_the_same_seed_gives_the_same_model_another_seed_another(
    footage: Footage, tmp_path: Path
) -> None:
    one = run_to_end(footage, tmp_path / "state")
    assert_same(one, run_to_end(footage, tmp_path / "state"))
    other = Trainer(TINY, TrainOptions(epochs=3, batch=4, learning_rate=1e-3, seed=8), footage)
    assert not torch.equal(one.items, other.items)


@pytest.mark.parametrize("stop_after", with_long_forms([1, 5, 7], {5}))
def test_a_resumed_run_equals_an_undisturbed_one(
    footage: Footage, tmp_path: Path, stop_after: int
) -> None:
    undisturbed = run_to_end(footage, tmp_path / "other")
    state, steps = tmp_path / "state", 0

    def should_stop() -> bool:
        nonlocal steps
        steps += 1
        return steps > stop_after

    with pytest.raises(StoppedError):
        train(Trainer(TINY, OPTIONS, footage), state, should_stop=should_stop)
    resumed = Trainer(TINY, OPTIONS, footage)
    resumed.resume(state)
    train(resumed, state)
    assert_same(undisturbed, resumed)


@pytest.fixture(scope="module")
def validated(footage: Footage) -> tuple[Footage, Validation]:
    kept, held = split(footage, 0.5, seed=1)
    return kept, Validation(held, TINY, seed=1)


WATCHED = replace(OPTIONS, log_every=2)


@pytest.mark.parametrize("stop_after", with_long_forms([1, 2, 3], {2}))
def test_rows_too_are_as_if_nothing_had_happened(
    validated: tuple[Footage, Validation], tmp_path: Path, stop_after: int
) -> None:
    undisturbed = Trainer(TINY, WATCHED, *validated)
    train(undisturbed, tmp_path / "other")
    state, steps = tmp_path / "state", iter(range(100))
    with pytest.raises(StoppedError):
        train(
            Trainer(TINY, WATCHED, *validated), state, should_stop=lambda: next(steps) >= stop_after
        )
    resumed = Trainer(TINY, WATCHED, *validated)
    resumed.resume(state)
    train(resumed, state)
    assert_same(undisturbed, resumed)
    assert resumed.log == undisturbed.log
    assert [row.step for row in resumed.log] == [2, 4, 6]


@pytest.mark.wide
def test_a_stop_while_a_row_is_measured_is_heard_and_changes_nothing(
    validated: tuple[Footage, Validation], tmp_path: Path
) -> None:
    undisturbed, stopped = Trainer(TINY, WATCHED, *validated), Trainer(TINY, WATCHED, *validated)
    train(undisturbed, tmp_path / "other")
    state, asked = tmp_path / "state", iter(range(100))
    with pytest.raises(StoppedError):
        train(stopped, state, should_stop=lambda: stopped.steps_done == 2 and next(asked) >= 1)
    assert (stopped.steps_done, stopped.log) == (2, [])
    resumed = Trainer(TINY, WATCHED, *validated)
    resumed.resume(state)
    train(resumed, state)
    assert_same(undisturbed, resumed)
    assert resumed.log == undisturbed.log


class Deadly(Validation):
    """A validation during which the process is killed."""

    def measure(self, score: Any) -> HeldOutMetrics:  # noqa: ARG002
        raise KilledError


def test_a_kill_while_a_row_is_measured_costs_the_measurement_alone(
    validated: tuple[Footage, Validation], tmp_path: Path
) -> None:
    kept, validation = validated
    undisturbed, state = Trainer(TINY, WATCHED, *validated), tmp_path / "state"
    train(undisturbed, tmp_path / "other")
    with pytest.raises(KilledError):
        train(Trainer(TINY, WATCHED, kept, Deadly(validation.footage, TINY, seed=1)), state)
    resumed = Trainer(TINY, WATCHED, *validated)
    resumed.resume(state)
    assert (resumed.steps_done, resumed.log) == (2, [])
    train(resumed, state)
    assert_same(undisturbed, resumed)
    assert resumed.log == undisturbed.log


def test_a_kill_after_a_row_does_not_cost_the_row(
    validated: tuple[Footage, Validation], tmp_path: Path
) -> None:
    killed, resumed, state = (
        Trainer(TINY, WATCHED, *validated),
        Trainer(TINY, WATCHED, *validated),
        tmp_path / "state",
    )

    def report(now: RunProgress) -> None:
        if now.step == 3:
            raise KilledError

    with pytest.raises(KilledError):
        train(killed, state, on_progress=report)
    resumed.resume(state)
    assert resumed.steps_done == 2
    assert resumed.log == killed.log
    assert [row.step for row in resumed.log] == [2]


@pytest.mark.wide
def test_measuring_changes_nothing_of_the_training(footage: Footage, tmp_path: Path) -> None:
    alone, watched = (
        Trainer(TINY, OPTIONS, footage),
        Trainer(TINY, WATCHED, footage, Validation(footage, TINY, 1)),
    )
    train(alone, tmp_path / "state")
    train(watched, tmp_path / "state")
    assert_same(alone, watched)


def test_a_row_tells_of_the_steps_since_the_one_before(footage: Footage, tmp_path: Path) -> None:
    seen: list[RunProgress] = []
    rows: list[LogEntry] = []
    train(
        Trainer(TINY, OPTIONS, footage),
        tmp_path / "state",
        on_progress=seen.append,
        on_log_entry=rows.append,
    )
    assert [(row.epoch, row.step) for row in rows] == [(1, 5), (2, 10), (3, 15)]
    assert rows[1].loss == pytest.approx(np.mean([now.loss for now in seen[6:11]]))
    assert rows[1].psnr_db == pytest.approx(np.mean([now.psnr_db for now in seen[6:11]]))
    assert rows[0].learning_rate == OPTIONS.learning_rate > rows[1].learning_rate
    assert all(row.held_out is None and not row.best for row in rows)


class Foretold:
    """A validation that returns given numbers."""

    def __init__(
        self, footage: Footage, psnr_db: list[float], auc_percent: list[float | None]
    ) -> None:
        self.footage = footage
        self._found = [
            HeldOutMetrics(psnr, auc, {}) for psnr, auc in zip(psnr_db, auc_percent, strict=True)
        ]

    def measure(self, score: Any) -> HeldOutMetrics:
        assert score(torch.zeros(1, 5, 32, 32, 3, dtype=torch.uint8))[0].isfinite().all()
        return self._found.pop(0)


def best_rows(
    footage: Footage, options: TrainOptions, foretold: Foretold, state: Path
) -> list[bool]:
    trainer = Trainer(TINY, options, footage, cast(Validation, foretold))
    train(trainer, state)
    return [row.best for row in trainer.log]


def test_the_best_row_has_the_highest_psnr_or_auc(footage: Footage, tmp_path: Path) -> None:
    psnr, auc = [20.0, 22.0, 22.0], [60.0, None, 61.0]
    by_psnr = best_rows(footage, OPTIONS, Foretold(footage, psnr, auc), tmp_path / "state")
    by_auc = best_rows(
        footage, replace(OPTIONS, best_by="auc"), Foretold(footage, psnr, auc), tmp_path / "state"
    )
    assert by_psnr == [True, True, False]
    assert by_auc == [True, False, True]


def test_patience_ends_a_training_that_gets_no_better(footage: Footage, tmp_path: Path) -> None:
    options = replace(OPTIONS, epochs=9, patience=2)
    foretold = Foretold(footage, [20.0, 19.0, 21.0, 20.5, 21.0, 99.0, 99.0, 99.0, 99.0], [None] * 9)
    assert best_rows(footage, options, foretold, tmp_path / "state") == [
        True,
        False,
        True,
        False,
        False,
    ]


def test_what_is_no_number_is_never_saved(footage: Footage, tmp_path: Path) -> None:
    state, trainer = tmp_path / "state", Trainer(TINY, OPTIONS, footage)
    trainer.save(state)
    before = state.read_bytes()
    next(iter(trainer.model.parameters())).data[0] = torch.inf
    with pytest.raises(TrainingError, match="no number after epoch 1"):
        trainer.save(state)
    with pytest.raises(TrainingError, match="no number"):
        trainer.measure()
    assert state.read_bytes() == before


def test_a_loss_that_is_no_number_moves_nothing(footage: Footage) -> None:
    trainer = Trainer(TINY, OPTIONS, footage)
    before = [parameter.clone() for parameter in trainer.model.parameters()]
    batch = next(trainer.batches())
    batch.clips[0, -1] = torch.nan
    with pytest.raises(
        TrainingError, match="loss became nan in epoch 1: try a smaller learning rate"
    ):
        trainer.step(batch)
    assert all(
        torch.equal(one, other)
        for one, other in zip(before, trainer.model.parameters(), strict=True)
    )


@pytest.mark.parametrize("name", with_long_forms(TRAINED, {"mnad-pred", "memae", "std"}))
def test_every_model_trains_deterministically_on_request(
    name: str, footage: Footage, tmp_path: Path
) -> None:
    long = Footage.of({"long": np.concatenate([*footage.clips])}, TINY_OF[name].input_spec.frames)
    options = TrainOptions(epochs=1, batch=12, deterministic=True)
    with deterministic(True):
        assert torch.are_deterministic_algorithms_enabled()
        train(
            Trainer(TINY_OF[name], options, long, Validation(long, TINY_OF[name], 1)),
            tmp_path / "state",
        )
    assert not torch.are_deterministic_algorithms_enabled()
    with deterministic(False):
        assert not torch.are_deterministic_algorithms_enabled()


def test_in_bf16_the_memory_is_updated_and_held_against_in_float32() -> None:
    torch.manual_seed(0)
    model, items = MnadPred(TINY).train(), MnadPred(TINY).initial_items()
    clips = torch.rand(4, 3 * TINY.t_length, 32, 32) * 2 - 1
    with torch.autocast("cpu", torch.bfloat16):
        asked = model(clips[:, :-3], items[None]).queries
        losses, updated, _ = model.losses(clips, items)
    q, m = memory.fold_batch(asked), items[None]
    assert torch.equal(updated, memory.update(q, m)[0])
    assert torch.equal(losses.compactness, memory.compactness(q, m))
    assert torch.equal(losses.separateness, memory.separateness(q, m))


@pytest.mark.wide
def test_bf16_trains_and_measures(footage: Footage, tmp_path: Path) -> None:
    trainer = Trainer(
        TINY, replace(OPTIONS, precision="bf16"), footage, Validation(footage, TINY, 1)
    )
    train(trainer, tmp_path / "state")
    assert trainer.log[-1].loss < trainer.log[0].loss
    assert {parameter.dtype for parameter in trainer.model.parameters()} == {torch.float32}


def test_the_lesson_is_compiled_on_request(
    footage: Footage, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[Any] = []

    def compile_(function: Any) -> Any:
        compiled.append(function)
        return function

    monkeypatch.setattr(torch, "compile", compile_)
    Trainer(TINY, OPTIONS, footage)
    assert not compiled
    trainer = Trainer(TINY, replace(OPTIONS, compiled=True), footage)
    assert compiled == [trainer.model.training_step]


def test_a_state_of_another_run_or_a_damaged_one_is_refused(
    footage: Footage, tmp_path: Path
) -> None:
    state = tmp_path / "model.resume"
    Trainer(TINY, OPTIONS, footage).save(state)
    with pytest.raises(CheckpointError, match="other options"):
        Trainer(TINY, TrainOptions(epochs=9), footage).resume(state)
    with pytest.raises(CheckpointError, match="footage"):
        Trainer(TINY, OPTIONS, replace(footage, sha256="other")).resume(state)
    with pytest.raises(CheckpointError, match="footage"):
        Trainer(TINY, OPTIONS, footage, Validation(footage, TINY, seed=1)).resume(state)
    torch.save([1, 2], state)
    with pytest.raises(CheckpointError, match="other options"):
        Trainer(TINY, OPTIONS, footage).resume(state)
    Trainer(TINY, OPTIONS, footage).save(state)
    state.write_bytes(state.read_bytes()[:500])
    with pytest.raises(CheckpointError, match="cannot be resumed from"):
        Trainer(TINY, OPTIONS, footage).resume(state)


@pytest.mark.parametrize("resident", [True, False])
def test_a_feed_gives_the_same_wherever_the_footage_lies(footage: Footage, resident: bool) -> None:
    batch = WindowLoader(footage, torch.device("cpu"), resident=resident).load(np.array([10, 3]))
    assert np.array_equal(batch.numpy(), np.stack([footage.window(10), footage.window(3)]))


def test_footage_goes_to_the_device_where_half_of_its_memory_holds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 9999))
    assert fits(500, torch.device("cuda"))
    assert not fits(501, torch.device("cuda"))
    assert not fits(1, torch.device("cpu"))


def test_a_clip_too_short_for_one_window_is_refused(tmp_path: Path) -> None:
    write_clip(tmp_path / "long.mp4", range(9))
    write_clip(tmp_path / "short.mp4", range(3))
    with pytest.raises(DataError, match=r"short\.mp4 has 3 frames; the model needs 5"):
        Footage.load(train_clips(tmp_path), Preprocess(32, 32), 5)


def test_a_folder_without_clips_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no video clip"):
        train_clips(tmp_path)
    with pytest.raises(DataError, match="no folder"):
        train_clips(tmp_path / "nowhere")


def test_a_checkpoint_to_start_from_is_measured_as_the_run_measures_it(
    footage: Footage, tmp_path: Path
) -> None:
    """Before the first step the model in training and the checkpoint have the same figures."""
    checkpoint = untrained(TINY, seed=3)
    paths = []
    for name in ("c", "d"):
        write_clip(tmp_path / f"{name}.mp4", range(14), size_px=(64, 48))
        paths.append(tmp_path / f"{name}.mp4")
    held_out = Footage.load(paths, Preprocess(32, 32), TINY.t_length)
    validation = Validation(held_out, TINY, OPTIONS.seed)
    start = StartWeights(checkpoint, "digest")
    trainer = Trainer(TINY, OPTIONS, footage, validation, start)
    of_run = validation.measure(trainer.score)
    assert of_run == measure_checkpoint(checkpoint, paths, OPTIONS.seed, lambda: None)
    fresh = Trainer(TINY, OPTIONS, footage, validation)
    assert trainer.fingerprint() != fresh.fingerprint()
    assert of_run != validation.measure(fresh.score)


def test_a_time_budget_counts_by_the_clock_that_it_is_given() -> None:
    now_s = 100.0
    budget = TimeBudget(10.0, 2.0, lambda: now_s)
    budget.start()
    now_s = 105.0
    assert (budget.spent_s, budget.left_s) == (7.0, 3.0)
