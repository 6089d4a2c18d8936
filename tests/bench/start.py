"""Measure whether a memory that starts again from k-means keeps more of its items.

    python -m tests.bench.start --data ped2/ --held-out 03,12 --out folder/
        [--width 16] [--epochs 3]

Two trainings have their first epoch in common. Before the second, the items of one become the
centres that k-means finds in the queries of normal windows (STD's clusters start so); the other
keeps the items that training has reached. Nothing else differs. Writes `folder/random.safetensors`
and `folder/kmeans.safetensors`, for `lookout calibrate`, `tests.bench.updates` and
`tests.bench.memory`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from lookout.models import memory
from lookout.models.checkpoint.file import save_checkpoint
from lookout.models.data.clips import train_clips
from lookout.models.data.footage import Footage
from lookout.models.kmeans import MAX_POINTS, kmeans
from lookout.models.media.preprocess import Preprocess
from lookout.models.mnad import Mnad, MnadConfig
from lookout.models.registry import sized
from lookout.models.training.loop import train
from lookout.models.training.options import TrainOptions
from lookout.models.training.trainer import StoppedError, Trainer

STARTS_AGAIN = 1  # 0-based epoch


@torch.no_grad()
def items_by_kmeans(model: Mnad, clips: Iterable[Tensor]) -> Tensor:
    """Centres of the queries, of unit length: (M, D). clips: batches of (B, 3 T, H, W); the model
    is in train mode.

    In float32: in bf16 queries near one another would be one.
    """
    model.eval()  # else the queries would change the batch norms on their way
    places: list[Tensor] = []
    for batch in clips:
        features, *_ = model.encoder(model.split(batch)[0])
        places.append(memory.fold_batch(memory.queries_of(features))[0])  # (B K, D)
        if sum(map(len, places)) >= MAX_POINTS:
            break
    model.train()
    centres = kmeans(torch.cat(places), model.config.items)
    return torch.nn.functional.normalize(centres, dim=1)


class KMeansStart(Trainer):
    """A trainer whose memory starts again from k-means."""

    def begin_epoch(self) -> None:
        super().begin_epoch()
        if self.epoch == STARTS_AGAIN:
            assert isinstance(self.model, Mnad)
            self.items = items_by_kmeans(self.model, (batch.clips for batch in self.batches()))


def trained(
    config: MnadConfig, options: TrainOptions, footage: Footage, folder: Path
) -> dict[str, Trainer]:
    """Train both to the end."""
    common, state = Trainer(config, options, footage), folder / "common.resume"
    with suppress(StoppedError):
        train(common, state, should_stop=lambda: common.epoch == STARTS_AGAIN)
    both = {
        "random": Trainer(config, options, footage),
        "kmeans": KMeansStart(config, options, footage),
    }
    for name, trainer in both.items():
        trainer.resume(state)
        train(trainer, folder / f"{name}.resume")
    return both


def main() -> None:
    """Train with and without the second start, and write both checkpoints."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.start", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--held-out", required=True, help="names of normal clips, with commas")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    given = parser.parse_args()
    if given.epochs <= STARTS_AGAIN:
        parser.error("--epochs: two or more, as the memory starts again after the first")
    config = sized("mnad-pred", width=given.width)
    assert isinstance(config, MnadConfig)
    preprocess = Preprocess(config.height_px, config.width_px)
    held = given.held_out.split(",")
    clips = [path for path in train_clips(given.data) if path.stem not in held]
    footage = Footage.load(clips, preprocess, config.input_spec.frames)
    options = TrainOptions(epochs=given.epochs, learning_rate=given.learning_rate, precision="bf16")
    given.out.mkdir(parents=True, exist_ok=True)
    for name, trainer in trained(config, options, footage, given.out).items():
        save_checkpoint(given.out / f"{name}.safetensors", trainer.checkpoint(preprocess, {}))


if __name__ == "__main__":
    main()
