"""Networks for inference: the same output without their batch norms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lookout.models.base import AnyModel, initial_items, measure
from lookout.models.folding import NORMS, folded
from lookout.models.registry import make_model
from tests.tiny import TINY_OF, TRAINED


def norms_in(model: nn.Module) -> int:
    return sum(isinstance(layer, NORMS) for layer in model.modules())


def trained_like(name: str) -> AnyModel:
    """A network whose batch norms have left their first values, as after a training."""
    torch.manual_seed(3)
    model = make_model(name, TINY_OF[name])
    for layer in model.modules():
        if isinstance(layer, NORMS):
            layer.running_mean.normal_()  # type: ignore[union-attr]
            layer.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias)
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize("name", TRAINED)
@torch.inference_mode()
def test_the_output_is_the_same_but_for_rounding(name: str) -> None:
    model = trained_like(name)
    weights = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    config = TINY_OF[name]
    channels = (1 if config.input_spec.gray else 3) * config.input_spec.frames
    clips = torch.rand(2, channels, config.height_px, config.width_px)
    items = torch.stack([initial_items(model)] * 2)

    expected = measure(model, clips, items)
    found = measure(folded(model), clips, items)

    torch.testing.assert_close(found.map, expected.map, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.distance, expected.distance, rtol=1e-4, atol=1e-6)
    assert model.state_dict().keys() == weights.keys()  # the original is as it was
    assert all(torch.equal(model.state_dict()[key], weights[key]) for key in weights)


@pytest.mark.parametrize("name", ["mnad-pred", "mnad-recon", "memae", "ae", "vae", "riad"])
def test_no_batch_norm_is_left(name: str) -> None:
    model = trained_like(name)
    assert norms_in(model) > 0
    assert norms_in(folded(model)) == 0


def test_a_batch_norm_before_its_convolution_stays() -> None:
    block = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)).eval()
    assert norms_in(folded(block)) == 1


def test_a_rectifier_writes_over_no_input_of_others() -> None:
    block = nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    frame = torch.randn(1, 3, 8, 8)
    before = frame.clone()
    folded(block)(frame)
    assert torch.equal(frame, before)


def test_a_network_in_training_is_refused() -> None:
    with pytest.raises(ValueError, match="eval mode"):
        folded(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
