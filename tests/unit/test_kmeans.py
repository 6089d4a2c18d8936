"""k-means finds the clusters, is repeatable, and copes with points that are all alike."""

from __future__ import annotations

import torch

from lookout.models import kmeans as module
from lookout.models.kmeans import kmeans


def test_it_finds_groups_that_are_apart() -> None:
    generator = torch.Generator().manual_seed(1)
    middles = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0], [9.0, 9.0]])
    points = middles.repeat(50, 1) + 0.1 * torch.randn(200, 2, generator=generator)
    found = kmeans(points, 4)
    assert torch.cdist(middles, found).amin(dim=1).max() < 0.1
    assert torch.equal(found, kmeans(points, 4))


def test_many_points_are_thinned_out() -> None:
    points = torch.arange(float(2 * module.MAX_POINTS + 1))[:, None]
    centres = kmeans(points, 2).flatten().sort().values
    assert torch.allclose(centres, len(points) * torch.tensor([0.25, 0.75]), rtol=0.01)


def test_points_that_are_all_alike_give_that_point() -> None:
    assert torch.equal(kmeans(torch.ones(10, 3), 4), torch.ones(4, 3))
