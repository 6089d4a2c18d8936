"""MemAE on pictures against the paper's networks of ../shared/reference/memae_image.json.

These are the paper's layers with the memory of the authors' code for videos, which are ours. The
networks of other public codes, with layers of their own, are in that file too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor

from lookout.models.memae import entropy
from lookout.models.memae_image import (
    CodeMemory,
    MemAEImage,
    MemAEImageConfig,
    PictureLayers,
    PictureMemAE,
)
from tests import reference

pytestmark = pytest.mark.footage  # for the reference beside it

MNIST = PictureLayers(1, (28, 28), (1, 3, 3), (16, 32, 64))
CIFAR_10 = PictureLayers(3, (32, 32), (3, 3, 3, 3), (64, 128, 128, 256))
FORMS = [
    ("paper_list_mnist_whole_code_cosine", MNIST, 100),
    ("paper_list_mnist_per_place_official_memory", MNIST, 100),
    ("paper_list_cifar_per_place_official_memory", CIFAR_10, 500),
    ("paper_list_cifar_whole_code_cosine", CIFAR_10, 500),
]
LOSS_ENTROPY = 0.0002


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return reference.figures("memae_image")


def network(figures: dict[str, Any], name: str, layers: PictureLayers, items: int) -> PictureMemAE:
    threshold = figures["configurations"][name]["threshold"]
    made = PictureMemAE(layers, items, threshold, whole_code="whole_code" in name)
    weights = reference.filled_weights(figures, name)
    made.load_state_dict({key.replace("memory.memory", "memory"): weights[key] for key in weights})
    return made


@pytest.mark.parametrize(("name", "layers", "items"), FORMS)
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_a_network_gives_the_reference_s_pictures_weights_and_losses(
    name: str, layers: PictureLayers, items: int, mode: str, figures: dict[str, Any]
) -> None:
    expected = figures["expected"][name][mode]
    made = network(figures, name, layers, items).train(mode == "train")
    side_px = layers.size_px[0]
    x = torch.stack(
        [
            torch.from_numpy(reference.picture(number, layers.channels, side_px))
            for number in range(4)
        ]
    )
    if mode == "train":  # in float32 the largest gradients, forty times their std, depend on oneDNN
        made = made.double()
        x = x.double()
    x_hat, weights = made(x)
    reference.assert_tensor(x_hat.detach(), expected["output"])
    reference.assert_tensor(weights.detach(), expected["weights"])
    queries = weights[:, 0].numel()
    assert (weights > 0).sum().item() / queries == expected["nonzero_weights_per_query"]
    errors = (x_hat - x).square()
    approx = {
        "sum_of_squared_errors_per_picture": errors.sum(dim=(1, 2, 3)),
        "mean_squared_error_per_picture": errors.mean(dim=(1, 2, 3)),
        "mse": errors.mean(),
        "loss_sum_over_pixels_mean_over_batch": errors.sum() / 4,
        "entropy_mean_per_query": entropy(weights),
        "total_mse_plus_0.0002_entropy": errors.mean() + LOSS_ENTROPY * entropy(weights),
    }
    for figure, value in approx.items():
        assert value.tolist() == pytest.approx(expected[figure], rel=1e-4), figure
    if mode == "train":
        approx["total_mse_plus_0.0002_entropy"].backward()
        for key, figure in figures["expected"][name]["gradient_of_total_in_train_mode"].items():
            gradient = made.get_parameter(key.replace("memory.memory", "memory")).grad
            assert gradient is not None
            reference.assert_tensor(gradient, figure, 2e-3)


@pytest.mark.parametrize(("name", "cosine"), [("official_inner_product", False), ("cosine", True)])
def test_the_memory_alone_is_the_reference_s(
    name: str, cosine: bool, figures: dict[str, Any]
) -> None:
    expected = figures["memory_alone"][name]
    items = signed(999, 10) * (1 if cosine else 2)
    memory = CodeMemory(10, 8, 0.1, cosine=cosine)
    memory.weight.data.copy_(items)
    with torch.no_grad():
        z_hat, weights = memory(signed(998, 3))
    for found, figure in ((weights, expected["weights"]), (z_hat, expected["output"])):
        assert torch.allclose(found, torch.tensor(figure), atol=1e-5)
    assert entropy(weights).item() == pytest.approx(expected["entropy_mean"], rel=1e-4)


def signed(number: int, rows: int) -> Tensor:
    hashes = reference.hashed(rows * 8, number).astype(np.float64) / 2**31 - 1
    return torch.from_numpy(hashes.reshape(rows, 8).astype(np.float32))


def test_the_model_has_the_published_sizes(figures: dict[str, Any]) -> None:
    config = MemAEImageConfig()
    hyper = figures["hyper_parameters"]
    assert config.items == hyper["memory_size"][0]["CIFAR-10"]
    assert config.loss_entropy == hyper["alpha"][0]
    assert config.shrinkage == pytest.approx(1 / config.items)
    published = figures["state_dict_order_and_shapes"]["paper_list_cifar_whole_code_cosine"]
    shapes = {
        key.removeprefix("network."): list(tensor.shape)
        for key, tensor in MemAEImage(config).state_dict().items()
    }
    assert shapes == published


def test_a_query_whose_weights_all_fall_below_the_threshold_has_a_code_of_zeros() -> None:
    memory = CodeMemory(4, 8, 0.9, cosine=True)
    z_hat, weights = memory(torch.zeros(2, 8))
    assert not weights.any()
    assert not z_hat.any()


def test_a_distance_is_the_sum_of_a_picture_s_squared_errors() -> None:
    torch.manual_seed(0)
    model = MemAEImage(MemAEImageConfig(width=4, items=8)).eval()
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        measured = model.measure(x)
        total = F.mse_loss(model(x).pictures, x, reduction="none").sum(dim=(1, 2, 3))
    assert torch.allclose(measured.distance, total)


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ({"height_px": 40}, "multiples of 16"),
        ({"items": 1}, "items >= 2"),
        ({"whole_code": 2}, "0 or 1"),
        ({"width": 0}, "width >= 1"),
    ],
)
def test_a_size_that_cannot_be_is_one_line(sizes: dict[str, int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as raised:
        MemAEImageConfig(**sizes)
    assert "\n" not in str(raised.value)
