"""Check what `python -m tests.bench.memory` prints."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lookout.models.scorer import Scorer
from tests.bench.memory import Use, look
from tests.tiny import TINY_OF, untrained


def test_one_position_that_wavers_is_all_of_the_variance() -> None:
    nearest = torch.zeros(6, 100, dtype=torch.int64)
    distances = torch.full((6, 100), 0.5)
    nearest[::2, 7], distances[::2, 7] = 3, 2.5
    two = torch.stack((nearest, nearest + 1), dim=2)
    tied = two.clone()
    tied[:3] = two[:3].flip(2)
    tied[3, :, 1] = 9
    use = Use.of(two, tied, distances)
    assert use.other_nearest == pytest.approx(3 / 6)
    assert use.other_second == pytest.approx(4 / 6)
    assert use.items == 2
    assert use.wavering == pytest.approx(0.01)
    assert use.loud == pytest.approx(1)
    assert use.distance == pytest.approx(0.51)
    assert use.deviation == pytest.approx(0.02 * np.sqrt(6 / 20) / 0.51, rel=1e-4)


def test_the_mean_is_the_models_own_distance() -> None:
    scorer = Scorer(untrained(TINY_OF["mnad-pred"]))
    clip = np.random.default_rng(1).integers(0, 256, (7, 32, 32, 3), np.uint8)
    items = scorer.fresh_items()[None]
    scored = [scorer.step([clip[end - 5 : end]], items).distance.item() for end in range(5, 8)]
    assert look(scorer, clip).distance == pytest.approx(np.mean(scored), rel=1e-5)
