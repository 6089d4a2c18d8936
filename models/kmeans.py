"""k-means on the device, a start for clusters that go on learning."""

from __future__ import annotations

import torch
from torch import Tensor

MAX_ROUNDS = 50
MAX_POINTS = 50_000  # more are thinned out evenly: clusters of a few dozen need no more


def kmeans(points: Tensor, clusters: int) -> Tensor:
    """Return centres (K, D) of points (N, D) float32, N ≥ K.

    k-means++, then at most MAX_ROUNDS rounds of Lloyd's algorithm. The same points give the same
    centres: random numbers come from a generator of its own.
    """
    points = points[:: -(-len(points) // MAX_POINTS)]  # (at most MAX_POINTS, D)
    centres = first_centres(points, clusters)
    nearest: Tensor | None = None
    for _ in range(MAX_ROUNDS):
        before = nearest
        nearest = torch.cdist(points, centres).argmin(dim=1)  # (N,)
        if before is not None and torch.equal(before, nearest):
            break
        counts = torch.bincount(nearest, minlength=clusters)[:, None]  # (K, 1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        means = sums / counts.clamp_min(1)
        centres = torch.where(counts > 0, means, centres)  # an empty cluster keeps its centre
    return centres


def first_centres(points: Tensor, clusters: int) -> Tensor:
    """Choose the first centres (K, D) among points (N, D) by k-means++.

    Each next centre is drawn with a probability in proportion to its squared distance from the
    nearest one chosen so far.
    """
    generator = torch.Generator().manual_seed(0)
    chosen = [int(torch.randint(len(points), (1,), generator=generator))]
    squares = torch.full((len(points),), torch.inf, dtype=torch.float64)
    while len(chosen) < clusters:
        distance = torch.cdist(points, points[chosen[-1:]])[:, 0].double().cpu()  # (N,)
        squares = torch.minimum(squares, distance.square())
        weights = squares
        if not squares.sum() > 0:
            weights = torch.ones_like(squares)  # all points are alike
        chosen.append(int(torch.multinomial(weights, 1, generator=generator)))
    return points[chosen].clone()
