"""RIAD against every figure of ../shared/reference/riad.json, from three public codes.

Where these depart from the paper, and from us, the departure is written out here and must give
their figure.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from scipy import ndimage
from torch import Tensor

from lookout.models.riad import (
    KS,
    MEAN_FILTER_PX,
    RIAD,
    SETS,
    RIADConfig,
    anomaly_map,
    fixed_sets,
)
from lookout.models.scoring import similarity
from lookout.models.scoring.similarity import (
    SCALES,
    gms,
    gradient_size,
    msgms,
    msgms_loss,
    ssim_loss,
)
from tests import reference
from tests.conftest import with_wide_forms

SIDE_PX = 64
pytestmark = pytest.mark.footage  # for the reference beside it


def normalised(pixels: Any) -> Tensor:
    return torch.from_numpy(2 * pixels - 1)[None]


A = normalised(reference.picture(0))
A_DEFECT = normalised(reference.with_defect(reference.picture(0)))
C = normalised(reference.picture(1))


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return reference.figures("riad")


@pytest.fixture(scope="module")
def model(figures: dict[str, Any]) -> RIAD:
    """The network with the reference's weights, which no test may change."""
    made = RIAD(RIADConfig(height_px=SIDE_PX, width_px=SIDE_PX))
    made.load_state_dict(reference.filled_weights(figures))
    return made.eval()


@pytest.fixture(scope="module")
def reconstructions(model: RIAD) -> list[Tensor]:
    """x̂_k of A, made once."""
    with torch.no_grad():
        return [model.inpaint(A, removed_in[None]) for removed_in in model.removed_in]


def test_the_network_has_the_reference_s_tensors_in_their_order(
    model: RIAD, figures: dict[str, Any]
) -> None:
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    assert list(shapes.items()) == list(figures["state_dict_order_and_shapes"].items())
    assert sum(p.numel() for p in model.parameters()) == figures["parameters"]


def test_the_fixed_masks_are_the_reference_s(figures: dict[str, Any]) -> None:
    sets = fixed_sets(SIDE_PX, SIDE_PX)
    for number, k in enumerate(KS):
        cells = sets[number, 0, ::k, ::k]
        assert ["".join(map(str, row)) for row in cells] == figures["masks"]["grids"][str(k)]
        counts = np.bincount(cells.ravel()).tolist()
        assert counts == figures["masks"]["removed_cells_per_mask"][str(k)]
        assert np.array_equal(cells.repeat(k, 0).repeat(k, 1), sets[number, 0])


def test_hyper_parameters_are_the_reference_s(figures: dict[str, Any]) -> None:
    published = figures["hyper_parameters"]
    config = RIADConfig()
    assert [config.height_px, config.width_px] == [published["image_size"][0]] * 2
    assert list(KS) == published["k"][0]
    assert published["n_disjoint_masks"][0] == SETS
    assert (config.loss_msgms, config.loss_ssim) == (1, 1)
    assert published["gms_c"][0] == similarity.GMS_C
    assert published["msgms_scales"][0] == SCALES
    assert f"s_f = {MEAN_FILTER_PX} " in published["map"][1]


def test_the_inputs_and_a_pass_without_a_mask(model: RIAD, figures: dict[str, Any]) -> None:
    expected = figures["expected"]["eval_one_picture"]
    reference.assert_tensor(A, expected["input"])
    with torch.no_grad():
        reference.assert_tensor(model(A), expected["direct_output_unmasked"])


@pytest.mark.parametrize("number", with_wide_forms(range(len(KS)), {0, len(KS) - 1}))
def test_a_k_gives_the_reference_s_output_map_and_losses(
    number: int, model: RIAD, reconstructions: list[Tensor], figures: dict[str, Any]
) -> None:
    expected = figures["expected"]["eval_one_picture"][f"k{KS[number]}"]
    with torch.no_grad():
        first = model(A * (model.removed_in[number] != 0))
    reference.assert_tensor(first, expected["output_of_first_mask"])
    x_hat = reconstructions[number]
    reference.assert_tensor(x_hat, expected["reconstruction"])
    reference.assert_tensor(msgms(A, x_hat), expected["msgms_map"])
    reference.assert_tensor(faded(anomaly_map(A, x_hat)), expected["anomaly_map_of_k"])
    check_losses(A, x_hat, expected["losses"])


