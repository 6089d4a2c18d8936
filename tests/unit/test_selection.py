"""The strangest share of footage is left out of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lookout.models.checkpoint.file import Checkpoint, save_checkpoint
from lookout.models.data.footage import Footage
from lookout.models.errors import CheckpointError
from lookout.models.media.lossless_clip import write_lossless
from lookout.models.media.preprocess import Preprocess
from lookout.models.training.loop import train
from lookout.models.training.options import TrainOptions
from lookout.models.training.selection import MIN_CLIPS, StrangeClip, best_start, strangest
from lookout.models.training.trainer import StoppedError, Trainer
from lookout.service.learning.reports import TrainingReport
from lookout.service.learning.trainer import train as train_job
from lookout.service.learning.training_files import TrainingFiles, TrainingRequest
from tests.conftest import with_long_forms
from tests.tiny import TINY, street, write_tiny

SIZE = Preprocess(32, 32)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A model that knows the street."""
    clip = np.stack([street(seq) for seq in range(40)])
    footage = Footage.of({"street": clip}, TINY.t_length)
    trainer = Trainer(TINY, TrainOptions(epochs=12, learning_rate=1e-3), footage)
    train(trainer, tmp_path_factory.mktemp("run") / "state")
    return trainer.checkpoint(SIZE, {})


def write_clips(folder: Path, count: int, abnormal: set[int]) -> list[Path]:
    """Write clips of 16 frames; in an abnormal one a bright block flickers at its end."""
    paths = []
    for number in range(count):
        clip = np.stack([street(number + seq) for seq in range(16)])
        if number in abnormal:
            clip[12::2, 4:28, 4:28] = 255
        paths.append(folder / f"{number:02}.mkv")
        write_lossless(paths[-1], clip, 10)
    return paths


@pytest.mark.parametrize("abnormal", with_long_forms([set(), {3}, {0, 9}], [{0, 9}]))
def test_what_is_abnormal_for_a_moment_is_left_out(
    checkpoint: Checkpoint, tmp_path: Path, abnormal: set[int]
) -> None:
    clips = write_clips(tmp_path, 10, abnormal)
    gone = strangest(checkpoint, clips, 0.2, lambda: None)
    assert len(gone) == 2
    assert {clips[number] for number in abnormal} <= {one.path for one in gone}
    assert [one.psnr_db for one in gone] == sorted(one.psnr_db for one in gone)
    for one in gone:
        assert one.frame.shape == (32, 32, 3)


def test_training_starts_from_the_checkpoint_that_predicts_held_out_footage_best(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """A file that cannot be loaded is passed over; the first of equal ones is taken."""
    clips = write_clips(tmp_path, 3, set())
    raw = write_tiny(tmp_path, "raw")
    same = write_tiny(tmp_path, "same")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no checkpoint")
    assert best_start([broken, same, raw], clips, lambda: None) == same
    trained = tmp_path / "trained.safetensors"
    save_checkpoint(trained, checkpoint)
    assert best_start([raw, broken, trained], clips, lambda: None) == trained
    with pytest.raises(CheckpointError, match=r"broken\.safetensors"):
        best_start([broken], clips, lambda: None)


def test_of_few_clips_none_is_left_out(checkpoint: Checkpoint, tmp_path: Path) -> None:
    clips = write_clips(tmp_path, MIN_CLIPS - 1, {1})
    assert strangest(checkpoint, clips, 0.5, lambda: None) == []


@pytest.mark.parametrize(("held_out", "left"), [(["08", "09"], ["09"]), (["08"], ["08"])])
def test_held_out_footage_is_judged_with_the_rest(
    checkpoint: Checkpoint, tmp_path: Path, held_out: list[str], left: list[str]
) -> None:
    """Bounds are of it. One clip has to stay."""
    files = TrainingFiles(tmp_path)
    for folder in (files.train, files.held_out, files.starts):
        folder.mkdir()
    write_clips(files.train, 10, {8})
    for name in held_out:
        (files.train / f"{name}.mkv").rename(files.held_out / f"{name}.mkv")
    save_checkpoint(files.starts / "street.safetensors", checkpoint)

    def stop_at_first(report: TrainingReport) -> None:
        raise StoppedError

    request = TrainingRequest("gate", 1, 60.0, "street")
    with pytest.raises(StoppedError):
        train_job(files, request, lambda: False, stop_at_first)
    assert [path.stem for path in sorted(files.held_out.iterdir())] == left


def test_what_was_chosen_stays_out_after_a_kill(tmp_path: Path) -> None:
    files = TrainingFiles(tmp_path)
    for folder in (files.train, files.held_out):
        folder.mkdir()
    clips = write_clips(files.train, 3, set()) + write_clips(files.held_out, 1, set())
    assert files.remove_left_out() is None
    (tmp_path / "left_out.new").mkdir()  # of a process that was killed
    files.leave_out([StrangeClip(clips[1], 20.0, street(0))])
    assert files.remove_left_out() == 1
    assert [path.name for path in sorted(files.train.iterdir())] == ["00.mkv", "02.mkv"]
    write_clips(files.train, 3, set())  # as if it was killed before it removed them
    assert files.remove_left_out() == 1
    assert len(list(files.train.iterdir())) == 2
