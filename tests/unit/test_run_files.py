"""The files of a training run: checkpoints, log and state, whatever happens to the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lookout.models.checkpoint.file import Checkpoint, load_checkpoint, save_checkpoint
from lookout.models.checkpoint.header import read_header
from lookout.models.data.footage import Footage
from lookout.models.errors import CheckpointError, TrainingError
from lookout.models.media.preprocess import Preprocess
from lookout.models.training.options import TrainOptions
from lookout.models.training.progress import RunProgress, StepRate
from lookout.models.training.run import train_to_files
from lookout.models.training.run_files import RunFiles, summary_over_seeds
from lookout.models.training.trainer import StoppedError, Trainer
from lookout.models.training.validation import HeldOutMetrics, Validation
from tests.conftest import with_long_forms
from tests.killed import KilledError
from tests.recorder import Recorder
from tests.tiny import TINY, street

OPTIONS = TrainOptions(epochs=3, batch=4, learning_rate=1e-3, seed=7)
PREPROCESS = Preprocess(32, 32)
FOOTAGE = Footage.of({"street.mp4": np.stack([street(seq) for seq in range(12)])}, TINY.t_length)


class Falling(Validation):
    """A validation whose first row is the best."""

    def __init__(self) -> None:
        super().__init__(FOOTAGE, TINY, 1)
        self._psnr_db = 30.0

    def measure(self, score: Any) -> HeldOutMetrics:  # noqa: ARG002
        self._psnr_db -= 1
        return HeldOutMetrics(self._psnr_db, None, {})


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    return RunFiles(tmp_path / "gate.safetensors")


def run(trainer: Trainer, files: RunFiles, should_stop: Callable[[], bool] = lambda: False) -> bool:
    """Train to the files; return whether the run was resumed."""
    recorder = Recorder()
    train_to_files(trainer, files, PREPROCESS, recorder, should_stop, False, dict)
    return any(line.startswith("going on from") for line in recorder.messages)


def left(files: RunFiles) -> set[str]:
    return {path.name for path in files.out.parent.iterdir()}


def epoch_in(path: Path) -> Any:
    return read_header(path).provenance["row"]["epoch"]


def test_at_the_end_the_checkpoint_is_the_best_and_the_last_lies_beside_it(files: RunFiles) -> None:
    run(Trainer(TINY, OPTIONS, FOOTAGE, Falling()), files)
    assert left(files) == {"gate.safetensors", "gate.last.safetensors", "gate.log.jsonl"}
    assert (epoch_in(files.out), epoch_in(files.last)) == (1, 3)
    rows = [json.loads(line) for line in files.log.read_text().splitlines()]
    assert [(row["epoch"], row["held_out"]["psnr_db"], row["best"]) for row in rows] == [
        (1, 29.0, True),
        (2, 28.0, False),
        (3, 27.0, False),
    ]
    held = read_header(files.out).provenance["footage"]["held_out"]
    assert held == {"sha256": FOOTAGE.sha256, "clips": ["street.mp4"]}


def test_without_held_out_clips_it_is_the_last(files: RunFiles) -> None:
    trainer = Trainer(TINY, OPTIONS, FOOTAGE)
    run(trainer, files)
    assert left(files) == {"gate.safetensors", "gate.log.jsonl"}
    assert epoch_in(files.out) == 3
    loaded = load_checkpoint(files.out)
    for key, tensor in trainer.model.state_dict().items():
        assert tensor.equal(loaded.model.state_dict()[key])
    assert trainer.model.training  # what was saved was a copy


def test_the_old_checkpoint_stays_until_the_new_one_is_done(files: RunFiles) -> None:
    files.out.write_text("old")
    steps = iter(range(100))
    with pytest.raises(StoppedError):
        run(Trainer(TINY, OPTIONS, FOOTAGE), files, should_stop=lambda: next(steps) >= 3)
    assert files.out.read_text() == "old"
    assert epoch_in(files.last) == 1
    assert run(Trainer(TINY, OPTIONS, FOOTAGE), files)
    assert epoch_in(files.out) == 3


def measured() -> Trainer:
    return Trainer(TINY, replace(OPTIONS, log_every=1), FOOTAGE, Validation(FOOTAGE, TINY, 1))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    files = RunFiles(tmp_path_factory.mktemp("undisturbed") / "gate.safetensors")
    run(measured(), files)
    return files


@pytest.mark.parametrize("stop_after", with_long_forms([1, 3, 5], {3}))
def test_a_stopped_run_ends_with_the_files_of_an_undisturbed_one(
    files: RunFiles, undisturbed: RunFiles, stop_after: int
) -> None:
    stopped = files
    steps = iter(range(100))
    with pytest.raises(StoppedError):
        run(measured(), stopped, should_stop=lambda: next(steps) >= stop_after)
    assert run(measured(), stopped)
    assert left(stopped) == left(undisturbed)
    for name in left(stopped):
        assert (stopped.out.parent / name).read_bytes() == (
            undisturbed.out.parent / name
        ).read_bytes(), name


def killed_at_its_very_end(files: RunFiles) -> None:
    """A run whose best is in its place, and whose state is still there."""
    unlink = Path.unlink

    def killed(path: Path, missing_ok: bool = False) -> None:
        if path == files.state:
            raise KilledError
        unlink(path, missing_ok)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(Path, "unlink", killed)
        run(Trainer(TINY, OPTIONS, FOOTAGE, Falling()), files)
    assert left(files) == {
        "gate.safetensors",
        "gate.last.safetensors",
        "gate.log.jsonl",
        "gate.safetensors.resume",
    }


def test_a_kill_before_the_state_is_removed_leaves_nothing_to_do_but_that(files: RunFiles) -> None:
    killed_at_its_very_end(files)
    before = files.out.read_bytes()
    assert run(Trainer(TINY, OPTIONS, FOOTAGE, Falling()), files)
    assert left(files) == {"gate.safetensors", "gate.last.safetensors", "gate.log.jsonl"}
    assert files.out.read_bytes() == before


def test_a_best_checkpoint_that_somebody_removed_is_one_line(files: RunFiles) -> None:
    killed_at_its_very_end(files)
    other = Trainer(TINY, replace(OPTIONS, seed=8), FOOTAGE, Falling())
    save_checkpoint(files.out, other.checkpoint(PREPROCESS, {}))
    with pytest.raises(
        CheckpointError, match=r"gate\.best\.safetensors is gone; remove gate\.safetensors\.resume"
    ):
        run(Trainer(TINY, OPTIONS, FOOTAGE, Falling()), files)
    files.out.unlink()
    with pytest.raises(CheckpointError, match="is gone"):
        run(Trainer(TINY, OPTIONS, FOOTAGE, Falling()), files)


def test_what_an_earlier_run_left_is_not_mistaken_for_this_one(files: RunFiles) -> None:
    for path in (files.best, files.last, files.log):
        path.write_text("old")
    assert not files.begin(Trainer(TINY, OPTIONS, FOOTAGE))
    assert left(files) == {"gate.safetensors.resume"}


def test_what_a_killed_process_left_half_written_goes(files: RunFiles) -> None:
    begun = [
        ".gate.77.safetensors",
        ".gate.best.77.safetensors",
        ".gate.safetensors.77.resume",
        ".gate.log.77.jsonl",
    ]
    others = [".gate.night.77.safetensors", ".other.77.safetensors", "gate.77.safetensors"]
    for name in begun + others:
        files.out.with_name(name).write_text("half")
    files.begin(Trainer(TINY, OPTIONS, FOOTAGE))
    assert left(files) == {"gate.safetensors.resume", *others}


def test_a_folder_that_cannot_be_written_is_known_before_the_first_step() -> None:
    with pytest.raises(OSError, match="proc"):
        RunFiles(Path("/proc/gate.safetensors")).begin(Trainer(TINY, OPTIONS, FOOTAGE))


def test_a_broken_training_keeps_what_was_good_and_says_so(files: RunFiles) -> None:
    trainer = Trainer(TINY, OPTIONS, FOOTAGE, Falling())

    def break_after_the_second_row() -> bool:
        if trainer.epoch == 2:
            next(iter(trainer.model.parameters())).data.fill_(np.nan)
        return False

    with pytest.raises(TrainingError, match=r"gate\.best.* and gate\.last.* kept; remove .*resume"):
        run(trainer, files, should_stop=break_after_the_second_row)
    assert (epoch_in(files.best), epoch_in(files.last)) == (1, 2)
    load_checkpoint(files.last)
    assert not files.out.exists()


def test_an_interrupted_write_leaves_the_checkpoint_before_it(
    files: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(TINY, OPTIONS, FOOTAGE)

    def full_disk(tensors: Any, path: Path, metadata: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    def write(path: Path, checkpoint: Checkpoint, dtype: torch.dtype) -> None:
        if trainer.epoch == 1:
            monkeypatch.setattr("lookout.models.checkpoint.file.save_file", full_disk)
        save_checkpoint(path, checkpoint, dtype)

    with pytest.raises(OSError, match="No space left"):
        monkeypatch.setattr("lookout.models.training.run.save_checkpoint", write)
        run(trainer, files)
    assert epoch_in(files.last) == 1
    assert left(files) == {"gate.last.safetensors", "gate.log.jsonl", "gate.safetensors.resume"}


def test_a_finished_run_is_known_by_its_options_footage_and_model(files: RunFiles) -> None:
    trainer = Trainer(TINY, OPTIONS, FOOTAGE)
    assert not files.is_finished(trainer)
    run(trainer, files)
    assert files.is_finished(Trainer(TINY, OPTIONS, FOOTAGE))
    assert not files.is_finished(Trainer(TINY, replace(OPTIONS, epochs=4), FOOTAGE))
    assert not files.is_finished(Trainer(replace(TINY, items=5), OPTIONS, FOOTAGE))
    assert not files.is_finished(Trainer(TINY, OPTIONS, FOOTAGE, Falling()))
    files.out.write_text("damaged")
    assert not files.is_finished(Trainer(TINY, OPTIONS, FOOTAGE))


def test_over_several_seeds_there_are_mean_and_deviation(files: RunFiles) -> None:
    outs = {}
    for seed in (3, 4):
        own = files.for_seed(seed)
        run(Trainer(TINY, replace(OPTIONS, seed=seed), FOOTAGE, Falling()), own)
        outs[seed] = own.out
    found = summary_over_seeds(outs)
    losses = [run["row"]["loss"] for run in found["runs"]]
    assert [run["checkpoint"] for run in found["runs"]] == [
        "gate-seed3.safetensors",
        "gate-seed4.safetensors",
    ]
    assert found["over_seeds"]["loss"]["mean"] == pytest.approx(sum(losses) / 2)
    assert found["over_seeds"]["loss"]["deviation"] == pytest.approx(
        abs(losses[0] - losses[1]) / 2**0.5
    )
    assert found["over_seeds"]["psnr_db"] == {"mean": 29.0, "deviation": 0.0}
    assert "auc_percent" not in found["over_seeds"]


def test_a_state_of_another_model_is_refused(files: RunFiles) -> None:
    files.begin(Trainer(TINY, OPTIONS, FOOTAGE))
    with pytest.raises(CheckpointError, match="other options"):
        files.begin(Trainer(replace(TINY, items=5), OPTIONS, FOOTAGE))


def test_the_step_rate_counts_the_steps_of_this_process_alone() -> None:
    now_s = 50.0
    rate = StepRate(1000, clock=lambda: now_s)
    now_s = 60.0
    assert rate.per_s(1020) == 2
    assert rate.left_s(1020, 9020) == 4000
    assert rate.left_s(1020, 9020, limit_s=90.0) == 90
    assert rate.left_s(1000, 9020) is None


def test_rate_and_time_left_are_one_phrase() -> None:
    now = RunProgress("gate.safetensors", 20, 9020, 0, 1, 0.1, 20.0, steps_per_s=2.0, left_s=4000.0)
    assert now.rate_as_text() == "2 steps/s, 1:06:40 left"
    begins = replace(now, steps_per_s=0.0, left_s=None)
    assert begins.rate_as_text() == "0 steps/s, time left unknown"
