"""MemAE against every figure that the authors' code gave (../shared/reference/memae.json)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lookout.models.base import TrainingBatch
from lookout.models.memae import MemAE, MemAEConfig, Reconstruction, entropy
from lookout.models.vision.tensors import to_clips
from tests import reference

pytestmark = pytest.mark.footage


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return reference.figures("memae")


@pytest.fixture(scope="module")
def model(figures: dict[str, Any]) -> MemAE:
    made = MemAE(MemAEConfig())
    made.load_state_dict(reference.filled_weights(figures))
    return made.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def clips() -> Tensor:
    return to_clips([reference.clip("test/01", 40, 16)], torch.device("cpu"), gray=True)


@pytest.fixture(scope="module")
def found(model: MemAE, clips: Tensor) -> Reconstruction:
    """A pass of the network takes seconds."""
    return model(clips[:, None])  # type: ignore[no-any-return]


def test_the_network_has_the_authors_tensors_in_their_order(
    model: MemAE, figures: dict[str, Any]
) -> None:
    assert list(model.state_dict()) == list(figures["state_dict_order_and_shapes"])
    assert sum(p.numel() for p in model.parameters()) == figures["parameters"]


def test_one_clip_gives_the_authors_numbers(found: Reconstruction, figures: dict[str, Any]) -> None:
    expected = figures["expected"]
    reference.assert_tensor(found.clip, expected["output"])
    reference.assert_tensor(found.weights, expected["att"])
    nonzero = (found.weights > 0).double().mean().item()
    assert nonzero == pytest.approx(expected["att_nonzero_fraction"], rel=1e-4)
    assert entropy(found.weights).item() == pytest.approx(expected["loss_entropy"], rel=1e-4)


def test_the_score_is_the_authors_and_belongs_to_frame_8(
    model: MemAE, clips: Tensor, found: Reconstruction, figures: dict[str, Any]
) -> None:
    measured = model.measure(clips)
    assert measured.distance.item() == pytest.approx(figures["expected"]["recon_error"], rel=1e-4)
    frame = found.clip[:, :, 8]
    assert torch.equal(measured.map, ((frame + 1) / 2 - (clips[:, 8:9] + 1) / 2).square())


@pytest.mark.wide
def test_the_loss_is_the_authors(model: MemAE, clips: Tensor, figures: dict[str, Any]) -> None:
    expected = figures["expected"]
    step = model.training_step(TrainingBatch(clips))  # in eval mode, as the reference
    assert 4 * step.mse.item() == pytest.approx(expected["loss_reconstruction"], rel=1e-4)
    total = expected["loss_reconstruction"] + 0.0002 * expected["loss_entropy"]
    assert step.loss.item() == pytest.approx(total, rel=1e-4)
