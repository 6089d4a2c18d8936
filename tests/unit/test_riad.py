"""RIAD: masks, what they remove, the map, training, and sizes that cannot be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lookout.models.base import TrainingBatch
from lookout.models.riad import KS, MEAN_FILTER_PX, RIAD, SETS, RIADConfig, fixed_sets
from lookout.models.scoring.similarity import mean_filtered, msgms, ssim
from tests.conftest import examples
from tests.tiny import TINY_OF, untrained

CONFIG = RIADConfig(width=4, height_px=32, width_px=48)


@pytest.fixture
def frames() -> torch.Tensor:
    return torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture
def model() -> RIAD:
    torch.manual_seed(0)
    return RIAD(CONFIG).eval()


@examples(20)
@given(st.integers(1, 6), st.integers(1, 6))
def test_each_cell_is_removed_once_and_the_sets_are_about_as_large(rows: int, columns: int) -> None:
    sets = fixed_sets(16 * rows, 16 * columns)
    assert sets.shape == (len(KS), 1, 16 * rows, 16 * columns)
    assert sets.max() < SETS
    for k, one in zip(KS, sets[:, 0], strict=True):
        cells = one[::k, ::k]
        assert np.array_equal(cells.repeat(k, 0).repeat(k, 1), one)
        counts = np.bincount(cells.ravel(), minlength=SETS)
        assert counts.max() == -(-cells.size // SETS)
    assert np.array_equal(sets, fixed_sets(16 * rows, 16 * columns))


def test_a_pixel_is_inpainted_without_a_look_at_it(model: RIAD, frames: torch.Tensor) -> None:
    """What stands in a set's cells has no influence on what is put there."""
    removed_in = model.removed_in[1:2]
    other = torch.where(removed_in == 1, -frames, frames)
    with torch.no_grad():
        assert torch.equal(
            torch.where(removed_in == 1, model.inpaint(frames, removed_in), frames),
            torch.where(removed_in == 1, model.inpaint(other, removed_in), frames),
        )
        assert not torch.equal(model.inpaint(frames, removed_in), model.inpaint(other, removed_in))


def test_the_map_is_the_mean_over_all_k_and_the_score_its_maximum(
    model: RIAD, frames: torch.Tensor
) -> None:
    with torch.no_grad():
        measured = model.measure(frames)
        parts = list(model.parts(frames))
    assert len(parts) == len(KS)
    assert measured.heat is not None
    assert torch.allclose(measured.heat, torch.stack([one for one, _ in parts]).mean(dim=0))
    assert torch.allclose(measured.map, torch.stack([error for _, error in parts]).mean(dim=0))
    assert torch.equal(measured.distance, measured.heat.amax(dim=(1, 2, 3)))
    assert (measured.heat >= 0).all() and (measured.heat <= 1).all()
    again = model.measure(frames).heat
    assert again is not None
    assert torch.equal(measured.heat, again)  # no draw at test time


def test_pictures_that_are_alike_have_a_map_of_0_and_constant_ones_too(
    frames: torch.Tensor,
) -> None:
    constant = torch.full_like(frames, 0.3)
    for x in (frames, constant):
        assert torch.allclose(msgms(x, x), torch.ones(2, 1, 32, 48))
        assert torch.allclose(ssim(x, x), torch.ones_like(x), atol=1e-5)
    assert (msgms(frames, constant) < 1).any()


def test_the_mean_filter_counts_pixels_of_the_picture_alone() -> None:
    x = torch.rand(1, 1, 32, 48, generator=torch.Generator().manual_seed(0))
    reach = MEAN_FILTER_PX // 2
    found = mean_filtered(x, MEAN_FILTER_PX)
    for row, column in ((0, 0), (3, 40), (16, 24), (31, 47)):
        window = x[0, 0, max(0, row - reach) :, max(0, column - reach) :]
        window = window[: min(row, reach) + reach + 1, : min(column, reach) + reach + 1]
        assert found[0, 0, row, column].item() == pytest.approx(window.mean().item(), rel=1e-5)


@pytest.mark.parametrize("level", [-1.0, 0.0, 1.0])
def test_a_constant_picture_trains_and_scores_with_finite_numbers(level: float) -> None:
    """Where a gradient is 0, the root of its square has no derivative."""
    torch.manual_seed(0)
    model = RIAD(CONFIG).train()
    constant = torch.full((2, 3, 32, 48), level)
    step = model.training_step(TrainingBatch(constant))
    step.loss.backward()  # type: ignore[no-untyped-call]
    assert step.loss.isfinite()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
    model.eval()
    measured = model.measure(constant)
    assert measured.map.isfinite().all()
    assert measured.distance.isfinite().all()


def test_each_batch_draws_its_k_and_its_masks_and_the_seed_decides_them(
    model: RIAD, frames: torch.Tensor
) -> None:
    losses = []
    for seed in (0, 1, 0):
        torch.manual_seed(seed)
        losses.append(model.training_step(TrainingBatch(frames)).loss.item())
    assert losses[0] == losses[2] != losses[1]


def test_a_loss_weighs_its_terms(model: RIAD, frames: torch.Tensor) -> None:
    def loss(**weights: float) -> float:
        model.config = RIADConfig(width=4, height_px=32, width_px=48, **weights)
        torch.manual_seed(3)
        step = model.training_step(TrainingBatch(frames))
        return step.loss.item() - 4 * step.mse.item()

    terms = [loss(loss_msgms=1, loss_ssim=0), loss(loss_msgms=0, loss_ssim=1)]
    assert min(terms) > 0
    assert loss(loss_msgms=0.5, loss_ssim=2) == pytest.approx(terms[0] / 2 + 2 * terms[1], rel=1e-4)


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ({"height_px": 40}, "multiples of 16"),
        ({"height_px": 0}, "multiples of 16"),
        ({"width_px": 16}, "windows are 21 px wide: height and width must be 32 or more"),
        ({"width": 0}, "width >= 1"),
    ],
)
def test_a_size_that_cannot_be_is_one_line(sizes: dict[str, int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as raised:
        RIADConfig(**sizes)
    assert "\n" not in str(raised.value)


def test_the_masks_are_no_part_of_a_checkpoint() -> None:
    model = untrained(TINY_OF["riad"]).model
    assert "removed_in" not in model.state_dict()
    assert isinstance(model, RIAD)
    assert np.array_equal(model.removed_in.numpy(), fixed_sets(32, 32))
