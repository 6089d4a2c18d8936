"""STD against every figure that the authors' code gave (../shared/reference/std.json)."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor

from lookout.models.std import STD, STDConfig
from lookout.models.vision.tensors import to_clips
from tests import reference

pytestmark = pytest.mark.footage


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return reference.figures("std")


@pytest.fixture(scope="module")
def model(figures: dict[str, Any]) -> STD:
    made = STD(STDConfig())
    made.load_state_dict(reference.filled_weights(figures))
    return made.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def clips() -> Tensor:
    """A clip in the authors' memory format: the cluster map's spread is near float32's rounding."""
    return to_clips(
        [reference.clip("test/01", 40, 5)], torch.device("cpu"), "bgr", black=0.0
    ).contiguous()


def test_the_network_has_the_authors_tensors_in_their_order(
    model: STD, figures: dict[str, Any]
) -> None:
    assert list(model.state_dict()) == list(figures["state_dict_order_and_shapes"])
    assert sum(p.numel() for p in model.parameters()) == figures["parameters"]


def test_one_clip_gives_the_authors_numbers(
    model: STD, clips: Tensor, figures: dict[str, Any]
) -> None:
    expected = figures["expected"]
    found = model(clips)
    reference.assert_tensor(clips[:, :3], expected["static_input"])
    reference.assert_tensor(clips[:, -3:] - clips[:, :3], expected["motion_target"])
    reference.assert_tensor(found.appearance, expected["static_output"])
    reference.assert_tensor(found.motion, expected["motion_output"])
    reference.assert_tensor(exact_cluster_map(model, found.features), expected["cluster_map"])


def exact_cluster_map(model: STD, features: Tensor) -> Tensor:
    """Return the cluster map in float64.

    Its tolerance is less than three steps of float32, which is what two CPUs differ by.
    """
    cluster = deepcopy(model.cluster).double()
    return F.interpolate(cluster(features.double()).mean(dim=1, keepdim=True), scale_factor=8)


def test_the_cluster_map_in_float32_is_exact_but_for_rounding(model: STD, clips: Tensor) -> None:
    features = model(clips).features
    exact = exact_cluster_map(model, features)
    difference = (model.cluster_map(features).double() - exact).abs() / exact
    assert difference.max() < 10 * torch.finfo(torch.float32).eps


def test_the_losses_are_the_authors(model: STD, clips: Tensor, figures: dict[str, Any]) -> None:
    losses = model.losses(clips, model(clips))._asdict()
    assert losses.keys() == figures["expected"]["losses"].keys()
    for name, expected in figures["expected"]["losses"].items():
        assert losses[name].item() == pytest.approx(expected, rel=1e-4), name


def test_the_score_is_the_fused_error_times_the_cluster_map(model: STD, clips: Tensor) -> None:
    measured = model.measure(clips)
    found = model(clips)
    fused = (found.appearance + found.motion - clips[:, 12:]).square()
    assert torch.equal(measured.map, fused)
    expected = (fused.mean(dim=1, keepdim=True) * model.cluster_map(found.features)).mean()
    assert measured.distance.item() == pytest.approx(expected.item(), rel=1e-5)
