"""The two trainings of `tests.bench.start` differ only in the second start of their memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lookout.models.data.footage import Footage
from lookout.models.mnad import MnadConfig, MnadPred
from lookout.models.training.loop import train
from lookout.models.training.options import TrainOptions
from lookout.models.training.trainer import Trainer
from tests.bench.start import items_by_kmeans, trained

TINY = MnadConfig(width=4, dim=8, items=3, height_px=32, width_px=32)


def noise(frames: int) -> Footage:
    clip = np.random.default_rng(0).integers(0, 256, (frames, 32, 32, 3), np.uint8)
    return Footage.of({"01.mp4": clip}, TINY.t_length)


def test_the_items_lie_amid_the_queries() -> None:
    model = MnadPred(TINY).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    clips = torch.rand(2, 15, 32, 32) * 2 - 1
    items = items_by_kmeans(model, [clips])
    assert items.shape == (3, 8)
    assert torch.allclose(items.norm(dim=1), torch.ones(3), atol=1e-6)
    with torch.no_grad():
        features, *_ = model.eval().encoder(clips[:, :12])
    q = torch.nn.functional.normalize(features, dim=1).flatten(2).transpose(1, 2).reshape(-1, 8)
    nearest = (q @ items.T).argmax(dim=1)
    for number, item in enumerate(
        items
    ):  # each is the mean direction of those that are nearest to it, or close by
        own = torch.nn.functional.normalize(q[nearest == number].mean(dim=0), dim=0)
        assert own @ item > 0.999
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.long
def test_one_is_the_plain_training_and_the_other_parts_from_it(tmp_path: Path) -> None:
    options = TrainOptions(epochs=2)
    both = trained(TINY, options, noise(12), tmp_path)
    plain = Trainer(TINY, options, noise(12))
    train(plain, tmp_path / "plain.resume")
    assert torch.allclose(both["random"].items, plain.items, atol=1e-5)
    assert not torch.allclose(both["kmeans"].items, plain.items, atol=1e-3)
    assert plain.steps_done == both["random"].steps_done == both["kmeans"].steps_done == 4
