"""Training: goes on after a kill as if nothing had happened, and gives the same for the same seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.errors import CheckpointError, DataError
from models.preprocess import Preprocess
from models.training import loop
from models.training.feed import Feed, fits
from models.training.footage import Footage, train_clips
from models.training.loop import StoppedError, Trainer, TrainOptions, train
from tests.clips import write_clip
from tests.tiny import TINY

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
    seen: list[loop.Progress] = []
    train(Trainer(TINY, OPTIONS, footage), tmp_path / "state", report=seen.append)
    assert [now.step for now in seen] == list(range(1, 16))
    assert seen[-1].loss < seen[0].loss
    assert seen[-1].psnr_db > seen[0].psnr_db


def test_the_same_seed_gives_the_same_model_another_seed_another(footage: Footage, tmp_path: Path) -> None:
    one = run_to_end(footage, tmp_path / "state")
    assert_same(one, run_to_end(footage, tmp_path / "state"))
    other = Trainer(TINY, TrainOptions(epochs=3, batch=4, learning_rate=1e-3, seed=8), footage)
    assert not torch.equal(one.items, other.items)


@pytest.mark.parametrize("stop_after", [1, 5, 7])
def test_a_resumed_run_equals_an_undisturbed_one(footage: Footage, tmp_path: Path, stop_after: int) -> None:
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


def test_a_state_of_another_run_or_a_damaged_one_is_refused(footage: Footage, tmp_path: Path) -> None:
    state = tmp_path / "model.resume"
    Trainer(TINY, OPTIONS, footage).save(state)
    with pytest.raises(CheckpointError, match="other options"):
        Trainer(TINY, TrainOptions(epochs=9), footage).resume(state)
    with pytest.raises(CheckpointError, match="footage"):
        Trainer(TINY, OPTIONS, replace(footage, sha256="other")).resume(state)
    torch.save([1, 2], state)
    with pytest.raises(CheckpointError, match="other options"):
        Trainer(TINY, OPTIONS, footage).resume(state)
    Trainer(TINY, OPTIONS, footage).save(state)
    state.write_bytes(state.read_bytes()[:500])
    with pytest.raises(CheckpointError, match="cannot be resumed from"):
        Trainer(TINY, OPTIONS, footage).resume(state)


@pytest.mark.parametrize("resident", [True, False])
def test_a_feed_gives_the_same_wherever_the_footage_lies(footage: Footage, resident: bool) -> None:
    batch = Feed(footage, torch.device("cpu"), resident=resident)(np.array([10, 3]))
    assert np.array_equal(batch.numpy(), np.stack([footage.window(10), footage.window(3)]))


def test_footage_goes_to_the_device_where_half_of_its_memory_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
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
