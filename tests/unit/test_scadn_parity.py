"""SCADN against every figure of ../shared/reference/scadn.json, from the authors' code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor

from lookout.models.base import TrainingStep
from lookout.models.scadn import (
    BETAS,
    DISCRIMINATOR_RATE,
    SCADN,
    SCALES,
    Discriminator,
    SCADNConfig,
    likeness_loss,
    stripes,
)
from tests import reference

SIDE_PX = 64
pytestmark = pytest.mark.footage  # for the reference beside it

PICTURES = [torch.from_numpy(reference.picture(number))[None] for number in range(3)]
DEFECT = torch.from_numpy(reference.with_defect(reference.picture(0)))[None]


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return reference.figures("scadn")


def discriminator_state(figures: dict[str, Any]) -> dict[str, Tensor]:
    """Return the discriminator's tensors under our names.

    The authors hold the first layer under two names, of which the second is read last.
    """
    state: dict[str, Tensor] = {}
    for name, tensor in reference.filled_weights(figures, "discriminator").items():
        layer, _, part = name.rsplit(".", 2)
        number = 0 if layer == "features" else 2 * (int(layer.removeprefix("conv")) - 1)
        if part == "weight_orig":
            state[f"{number}.weight"] = tensor
        else:
            state[f"{number}.{part.removeprefix('weight_')}"] = F.normalize(tensor, dim=0)
    return state


def filled(figures: dict[str, Any]) -> SCADN:
    made = SCADN(SCADNConfig(height_px=SIDE_PX, width_px=SIDE_PX))
    made.generator.load_state_dict(reference.filled_weights(figures, "generator"))
    made.discriminator.load_state_dict(discriminator_state(figures))
    return made


@pytest.fixture(scope="module")
def model(figures: dict[str, Any]) -> SCADN:
    return filled(figures).eval().requires_grad_(False)


def test_the_networks_have_the_reference_s_tensors(model: SCADN, figures: dict[str, Any]) -> None:
    shapes = {name: list(tensor.shape) for name, tensor in model.generator.state_dict().items()}
    expected = figures["state_dict_order_and_shapes"]["generator"]
    assert list(shapes.items()) == list(expected.items())
    networks: tuple[torch.nn.Module, ...] = (model.generator, model.discriminator)
    counts = [sum(p.numel() for p in network.parameters()) for network in networks]
    assert counts == [figures["parameters_generator"], figures["parameters_discriminator"]]


def test_hyper_parameters_are_the_reference_s(figures: dict[str, Any]) -> None:
    published = figures["hyper_parameters"]
    assert list(SCALES) == published["scales"][0]
    assert published["masks_per_scale"][0] == 4
    assert SCADNConfig().loss_adversarial == 0.001
    assert SCADNConfig().loss_masked == 4
    assert f"betas {BETAS[0]} and {BETAS[1]}" in published["optimiser"][0]
    assert f"discriminator at {DISCRIMINATOR_RATE} of that rate" in published["optimiser"][0]


def test_the_stripes_are_the_reference_s(figures: dict[str, Any]) -> None:
    masks = stripes(SIDE_PX, SIDE_PX)
    for scale, four in zip(SCALES, masks, strict=True):
        line = np.array([int(c) for c in figures["masks"]["one_dimension_at_64"][f"scale_{scale}"]])
        even_columns, odd_columns, even_rows, odd_rows = (one[0].numpy() for one in four)
        assert np.array_equal(even_columns, np.tile(line, (SIDE_PX, 1)))
        assert np.array_equal(odd_columns, 1 - even_columns)
        assert np.array_equal(even_rows, even_columns.T)
        assert np.array_equal(odd_rows, 1 - even_rows)


def test_one_mask_gives_the_reference_s_features_and_output(
    model: SCADN, figures: dict[str, Any]
) -> None:
    expected = figures["expected"]["one_mask"]
    mask = model.masks[0, 0][None]
    masked = PICTURES[0] * (1 - mask) + mask
    encoded = model.generator.encoder(masked)
    reference.assert_tensor(masked, expected["masked_input"])
    reference.assert_tensor(encoded, expected["after_encoder"])
    reference.assert_tensor(model.generator.middle(encoded), expected["after_middle"])
    reference.assert_tensor(model(PICTURES[0], mask), expected["output"])


def map_of(model: SCADN, x: Tensor, scale: int) -> Tensor:
    return model.map_of(x, torch.tensor([scale]))[0][:, 0]


@pytest.mark.long
def test_maps_selection_and_score_are_the_reference_s(
    figures: dict[str, Any], model: SCADN
) -> None:
    expected = figures["expected"]
    for name, x in (("train_1", PICTURES[1]), ("train_2", PICTURES[2]), ("defect", DEFECT)):
        for number, scale in enumerate(SCALES):
            figure = expected[f"maps_of_{name}"][f"scale_{scale}"]
            found = map_of(model, x, number)
            reference.assert_tensor(found, figure["map"])
            assert found.mean().item() == pytest.approx(figure["mean"], rel=1e-4)
    fused = expected["fused"]
    model.learn_normal(PICTURES[1:])
    assert model.normal_error.tolist() == pytest.approx(
        fused["scale_norm_from_train_1_and_2"], rel=1e-4
    )
    measured = model.measure(DEFECT)
    assert measured.heat is not None
    reference.assert_tensor(measured.heat.square()[:, 0], fused["selected_map"])
    assert measured.distance.item() == pytest.approx(fused["score_official_code"], rel=1e-4)
    turns = model.measure_turn(DEFECT.repeat(3, 1, 1, 1), torch.arange(3))
    assert turns.heat is not None
    mean_map = turns.heat.square().mean(dim=0)
    reference.assert_tensor(mean_map, fused["mean_of_scales_map"])
    assert turns.distance.mean().item() == pytest.approx(fused["score_of_mean_map"], rel=1e-4)
    assert SCALES[fused["selected_scale_index"]] == 1


@pytest.mark.parametrize(("first", "name"), [(0, "column"), (2, "row")])
def test_a_picture_put_together_from_two_masks_is_the_reference_s(
    first: int, name: str, figures: dict[str, Any], model: SCADN
) -> None:
    masks = model.masks[0, first : first + 2]  # (2, 1, H, W)
    together = (model(DEFECT.repeat(2, 1, 1, 1), masks) * masks).sum(dim=0, keepdim=True)
    reference.assert_tensor(
        together,
        figures["expected"]["maps_of_defect"][f"scale_1_output_put_together_from_the_{name}_masks"],
    )


@pytest.mark.wide
def test_a_training_batch_gives_the_reference_s_losses_and_gradients(
    figures: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = figures["expected"]["train_batch_of_two"]
    trained = filled(figures).train()
    x = torch.cat(PICTURES[:2])
    masks = torch.stack((trained.masks[0, 0], trained.masks[1, 3]))
    judged: list[Tensor] = []
    forward = Discriminator.forward

    def kept(self: Discriminator, picture: Tensor) -> Tensor:
        judged.append(forward(self, picture))  # type: ignore[no-untyped-call]
        return judged[-1]

    monkeypatch.setattr(Discriminator, "forward", kept)
    step: TrainingStep = trained.losses(x, masks)
    step.loss.backward()  # type: ignore[no-untyped-call]
    real, fake, again = judged
    x_hat = trained(x, masks).detach()
    reference.assert_tensor(x_hat, expected["output"])
    squared = (x_hat - x).square()
    found = {
        "mse_unmasked": (squared * (1 - masks)).mean(),
        "mse_masked": (squared * masks).mean(),
        "mean_of_masks": masks.mean(),
        "dis_real": likeness_loss(real, 1),
        "dis_fake": likeness_loss(fake, 0),
        "dis_loss": (likeness_loss(real, 1) + likeness_loss(fake, 0)) / 2,
        "generator_adversarial_loss_weighted": 0.001 * likeness_loss(again, 1),
    }
    for name, value in found.items():
        assert value.item() == pytest.approx(expected[name], rel=1e-4), name
    generator_loss = expected["reconstruction_loss"] + 0.001 * likeness_loss(again, 1).item()
    assert generator_loss == pytest.approx(expected["generator_loss"], rel=1e-4)
    assert step.loss.item() == pytest.approx(
        expected["generator_loss"] + expected["dis_loss"], rel=1e-4
    )
    assert expected["feature_matching_weighted"] == 0
    calls = ("discriminator_on_real_first_call", "discriminator_on_fake_second_call")
    for one, name in zip((real, fake), calls, strict=True):
        reference.assert_tensor(one.detach().sigmoid(), expected[name])
    for name, figure in expected["gradient_of_generator_loss"].items():
        gradient = trained.generator.get_parameter(name).grad
        assert gradient is not None
        tolerance = 1e-3 if name.startswith("decoder.13") else 3e-2
        reference.assert_tensor(gradient, figure, tolerance=tolerance)
