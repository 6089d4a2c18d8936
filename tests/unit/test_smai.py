"""SMAI: superpixels, its live form and what that changes, training, and sizes that cannot be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lookout.models.base import TrainingBatch
from lookout.models.smai import (
    LIVE_PASSES,
    SMAI,
    SMAIConfig,
    means_of,
    passes_of,
    superpixels,
)
from tests.conftest import examples

CONFIG = SMAIConfig(width=4, step_px=8, height_px=32, width_px=48)


@pytest.fixture
def frames() -> Tensor:
    """Return two pictures of soft blobs."""
    small = torch.rand(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(small, (32, 48), mode="bilinear")


@pytest.fixture
def model() -> SMAI:
    torch.manual_seed(0)
    return SMAI(CONFIG).eval().requires_grad_(False)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the number of pictures in each batch of the network, as they are made."""
    counts: list[int] = []
    forward = SMAI.forward

    def counted(self: SMAI, x: Tensor) -> Tensor:
        counts.append(len(x))
        return forward(self, x)

    monkeypatch.setattr(SMAI, "forward", counted)
    return counts


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_constant_picture_has_a_grid_of_superpixels(level: float) -> None:
    labels = superpixels(torch.full((3, 16, 24), level), 8)
    assert np.array_equal(labels[4:12:8, 4::8], [[0, 1, 2]])
    assert sorted(np.unique(labels)) == list(range(6))
    counts = np.bincount(labels.ravel())
    assert counts.min() == 7 * 7  # of pixels as near to two centres, the first has them


@examples(15)
@given(st.integers(0, 2**31 - 1), st.integers(1, 4), st.integers(1, 4))
def test_every_pixel_has_a_superpixel_whose_centre_is_near(
    seed: int, rows: int, columns: int
) -> None:
    x = torch.rand(3, 8 * rows, 8 * columns, generator=torch.Generator().manual_seed(seed))
    labels = superpixels(x, 8)
    assert labels.shape == (8 * rows, 8 * columns)
    assert labels.min() >= 0
    assert labels.max() < rows * columns
    assert np.array_equal(labels, superpixels(x, 8))


@examples(30)
@given(st.integers(0, 2**31 - 1), st.integers(1, 12))
def test_superpixels_of_one_pass_do_not_touch_unless_all_passes_are_taken(
    seed: int, count: int
) -> None:
    labels = np.random.default_rng(seed).integers(0, count, (5, 6))
    passes = passes_of(labels)
    assert passes.min() >= 0
    assert passes.max() < LIVE_PASSES
    removed_in = passes[labels]
    touching = [
        (one, other)
        for down, across in ((0, 1), (1, 0), (1, 1), (1, -1))
        for one, other, same in zip(
            labels[: 5 - down, max(0, -across) : 6 - max(0, across)].ravel(),
            labels[down:, max(0, across) : 6 + min(0, across)].ravel(),
            (
                removed_in[: 5 - down, max(0, -across) : 6 - max(0, across)]
                == removed_in[down:, max(0, across) : 6 + min(0, across)]
            ).ravel(),
            strict=True,
        )
        if same and one != other
    ]
    assert not touching or count > LIVE_PASSES


def test_the_exact_form_takes_a_pass_for_each_superpixel_and_the_live_one_a_few(
    model: SMAI, frames: Tensor, passes: list[int]
) -> None:
    labels = superpixels(frames[0], 8)
    model.measure(frames[:1])
    assert sum(passes) == labels.max() + 1
    passes.clear()
    model.measure_live(frames[:1], [0], [None])
    assert sum(passes) == passes_of(labels).max() + 1 <= LIVE_PASSES


def test_a_superpixel_is_inpainted_without_a_look_at_it(model: SMAI, frames: Tensor) -> None:
    mask = torch.from_numpy(superpixels(frames[0], 8) == 9)[None, None]
    other = torch.where(mask, 1 - frames[:1], frames[:1])
    assert torch.equal(model.restore(frames[:1], mask), model.restore(other, mask))
    assert not torch.equal(model.restore(frames[:1], mask), model.restore(frames[:1], ~mask))


def test_the_live_form_is_the_exact_one_but_for_what_else_is_removed(
    model: SMAI, frames: Tensor
) -> None:
    """Each superpixel is restored from surroundings in which others are missing too.

    Removed alone, the live form of one superpixel is the exact one.
    """
    labels = superpixels(frames[0], 8)
    exact = model.inpaint(frames[0], torch.from_numpy(labels))
    live = model.inpaint(frames[0], torch.from_numpy(passes_of(labels)[labels]))
    assert not torch.equal(exact, live)
    alone = np.where(labels == 9, 1, 0)
    one = model.inpaint(frames[0], torch.from_numpy(alone))
    mask = torch.from_numpy(labels == 9)
    assert torch.allclose(one[:, mask], exact[:, mask], atol=1e-6)


def test_the_score_is_the_worst_superpixel_s_and_the_map_has_one_value_each(
    model: SMAI, frames: Tensor
) -> None:
    for measured in (model.measure(frames), model.measure_live(frames, [0, 0], [None, None])):
        assert measured.heat is not None
        for row, x in enumerate(frames):
            labels = superpixels(x, 8)
            means = means_of(measured.map[row].mean(dim=0), labels)
            assert torch.allclose(measured.heat[row, 0].square(), means[labels], atol=1e-6)
            assert measured.distance[row].item() == pytest.approx(means.max().item(), rel=1e-5)
        assert measured.heat.min() >= 0
        assert measured.heat.max() <= 1


def test_cameras_share_a_batch_bit_for_bit(model: SMAI, frames: Tensor) -> None:
    together = model.measure_live(frames, [0, 0], [None, None])
    for row in range(2):
        alone = model.measure_live(frames[row : row + 1], [0], [None])
        assert torch.equal(together.map[row], alone.map[0])
        assert torch.equal(together.distance[row], alone.distance[0])


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_constant_picture_trains_and_scores_with_finite_numbers(level: float) -> None:
    torch.manual_seed(0)
    model = SMAI(CONFIG).train()
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


def test_each_batch_removes_others_and_the_seed_decides_which(model: SMAI, frames: Tensor) -> None:
    losses = []
    for seed in (0, 1, 0):
        torch.manual_seed(seed)
        losses.append(model.training_step(TrainingBatch(frames)).loss.item())
    assert losses[0] == losses[2] != losses[1]


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ({"height_px": 40}, "multiples of 16"),
        ({"height_px": 0}, "multiples of 16"),
        ({"step_px": 24}, "step_px must be 4 or more, and divide height and width"),
        ({"step_px": 2}, "step_px must be 4 or more"),
        ({"removed_share": 1.0}, r"lie in \(0, 1\)"),
        ({"width": 0}, "width >= 1"),
    ],
)
def test_a_size_that_cannot_be_is_one_line(sizes: dict[str, float], reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as raised:
        SMAIConfig(**sizes)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)
