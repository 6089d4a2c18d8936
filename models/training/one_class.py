"""The papers' protocol on pictures: one class is normal, the others are anomalies.

A network is trained on the training pictures of one class. It scores the test pictures of that
class, and as many of the others, drawn by the seed, that they are three tenths of the test. The
figure is the AUC, in the mean of the classes. Nothing is chosen: the last epoch counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from sklearn.metrics import roc_auc_score
from torch import Tensor

from lookout.models.arrays import Pixels
from lookout.models.data.picture_sets import PictureSet
from lookout.models.errors import DataError
from lookout.models.memae import entropy
from lookout.models.memae_image import PictureLayers, PictureMemAE

ABNORMAL_SHARE = 0.3
LOSS_ENTROPY = 0.0002  # α of eq. 10
AT_ONCE = 256  # pictures of a scoring batch


class PublishedPictures(NamedTuple):
    """The network of a set of pictures, as the paper has it."""

    layers: PictureLayers
    items: int  # N; the shrinkage is 1 / N


GRAY_28 = PublishedPictures(PictureLayers(1, (28, 28), (1, 3, 3), (16, 32, 64)), 100)
COLOUR_32 = PublishedPictures(PictureLayers(3, (32, 32), (3, 3, 3, 3), (64, 128, 128, 256)), 500)


@dataclass(frozen=True, slots=True)
class OneClassOptions:
    """Options of the protocol's trainings. The learning rate stays as it is."""

    epochs: int = 60
    batch: int = 32
    learning_rate: float = 1e-3  # of Adam
    whole_code: bool = True  # an item is the code of a whole picture, else of one place
    device: str = "cpu"


class OneClassResult(NamedTuple):
    """AUC of one class as the normal one, in percent."""

    number: int  # of the class
    network: float
    mean_picture: float  # of the squared distance from the mean of the training pictures


def run_classes(
    pictures: PictureSet, options: OneClassOptions, seed: int
) -> Iterator[OneClassResult]:
    """Yield the result of each class in turn. Raises DataError where one has too few pictures."""
    for number in range(10):
        yield run_class(pictures, number, options, seed)


def run_class(
    pictures: PictureSet, number: int, options: OneClassOptions, seed: int
) -> OneClassResult:
    """Train on one class and measure. The same seed gives the same figures on the same CPU.

    Raises DataError where there are too few pictures to train on or to measure with.
    """
    train = pictures.train.of_class(number)
    normal = pictures.test.of_class(number)
    others = pictures.test.of_class(number, others=True)
    count = round(len(normal) * ABNORMAL_SHARE / (1 - ABNORMAL_SHARE))
    if len(train) < 2 or not 0 < count <= len(others):
        raise DataError(
            f"{pictures.name}, class {number}: {len(train)} pictures to train on, {len(normal)} "
            f"normal and {len(others)} others to test with are too few"
        )
    drawn = np.random.default_rng(seed).choice(len(others), count, replace=False)
    tested = as_tensor(np.concatenate([normal, others[np.sort(drawn)]]))
    truth = np.arange(len(tested)) >= len(normal)
    x = as_tensor(train)
    network = train_network(x, options, seed)
    distances = (tested - x.mean(dim=0)).square().sum(dim=(1, 2, 3))
    return OneClassResult(
        number,
        100 * float(roc_auc_score(truth, scores(network, tested, options.device))),
        100 * float(roc_auc_score(truth, distances.numpy())),
    )


def train_network(x: Tensor, options: OneClassOptions, seed: int) -> PictureMemAE:
    """Return the paper's network of pictures (N, C, H, W) in [0, 1], trained on them.

    Raises DataError for pictures of another size than MNIST's or CIFAR-10's.
    """
    published = {one.layers.size_px: one for one in (GRAY_28, COLOUR_32)}.get(
        (x.shape[2], x.shape[3])
    )
    if published is None or x.shape[1] != published.layers.channels:
        raise DataError(
            f"pictures of {tuple(x.shape[1:])}: MNIST has (1, 28, 28), CIFAR-10 (3, 32, 32)"
        )
    torch.manual_seed(seed)
    network = PictureMemAE(
        published.layers, published.items, 1 / published.items, whole_code=options.whole_code
    ).to(options.device)
    optimizer = torch.optim.Adam(network.parameters(), options.learning_rate)
    for _ in range(options.epochs):
        for rows in torch.split(torch.randperm(len(x)), options.batch):
            if len(rows) < 2:  # batch normalisation has no variance of one
                continue
            batch = x[rows].to(options.device)
            found, weights = network(batch)
            loss = F.mse_loss(found, batch) + LOSS_ENTROPY * entropy(weights)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    return network.eval()


def scores(network: PictureMemAE, x: Tensor, device: str) -> list[float]:
    """Return Σ (x - x̂)² of each picture (N, C, H, W); higher is more abnormal."""
    found: list[float] = []
    with torch.inference_mode():
        for batch in torch.split(x, AT_ONCE):
            on_device = batch.to(device)
            errors = (network(on_device).pictures - on_device).square()
            found += errors.sum(dim=(1, 2, 3)).tolist()
    return found


def as_tensor(pixels: Pixels) -> Tensor:
    """(N, H, W, C) uint8 → (N, C, H, W) float32 in [0, 1]."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