def test_two_pictures_without_a_network_have_the_reference_s_losses_and_maps(
    figures: dict[str, Any],
) -> None:
    expected = figures["expected"]["pair_without_network"]
    check_losses(A, C, expected["losses"])
    reference.assert_tensor(msgms(A, C), expected["msgms_map_rolih"])
    reference.assert_tensor(median_score(A, C), expected["msgms_score_plutoyuxie"])
    each = torch.stack([msgms(A[:, c : c + 1], C[:, c : c + 1]) for c in range(3)])
    filtered = anomaly_of(each.mean(dim=0))
    reference.assert_tensor(faded(filtered), expected["msgms_map_mean21_inoue_4_scales"])


def test_map_and_score_are_the_reference_s_but_for_the_border(
    model: RIAD, figures: dict[str, Any]
) -> None:
    expected = figures["expected"]["eval_one_picture"]
    with torch.no_grad():
        measured = [model.measure(x) for x in (A, A_DEFECT)]
    maps = [one.heat for one in measured if one.heat is not None]
    names = (("anomaly_map", "score"), ("anomaly_map_of_defect_picture", "score_of_defect_picture"))
    for one, anomaly, (name, score) in zip(measured, maps, names, strict=True):
        reference.assert_tensor(faded(anomaly), expected[name])
        assert faded(anomaly).max().item() == pytest.approx(expected[score], rel=1e-4)
        assert one.distance.item() == anomaly.max().item()


def test_the_map_does_not_fade_at_the_border() -> None:
    """Zeros beyond it, as in one code, leave a quarter of the map in a corner."""
    constant = anomaly_of(torch.full((1, 1, SIDE_PX, SIDE_PX), 0.75))
    assert torch.allclose(constant, torch.full_like(constant, 0.25))
    corner = faded(constant)[0, 0, 0, 0].item()
    assert corner == pytest.approx(0.25 * (11 / 21) ** 2, rel=1e-5)


def test_one_code_s_mix_of_the_k_is_known(
    reconstructions: list[Tensor], figures: dict[str, Any]
) -> None:
    """It divides each k by its number of cells, and filters by a Gaussian of sigma 7."""
    expected = figures["expected"]["eval_one_picture"]
    mixed = sum(
        median_score(A, x_hat) / (SIDE_PX / k) ** 2
        for k, x_hat in zip(KS, reconstructions, strict=True)
    )
    assert isinstance(mixed, Tensor)
    reference.assert_tensor(mixed, expected["plutoyuxie_sum_over_k_of_msgms_score_over_cells"])
    smooth = torch.from_numpy(ndimage.gaussian_filter(mixed[0, 0].numpy(), sigma=7))
    reference.assert_tensor(smooth, expected["plutoyuxie_map_after_gaussian_7"])
    score = expected["plutoyuxie_score_before_rescaling"]
    assert smooth.max().item() == pytest.approx(score, rel=1e-4)


@pytest.mark.wide
def test_a_training_batch_gives_the_reference_s_losses_gradients_and_statistics(
    model: RIAD, figures: dict[str, Any]
) -> None:
    """The gradients there are of the loss with a median; ours differs in that term alone."""
    expected = figures["expected"]["train_batch_of_two"]
    model = deepcopy(model).train()
    batch = torch.cat((A, C))
    x_hat = model.inpaint(batch, model.removed_in[KS.index(expected["k"])][None])
    reference.assert_tensor(x_hat.detach(), expected["reconstruction"])
    check_losses(batch, x_hat.detach(), expected["losses"])
    total = F.mse_loss(x_hat, batch) + median_loss(batch, x_hat) + ssim_loss(batch, x_hat, span=1)
    assert total.item() == pytest.approx(expected["total"], rel=1e-4)
    total.backward()  # type: ignore[no-untyped-call]
    for name, figure in expected["gradient_of_total_plutoyuxie"].items():
        gradient = model.get_parameter(name).grad
        assert gradient is not None
        last = name.startswith("conv_final")
        reference.assert_tensor(gradient, figure, tolerance=1e-3 if last else 3e-2)
    for name, figure in expected["running_mean_after"].items():
        reference.assert_tensor(model.get_buffer(name), figure)


