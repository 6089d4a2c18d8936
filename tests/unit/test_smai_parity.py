"""SMAI against every figure of ../shared/reference/smai.json, which hold the procedure alone.

Its inpainters are stand-ins: a box filter, and the U-Net of riad.json.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor

from lookout.models.scoring.similarity import ssim, ssim_loss
from lookout.models.smai import SMAI, Labels, SMAIConfig, means_of, superpixels
from tests import reference
from tests.conftest import with_wide_forms

SIDE_PX = 64
STEP_PX = 16
pytestmark = pytest.mark.footage  # for the reference beside it

Restore = Callable[[Tensor, Tensor], Tensor]


def smooth() -> np.ndarray[Any, np.dtype[np.float32]]:
    return reference.waves_and_noise(0, 3, SIDE_PX, down=1, across=1, noise=0.01)


NORMAL = torch.from_numpy(smooth())
DEFECT = torch.from_numpy(reference.with_defect(smooth()))


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return reference.figures("smai")


@pytest.fixture(scope="module")
def model() -> SMAI:
    made = SMAI(SMAIConfig(height_px=SIDE_PX, width_px=SIDE_PX, step_px=STEP_PX))
    made.load_state_dict(reference.filled_weights(reference.figures("riad")))
    return made.eval().requires_grad_(False)


def read_labels(rows: list[str]) -> Labels:
    return np.array([[int(character, 36) for character in row] for row in rows])


def box_fill(x: Tensor, removed: Tensor) -> Tensor:
    """Return for each pixel the mean of the kept ones within 15 x 15, else of all kept ones."""
    kept = (~removed).double()
    window = torch.ones(1, 1, 15, 15, dtype=torch.float64)
    counts = F.conv2d(kept, window, padding=7)  # (B, 1, H, W)
    sums = F.conv2d((x.double() * kept).flatten(0, 1)[:, None], window, padding=7).view(x.shape)
    everywhere = (x * kept).sum(dim=(2, 3), keepdim=True) / kept.sum(dim=(2, 3), keepdim=True)
    return torch.where(counts > 0, sums / counts.clamp_min(1), everywhere).float()


def test_the_network_is_that_of_riad(model: SMAI) -> None:
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    assert list(shapes.items()) == list(
        reference.figures("riad")["state_dict_order_and_shapes"].items()
    )


def test_the_superpixels_are_the_reference_s_pixel_by_pixel(figures: dict[str, Any]) -> None:
    plain = read_labels(figures["labels_plain_slic"])
    assert np.array_equal(superpixels(DEFECT, STEP_PX), plain)
    other = figures["labels_scikit_image"]
    joined = read_labels(other["labels"])
    covering = [np.bincount(joined[plain == label]).argmax() for label in range(plain.max() + 1)]
    share = (np.array(covering)[plain] == joined).mean()
    assert share == pytest.approx(other["share_equal_to_plain"], abs=1e-9)


def put_together(x: Tensor, labels: Labels, restore: Restore) -> tuple[Tensor, Tensor]:
    """Return x̂ and 1 - SSIM at each pixel, of the pass that it is removed in; one pass each."""
    x_hat = torch.zeros_like(x)
    unlike = torch.zeros(x.shape[1:])
    for label in range(labels.max() + 1):
        mask = torch.from_numpy(labels == label)
        restored = restore(x[None], mask[None, None])[0]
        x_hat = torch.where(mask, restored, x_hat)
        pasted = torch.where(mask, restored, x)[None]
        alike = ssim(x[None], pasted, span=1).mean(dim=1)[0]
        unlike = torch.where(mask, 1 - alike, unlike)
    return x_hat, unlike


@pytest.mark.parametrize(
    ("name", "x"),
    with_wide_forms(
        [
            ("defect_box_fill", DEFECT),
            ("normal_box_fill", NORMAL),
            ("defect_unet_of_riad_json", DEFECT),
        ],
        {"defect_box_fill", "normal_box_fill"},
    ),
)
def test_errors_of_superpixels_map_and_score_are_the_reference_s(
    name: str, x: Tensor, model: SMAI, figures: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = figures["expected"][name]
    labels = read_labels(figures["labels_plain_slic"])  # the normal picture has the defect's too
    assert labels.max() + 1 == expected["superpixels"]
    assert np.bincount(labels.ravel()).tolist() == expected["sizes"]
    if name.endswith("box_fill"):
        monkeypatch.setattr(model, "restore", box_fill)
    monkeypatch.setattr("lookout.models.smai.superpixels", lambda *_: labels)
    x_hat, unlike = put_together(x, labels, model.restore)
    reference.assert_tensor(x_hat[None], expected["put_together"])
    reference.assert_tensor(unlike[None, None], expected["one_minus_ssim_map"], 1e-3)
    assert means_of(unlike, labels).tolist() == pytest.approx(
        expected["one_minus_ssim_per_superpixel"], rel=1e-3
    )
    measured = model.measure(x[None])
    error = measured.map.mean(dim=1, keepdim=True)
    reference.assert_tensor(error, expected["squared_error_map"])
    means = means_of(error[0, 0], labels)
    assert means.tolist() == pytest.approx(expected["mean_squared_error_per_superpixel"], rel=1e-4)
    assert int(means.argmax()) == expected["worst_superpixel"]
    assert measured.heat is not None
    reference.assert_tensor(measured.heat.square(), expected["map_with_one_value_per_superpixel"])
    score = expected["score_maximum_over_superpixels"]
    assert measured.distance.item() == pytest.approx(score, rel=1e-4)
    assert error.mean().item() == pytest.approx(expected["score_mean_of_map"], rel=1e-4)


def test_a_training_picture_has_the_reference_s_losses(
    model: SMAI, figures: dict[str, Any]
) -> None:
    expected = figures["expected"]["training_picture"]
    labels = read_labels(figures["labels_plain_slic"])
    mask = torch.from_numpy(np.isin(labels, expected["removed_superpixels"]))[None, None]
    assert mask.double().mean().item() == expected["removed_share"]
    x = NORMAL[None]
    restored = model.restore(x, mask)
    reference.assert_tensor(restored, expected["output"])
    removed = (restored - x)[mask.expand_as(x)].square().mean().item()
    found = {
        "l2_whole": F.mse_loss(restored, x).item(),
        "l2_removed_only": removed,
        "one_minus_ssim_whole": ssim_loss(x, restored, span=1).item(),
        "l1_whole": F.l1_loss(restored, x).item(),
    }
    for name, value in found.items():
        rel = 1e-3 if "ssim" in name else 1e-4
        assert value == pytest.approx(expected[name], rel=rel), name
