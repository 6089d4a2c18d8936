"""The int8 form, shortened: both forms score, and nearly as torch does. Needs NNCF and OpenVINO."""

from __future__ import annotations

import numpy as np
import pytest

from lookout.models.arrays import Pixels
from lookout.models.scorer import Scorer
from tests.bench.int8 import quantised
from tests.tiny import tiny_checkpoint


def windows(count: int) -> list[Pixels]:
    numbers = np.random.default_rng(1)
    return [numbers.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8) for _ in range(count)]


@pytest.mark.parametrize("last_in_float", [False, True])
def test_int8_scores_nearly_as_float_does(last_in_float: bool) -> None:
    for module in ("nncf", "openvino"):
        pytest.importorskip(module)
    checkpoint, seen = tiny_checkpoint(), windows(4)
    plain, small = (
        Scorer(checkpoint),
        Scorer(quantised(checkpoint, seen, last_in_float=last_in_float)),
    )
    for window in seen:
        expected, found = (one.step([window], one.fresh_items()[None]) for one in (plain, small))
        assert found.psnr_db.item() == pytest.approx(expected.psnr_db.item(), abs=0.5)
        assert found.psnr_db.item() != expected.psnr_db.item()