def check_losses(x: Tensor, x_hat: Tensor, expected: dict[str, float]) -> None:
    """Check ours, which are those of one code, and the others' with their departures."""
    l2 = F.mse_loss(x_hat, x)
    found = {
        "l2": l2,
        "msgms_rolih": msgms_loss(x, x_hat),
        "ssim_rolih": ssim_loss(x, x_hat),
        "total_rolih": l2 + msgms_loss(x, x_hat) + ssim_loss(x, x_hat),
        "msgms_plutoyuxie": median_loss(x, x_hat),
        "ssim_plutoyuxie": ssim_loss(x, x_hat, span=1),
        "ssim_inoue": ssim_loss(x, x_hat, span=1),
        "total_plutoyuxie": l2 + median_loss(x, x_hat) + ssim_loss(x, x_hat, span=1),
        "msgms_inoue_4_scales": loss_of_channels(x, x_hat, scales=4),
        "msgms_inoue_3_scales": loss_of_channels(x, x_hat, scales=3),
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value, rel=1e-4), name


def anomaly_of(msgms_map: Tensor) -> Tensor:
    return similarity.mean_filtered(1 - msgms_map, MEAN_FILTER_PX)


def faded(anomaly: Tensor) -> Tensor:
    """Return a map as a mean filter with zeros beyond the border gives it.

    Ours times the share of each window that lies in the picture.
    """
    inside = F.avg_pool2d(torch.ones_like(anomaly), MEAN_FILTER_PX, 1, MEAN_FILTER_PX // 2)
    return anomaly * inside


def of_scales(x: Tensor, y: Tensor, map_of: Callable[[Tensor, Tensor], Tensor], n: int) -> Any:
    """Return the map of n scales, each half of the last."""
    maps = [map_of(x, y)]
    for _ in range(n - 1):
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        maps.append(map_of(x, y))
    return maps


def gms_after_median(x: Tensor, y: Tensor) -> Tensor:
    """Return GMS of the channels' mean after a 3x3 median, without the picture's outer pixels."""

    def size(z: Tensor) -> Tensor:
        around = F.unfold(z.mean(dim=1, keepdim=True), 3, padding=1)  # (B, 9, H W)
        median = around.median(dim=1, keepdim=True).values.view(len(z), 1, *z.shape[2:])
        return gradient_size(median)[:, :, 1:-1, 1:-1]

    one, other = size(x), size(y)
    c = similarity.GMS_C
    return (2 * one * other + c) / (one.square() + other.square() + c)


def median_loss(x: Tensor, y: Tensor) -> Tensor:
    means = [1 - one.mean() for one in of_scales(x, y, gms_after_median, SCALES)]
    return torch.stack(means).mean()


def median_score(x: Tensor, y: Tensor) -> Tensor:
    """Return (1 - the sum of four maps) / 4, from -0.75 to 0.25."""
    maps = of_scales(x, y, gms_after_median, SCALES)
    whole = [F.interpolate(one, x.shape[2:], mode="bilinear") for one in maps]
    return (1 - torch.stack(whole).sum(dim=0)) / 4


def loss_of_channels(x: Tensor, y: Tensor, scales: int) -> Tensor:
    """Return 1 - MSGMS of each channel for itself."""

    def each(one: Tensor, other: Tensor) -> Tensor:
        return gms(one.flatten(0, 1)[:, None], other.flatten(0, 1)[:, None])

    return 1 - torch.stack([one.mean() for one in of_scales(x, y, each, scales)]).mean()
