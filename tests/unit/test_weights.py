"""Weights per pixel: where zones and masks enter the score of a frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lookout.models.memory_update import UpdateRule
from lookout.models.registry import MODELS
from lookout.models.scorer import Scored, Scorer, weigh
from lookout.models.scoring.metrics import gate_error, psnr_db
from lookout.models.vision.tensors import heatmap
from tests.tiny import TINY_OF, untrained

FIELDS = ("psnr_db", "distance", "gate_error", "memory_updated", "items", "drift", "heat")
ALWAYS = UpdateRule.paper(1e9)
HIDDEN = (slice(4, 12), slice(16, 30))


@pytest.fixture
def error() -> Tensor:
    return torch.rand(2, 3, 64, 128, generator=torch.Generator().manual_seed(0)) ** 4


@pytest.fixture
def hiding() -> Tensor:
    weights = torch.ones(64, 128)
    weights[HIDDEN] = 0
    return weights


def step(name: str, weights: Tensor | None) -> Scored:
    scorer = Scorer(untrained(TINY_OF[name]))
    shape = (2, scorer.t_length, 32, 32, 3)
    clips = list(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    items = torch.stack([scorer.fresh_items()] * 2)
    return scorer.step(clips, items, [ALWAYS] * 2, weights)


@pytest.mark.parametrize("shape", [(32, 32), (2, 32, 32)])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_weights_of_one_change_no_bit(name: str, shape: tuple[int, ...]) -> None:
    plain = step(name, None)
    weighted = step(name, torch.ones(shape))
    for field in FIELDS:
        one = getattr(plain, field)
        other = getattr(weighted, field)
        assert torch.equal(one.nan_to_num(7.0), other.nan_to_num(7.0)), field


def test_a_pixel_of_weight_zero_has_no_influence(error: Tensor, hiding: Tensor) -> None:
    other = error.clone()
    other[:, :, *HIDDEN] = 1.0
    one, mean_weight = weigh(error, hiding)
    assert torch.equal(one, weigh(other, hiding)[0])
    assert not one[:, :, *HIDDEN].any()
    assert torch.allclose(mean_weight, hiding.mean().expand(2, 1, 1, 1))


def test_numbers_are_those_of_the_pixels_that_count(error: Tensor) -> None:
    """A quarter hidden: PSNR, gate error and heatmap are those of the rest alone."""
    weights = torch.ones(64, 128)
    weights[:, 96:] = 0
    weighted, mean_weight = weigh(error, weights)
    rest = error[..., :96]
    assert torch.allclose(psnr_db(weighted / mean_weight), psnr_db(rest), atol=1e-4)
    assert torch.allclose(gate_error(weighted), gate_error(rest), rtol=1e-5)
    assert torch.equal(heatmap(weighted)[..., :48], heatmap(error)[..., :48])
    assert not heatmap(weighted)[..., 48:].any()


def test_each_sample_has_its_own_weights(error: Tensor, hiding: Tensor) -> None:
    both, _ = weigh(error, torch.stack((torch.ones_like(hiding), hiding)))
    assert torch.equal(both[0], error[0])
    assert torch.equal(both[1:], weigh(error[1:], hiding)[0])


def test_a_sample_whose_weights_are_all_zero_has_no_error() -> None:
    scored = step("mnad-pred", torch.zeros(32, 32))
    assert torch.allclose(scored.psnr_db, torch.tensor(100.0))
    assert not scored.gate_error.any()
    assert not scored.heat.any()


def test_weights_decide_whether_the_memory_learns() -> None:
    scorer = Scorer(untrained(TINY_OF["mnad-pred"]))
    rng = np.random.default_rng(0)
    clip = rng.integers(0, 256, (scorer.t_length, 32, 32, 3), dtype=np.uint8)
    items = scorer.fresh_items()[None]
    best = torch.zeros(32, 32)
    errors = scorer.network.measure(scorer.normalise([clip]), items).map  # type: ignore[call-arg]
    row, column = divmod(int(errors[0].mean(dim=0).argmin()), 32)
    best[row, column] = 1
    gate = scorer.step([clip], items).gate_error.item() / 2
    rules = [UpdateRule.paper(gate)]
    assert not scorer.step([clip], items, rules).memory_updated.item()
    assert scorer.step([clip], items, rules, best).memory_updated.item()
