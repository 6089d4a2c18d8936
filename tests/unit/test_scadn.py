"""SCADN: stripes, what they remove, scales in turns, training, and sizes that cannot be."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lookout.models.base import TrainingBatch
from lookout.models.device import autocast
from lookout.models.scadn import (
    DISCRIMINATOR_RATE,
    SCADN,
    SCALES,
    SCADNConfig,
    likeness_loss,
    stripes,
)
from tests.conftest import examples
from tests.tiny import TINY_OF, untrained

CONFIG = SCADNConfig(width=4, blocks=1, height_px=32, width_px=48)


@pytest.fixture
def frames() -> torch.Tensor:
    return torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model() -> SCADN:
    torch.manual_seed(0)
    return SCADN(CONFIG).eval()


@examples(20)
@given(st.integers(1, 6), st.integers(1, 6))
def test_each_pixel_is_removed_once_each_way_and_half_of_them_at_a_time(
    rows: int, columns: int
) -> None:
    masks = stripes(16 * rows, 16 * columns)
    assert masks.shape == (len(SCALES), 4, 1, 16 * rows, 16 * columns)
    for four in masks:
        assert torch.equal(four[0] + four[1], torch.ones_like(four[0]))
        assert torch.equal(four[2] + four[3], torch.ones_like(four[0]))
        assert four.mean(dim=(1, 2, 3)).tolist() == [0.5] * 4


def test_a_pixel_is_filled_in_without_a_look_at_it(model: SCADN, frames: torch.Tensor) -> None:
    mask = model.masks[1, 2][None]
    other = torch.where(mask == 1, 1 - frames, frames)
    with torch.no_grad():
        assert torch.equal(model(frames, mask), model(other, mask))
        assert not torch.equal(model(frames, mask), model(frames, 1 - mask))


def test_the_exact_score_is_that_of_the_scale_that_exceeds_its_normal_error_most(
    model: SCADN, frames: torch.Tensor
) -> None:
    with torch.no_grad():
        for scale in range(len(SCALES)):
            model.normal_error.fill_(1.0)[scale] = 0.0
            measured = model.measure(frames)
            turn = model.measure_turn(frames, torch.full((2,), scale))
            assert torch.equal(measured.distance, turn.distance)
            assert measured.heat is not None
            assert turn.heat is not None
            assert torch.equal(measured.heat, turn.heat)
            assert (turn.heat >= 0).all()
            assert (turn.heat <= 1).all()


def test_over_a_rotation_of_a_still_picture_the_live_score_is_the_mean_over_the_scales(
    model: SCADN, frames: torch.Tensor
) -> None:
    """The exact one is that of one scale alone, so the live one lies within the scales' range."""
    still = frames[:1].repeat(3, 1, 1, 1)
    with torch.no_grad():
        live = model.measure_turn(still, torch.arange(3))
        exact = model.measure(frames[:1])
    assert live.turns == 3
    assert torch.allclose(live.map.mean(dim=0), exact.map[0], atol=1e-6)
    assert exact.distance[0] in live.distance
    assert live.distance.std() > 0  # the scales differ in level


def test_clips_at_other_turns_share_a_batch(model: SCADN, frames: torch.Tensor) -> None:
    with torch.no_grad():
        together = model.measure_turn(frames, torch.tensor([2, 0]))
        alone = [
            model.measure_turn(frames[i : i + 1], torch.tensor([scale]))
            for i, scale in enumerate((2, 0))
        ]
    for row, one in enumerate(alone):
        assert torch.equal(together.distance[row], one.distance[0])
        assert torch.equal(together.map[row], one.map[0])


def test_no_gradient_of_one_network_s_loss_reaches_the_other(frames: torch.Tensor) -> None:
    torch.manual_seed(0)
    model = SCADN(CONFIG).train()
    mask = model.masks[0, 0].expand(2, 1, -1, -1)

    def gradients(network: torch.nn.Module) -> list[torch.Tensor]:
        return [p.grad.clone() for p in network.parameters() if p.grad is not None]

    model.losses(frames, mask).loss.backward()  # type: ignore[no-untyped-call]
    both = gradients(model.discriminator)
    assert len(both) == 5
    model.zero_grad()
    real = model.discriminator(frames)
    fake = model.discriminator(model(frames, mask).detach())
    loss = (likeness_loss(real, 1) + likeness_loss(fake, 0)) / 2
    loss.backward()  # type: ignore[no-untyped-call]
    alone = gradients(model.discriminator)
    for one, other in zip(both, alone, strict=True):  # u and v have moved on
        assert torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.9
    assert gradients(model.generator) == []


def test_the_discriminator_learns_at_a_tenth_of_the_rate(model: SCADN) -> None:
    generator, discriminator = model.parameter_groups(1e-3)
    assert "lr" not in generator
    assert discriminator["lr"] == pytest.approx(DISCRIMINATOR_RATE * 1e-3)
    counted = sum(len(group["params"]) for group in (generator, discriminator))
    assert counted == len(list(model.parameters()))


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_constant_picture_trains_and_scores_with_finite_numbers(level: float) -> None:
    torch.manual_seed(0)
    model = SCADN(CONFIG).train()
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


def test_under_autocast_the_norm_s_vectors_stay_float32(frames: torch.Tensor) -> None:
    torch.manual_seed(0)
    model = SCADN(CONFIG).train()
    with autocast(torch.device("cpu"), "bf16"):
        step = model.training_step(TrainingBatch(frames))
    step.loss.backward()  # type: ignore[no-untyped-call]
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ({"height_px": 40}, "multiples of 16"),
        ({"width_px": 16}, "SCADN's height and width must be 32 or more"),
        ({"width": 0}, "width >= 1"),
        ({"blocks": 0}, "blocks >= 1"),
    ],
)
def test_a_size_that_cannot_be_is_one_line(sizes: dict[str, int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as raised:
        SCADNConfig(**sizes)
    assert "\n" not in str(raised.value)


def test_the_normal_error_is_part_of_a_checkpoint_and_the_masks_are_not() -> None:
    state = untrained(TINY_OF["scadn"]).model.state_dict()
    assert "normal_error" in state
    assert "all_masks" not in state
