"""PSNR, gate error, heatmap, and the values: offline and causal."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from lookout.models.scoring.calibration import (
    GATE_QUANTILE,
    HIGH,
    LOW,
    Bounds,
    causal_value,
    squash,
)
from lookout.models.scoring.metrics import (
    gate_error,
    minmax,
    psnr_db,
    squared_error,
    value_minmax,
    value_none,
)
from lookout.models.vision.tensors import heatmap


def test_psnr_has_peak_one() -> None:
    actual = torch.zeros(1, 3, 8, 8)
    error = squared_error(actual + 0.2, actual)  # 0.1 of the peak everywhere
    assert psnr_db(error).item() == pytest.approx(20.0, abs=1e-4)


def test_a_perfect_prediction_is_100_db_and_passes_the_gate() -> None:
    error = torch.zeros(1, 3, 8, 8)
    assert psnr_db(error).item() == pytest.approx(100.0)
    assert gate_error(error).item() == 0.0


def test_gate_error_weighs_large_errors_more() -> None:
    error = torch.tensor([0.0, 0.01, 0.25, 1.0]).reshape(1, 1, 2, 2)
    weights = [1 - math.exp(-e) for e in error.flatten().tolist()]
    slow = sum(w * e for w, e in zip(weights, error.flatten().tolist(), strict=True)) / sum(weights)
    assert gate_error(error).item() == pytest.approx(slow, rel=1e-5)
    assert gate_error(error).item() > error.mean().item()


def test_the_heatmap_tells_the_same_story_as_the_psnr() -> None:
    error = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    cells = heatmap(error)
    assert cells.shape == (2, 64, 64)
    from_cells = -10 * cells.square().mean(dim=(1, 2)).log10()
    torch.testing.assert_close(from_cells, psnr_db(error), rtol=1e-5, atol=1e-4)


def test_the_heatmap_is_hot_where_the_error_is() -> None:
    error = torch.zeros(1, 3, 256, 256)
    error[:, :, 100:108, 40:44] = 1.0
    row, column = divmod(int(heatmap(error).flatten().argmax()), 64)
    assert row in (25, 26)
    assert column == 10


def test_minmax_of_equal_numbers_is_zero_not_nan() -> None:
    assert minmax(np.full(3, 7.0)).tolist() == [0, 0, 0]


def test_the_papers_score_is_the_weighted_sum_of_its_parts() -> None:
    psnr, distance = np.array([40.0, 30.0, 35.0]), np.array([1e-6, 3e-6, 2e-6])
    assert value_minmax(psnr, distance, 0.6) == pytest.approx([0.0, 1.0, 0.5])
    assert value_none(psnr, distance, 1.0).tolist() == [-40.0, -30.0, -35.0]


def test_squash_is_linear_between_the_bounds_and_strictly_increasing_far_beyond() -> None:
    assert squash(0.0) == pytest.approx(LOW)
    assert squash(1.0) == pytest.approx(HIGH)
    assert squash(0.5) == pytest.approx((LOW + HIGH) / 2)
    xs = [-1e6, -1e3, -2.0, -1e-6, 0.0, 0.3, 1.0, 1.0 + 1e-6, 2.0, 50.0, 51.0, 1e3, 1e6]
    values = [squash(x) for x in xs]
    assert all(a < b for a, b in itertools.pairwise(values))
    assert values[0] > 0
    assert values[-1] < 1


def test_the_slope_does_not_jump_at_the_bounds() -> None:
    for bound in (0.0, 1.0):
        left = (squash(bound) - squash(bound - 1e-6)) / 1e-6
        right = (squash(bound + 1e-6) - squash(bound)) / 1e-6
        assert left == pytest.approx(right, rel=1e-3)


def test_worse_psnr_or_larger_distance_is_more_abnormal() -> None:
    bounds = Bounds(30.0, 40.0, 1e-6, 3e-6, 100)
    normal = causal_value(35.0, 2e-6, bounds, 0.6)
    assert LOW < normal < HIGH
    assert causal_value(25.0, 2e-6, bounds, 0.6) > normal
    assert causal_value(35.0, 9e-6, bounds, 0.6) > normal
    assert causal_value(20.0, 9e-6, bounds, 0.6) > HIGH


def test_bounds_leave_one_percent_outside_on_each_side() -> None:
    psnr = np.linspace(30, 40, 1001)
    bounds = Bounds.of(psnr, psnr / 10)
    assert bounds.psnr_low_db == pytest.approx(30.1)
    assert bounds.psnr_high_db == pytest.approx(39.9)
    assert bounds.frames == 1001
    with pytest.raises(ValueError, match="finite"):
        Bounds.of([], [])
    with pytest.raises(ValueError, match="finite"):
        Bounds.of([1.0, math.nan], [1.0, 1.0])


def test_the_gate_lies_in_the_middle_of_the_normal_gate_errors() -> None:
    normal, gates = np.linspace(30, 40, 1001), np.linspace(0, 0.1, 1001)
    gate = Bounds.of(normal, normal, gates).gate_error
    assert gate == pytest.approx(0.1 * GATE_QUANTILE)
    assert gate is not None
    assert (gates < gate).mean() == pytest.approx(GATE_QUANTILE, abs=1e-3)


def test_bounds_without_a_gate_error_have_none() -> None:
    assert Bounds.of([30.0], [1e-6]).gate_error is None
    assert Bounds.of([30.0], [1e-6], [math.nan]).gate_error is None
    assert Bounds.of([30.0] * 3, [1e-6] * 3, [0.01, math.nan, 0.03]).gate_error == pytest.approx(
        0.02
    )
    for wrong in (-0.01, math.nan):
        with pytest.raises(ValueError, match="gate error"):
            Bounds(30.0, 40.0, 1e-6, 3e-6, 100, gate_error=wrong)


def test_a_still_picture_has_bounds_of_no_width_and_still_gives_values() -> None:
    bounds = Bounds.of([40.0] * 5, [1e-6] * 5)
    assert 0 < causal_value(40.0, 1e-6, bounds, 0.6) < 1
    assert causal_value(39.0, 1e-6, bounds, 0.6) > 0.99
