"""k-means, as a start for clusters that go on learning."""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDS = 50
POINTS = 50_000  # more are thinned out evenly: clusters of a few dozen need no more


def kmeans(points: Tensor, clusters: int) -> Tensor:
    """Centres (K, D) of points (N, D), float32, N ≥ K: k-means++ and at most ROUNDS rounds of Lloyd's.

    The same points give the same centres: what is random comes from a generator of its own.
    """
    points = points[:: -(-len(points) // POINTS)]  # (at most POINTS, D)
    centres = _plus_plus(points, clusters)
    nearest: Tensor | None = None
    for _ in range(ROUNDS):
        before, nearest = nearest, torch.cdist(points, centres).argmin(dim=1)  # (N,)
        if before is not None and torch.equal(before, nearest):
            break
        counts = torch.bincount(nearest, minlength=clusters)[:, None]  # (K, 1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        centres = torch.where(
            counts > 0, sums / counts.clamp_min(1), centres
        )  # an empty one stays where it is
    return centres


def _plus_plus(points: Tensor, clusters: int) -> Tensor:
    """A first guess: each next centre is a point, far ones more likely (by squared distance), (K, D)."""
    generator = torch.Generator().manual_seed(0)
    chosen = [int(torch.randint(len(points), (1,), generator=generator))]
    far = torch.full((len(points),), torch.inf, dtype=torch.float64)
    while len(chosen) < clusters:
        distance = torch.cdist(points, points[chosen[-1:]])[:, 0].double().cpu()  # (N,)
        far = torch.minimum(far, distance.square())
        weights = far if far.sum() > 0 else torch.ones_like(far)  # all points alike: any will do
        chosen.append(int(torch.multinomial(weights, 1, generator=generator)))
    return points[chosen].clone()
