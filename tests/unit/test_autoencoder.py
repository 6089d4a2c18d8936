"""The baselines: shapes, the divergence by hand, and what is random in which mode."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from lookout.models.autoencoder import (
    LOG_VARIANCE_LIMIT,
    Autoencoder,
    AutoencoderConfig,
    VariationalAutoencoder,
    VariationalConfig,
    kl,
)
from lookout.models.base import TrainingBatch


@pytest.fixture
def clips() -> torch.Tensor:
    return torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_the_plain_one_scores_by_its_error_alone(clips: torch.Tensor) -> None:
    model = Autoencoder(AutoencoderConfig(width=4, dim=8)).eval()
    measured = model.measure(clips)
    assert torch.allclose(measured.map, ((model(clips) - clips) / 2).square(), atol=1e-7)
    assert not measured.distance.any()
    assert measured.queries is None


def test_the_variational_one_draws_in_training_alone(clips: torch.Tensor) -> None:
    model = VariationalAutoencoder(VariationalConfig(width=4, dim=8)).eval()
    assert torch.equal(model(clips)[0], model(clips)[0])
    assert model(clips)[1].shape == (2, 8, 4, 6)
    assert not torch.equal(model.train()(clips)[0], model(clips)[0])


def test_the_divergence_is_that_from_the_standard_normal(clips: torch.Tensor) -> None:
    mu, log_variance = torch.linspace(-2, 2, 9), torch.linspace(-3, 3, 9)
    expected = kl_divergence(Normal(mu, (log_variance / 2).exp()), Normal(0.0, 1.0))
    assert torch.allclose(kl(mu, log_variance), expected, atol=1e-6)
    model = VariationalAutoencoder(VariationalConfig(width=4, dim=8, loss_kl=0.5)).eval()
    _, *latent = model(clips)
    step = model.training_step(TrainingBatch(clips))
    assert step.loss.item() == pytest.approx((4 * step.mse + 0.5 * kl(*latent).mean()).item())
    assert model.measure(clips).distance.mean().item() == pytest.approx(kl(*latent).mean().item())


def test_an_encoder_that_overshoots_draws_within_bounds(clips: torch.Tensor) -> None:
    """Without a bound the standard deviations were 1e5 after a few steps at full width."""
    model = VariationalAutoencoder(VariationalConfig(width=4, dim=8)).train()
    *_, last = model.encoder[-1].children()
    assert isinstance(last, nn.Conv2d)
    last.weight.data.mul_(1e4)
    *_, log_variance = model(clips)
    assert log_variance.abs().max().item() == pytest.approx(LOG_VARIANCE_LIMIT)


def test_the_bound_is_not_felt_where_the_variance_belongs() -> None:
    model = VariationalAutoencoder(VariationalConfig(width=4, dim=8)).eval()
    clips = torch.zeros(1, 3, 16, 16)
    with torch.no_grad():
        _, given = model.encoder(clips).chunk(2, dim=1)
        *_, bounded = model(clips)
    assert torch.allclose(bounded, given, atol=0.01 * float(given.abs().max()) + 1e-6)


@pytest.mark.parametrize(
    "wrong", [{"width": 0}, {"dim": 0}, {"height_px": 20}, {"fusion_weight": 2.0}]
)
def test_sizes_that_do_not_fit_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"."):
        VariationalConfig(**wrong)  # type: ignore[arg-type]
