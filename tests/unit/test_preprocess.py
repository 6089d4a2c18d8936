"""Preprocess frames exactly as the MNAD authors do: cv2.resize of uint8, nothing else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lookout.models.media.preprocess import Preprocess


@pytest.mark.parametrize("size", [(240, 360), (120, 160), (480, 640), (1, 1), (257, 255)])
def test_equals_opencv(size: tuple[int, int]) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    np.testing.assert_array_equal(Preprocess(256, 256)(rgb), cv2.resize(rgb, (256, 256)))


def test_height_and_width_are_not_exchanged() -> None:
    made = Preprocess(height_px=64, width_px=96)(np.zeros((240, 360, 3), np.uint8))
    assert made.shape == (64, 96, 3)
    assert made.dtype == np.uint8


def test_channels_do_not_mix() -> None:
    rgb = np.zeros((10, 10, 3), np.uint8)
    rgb[..., 0] = 200
    assert Preprocess(4, 4)(rgb)[0, 0].tolist() == [200, 0, 0]


def test_a_frame_of_the_right_size_stays_as_it_is_and_lies_in_one_piece() -> None:
    wide = np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)
    made = Preprocess(32, 32)(wide[:, ::2])
    np.testing.assert_array_equal(made, wide[:, ::2])
    assert made.flags["C_CONTIGUOUS"]
