"""MemAE on tables: an autoencoder of rows of numbers, put together from a memory of normal codes.

D. Gong et al., "Memorizing Normality to Detect Anomaly: Memory-augmented Deep Autoencoder for
Unsupervised Anomaly Detection", ICCV 2019, section 4.3. The authors published the network of videos
alone. The layers are those of a public re-implementation for KDD Cup 99, 120-60-30-10-3 with tanh;
the memory is that of the authors' code for videos, by inner product. That re-implementation lacks
the shrinkage of eq. 6, which is here; with `shrinkage` 0 all weights stay, as there.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor, nn

from lookout.models.memae import entropy
from lookout.models.memae_image import CodeMemory


@dataclass(frozen=True, slots=True)
class MemAETableConfig:
    """Configuration; the published numbers of KDD Cup 99 are the defaults."""

    columns: int = 120  # of a row, after the encoding of its texts
    width: int = 60  # of the first layer; the next two have a half and a sixth of that
    dim: int = 3  # D, of an item
    items: int = 50  # N
    shrinkage: float = 0.02  # λ of eq. 6: 1/N, the least that the paper names
    loss_entropy: float = 0.0002  # α of eq. 10

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that do not fit the network."""
        if min(self.columns, self.width // 6, self.dim, self.items - 1) < 1:
            raise ValueError("memae-table needs columns and dim >= 1, width >= 6 and items >= 2")
        if not 0 <= self.shrinkage < 1 or not 0 <= self.loss_entropy < 1e6:
            raise ValueError("memae-table needs shrinkage in [0, 1) and loss_entropy in [0, 1e6)")


class RowReconstruction(NamedTuple):
    """Output of the network."""

    rows: Tensor  # x̂, (B, columns), about [0, 1]: the last layer has no bound
    weights: Tensor  # ŵ, eq. 7, (B, N)


class MemAETable(nn.Module):
    """Encoder, memory and decoder."""

    def __init__(self, config: MemAETableConfig) -> None:
        super().__init__()
        self.config = config
        w = config.width
        sizes = (config.columns, w, w // 2, w // 6, config.dim)
        self.encoder = linear_tanh(sizes)
        self.memory = CodeMemory(config.items, config.dim, config.shrinkage, cosine=False)
        self.decoder = linear_tanh(sizes[::-1])

    def forward(self, x: Tensor) -> RowReconstruction:
        """x: (B, columns), about [0, 1]."""
        z_hat, weights = self.memory(self.encoder(x))
        return RowReconstruction(self.decoder(z_hat), weights)

    def loss(self, x: Tensor) -> Tensor:
        """Eq. 10 of a batch (B, columns): L = mean (x - x̂)² + α E(ŵ), a scalar."""
        x_hat, weights = self(x)
        return F.mse_loss(x_hat, x) + self.config.loss_entropy * entropy(weights)

    def score(self, x: Tensor) -> Tensor:
        """Return Σ (x - x̂)² of each row, (B, columns) → (B,); higher is more abnormal."""
        x_hat: Tensor = self(x).rows
        return (x_hat - x).square().sum(dim=1)


def linear_tanh(sizes: tuple[int, ...]) -> nn.Sequential:
    """Return linear layers between these sizes with tanh between them, none after the last."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += (nn.Linear(inputs, outputs), nn.Tanh())
    return nn.Sequential(*layers[:-1])
