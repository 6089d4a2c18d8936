"""A lossless clip reads back bit for bit, and is there whole or not at all."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.models.media.clip_reader import read_clip, read_info
from lookout.models.media.lossless_clip import write_lossless
from lookout.models.media.preprocess import Preprocess
from tests.conftest import examples
from tests.tiny import street


@examples(15)
@given(
    frames=st.integers(1, 9),
    sides=st.tuples(st.integers(8, 40), st.integers(8, 40)),
    fps=st.floats(0.05, 120),
    seed=st.integers(0, 9),
)
def test_what_is_written_reads_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory,
    frames: int,
    sides: tuple[int, int],
    fps: float,
    seed: int,
) -> None:
    path = tmp_path_factory.mktemp("clip") / "a.mkv"
    rng = np.random.default_rng(seed)
    clip = rng.integers(0, 256, (frames, *sides, 3), dtype=np.uint8)
    write_lossless(path, clip, fps)
    read = read_clip(path, Preprocess(*sides))
    assert np.array_equal(read, clip)


def test_its_rate_is_that_of_the_camera(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    write_lossless(path, np.stack([street(seq) for seq in range(12)]), 9.97)
    fps = read_info(path).fps
    assert fps is not None
    assert fps == pytest.approx(9.97, abs=0.01)


def test_a_folder_that_cannot_be_made_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OSError, match="taken"):
        write_lossless(tmp_path / "taken" / "a.mkv", street(0)[None], 10)
    with pytest.raises(ValueError, match="needs a frame"):
        write_lossless(tmp_path / "a.mkv", np.empty((0, 4, 4, 3), np.uint8), 10)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_disk_that_takes_no_more_is_an_oserror_and_leaves_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clip = rng.integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, former[1]))  # EFBIG, as a full disk ENOSPC
    try:
        with pytest.raises(OSError, match=r"a\.mkv"):
            write_lossless(tmp_path / "a.mkv", clip, 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert not list(tmp_path.iterdir())
