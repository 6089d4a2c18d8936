"""Show how a checkpoint of MNAD uses its memory on a normal clip.

    python -m tests.bench.memory --clip CLIP CHECKPOINT...

The distance is a mean over the positions of the feature map. Positions whose features waver between
two items are far from both now and then: a few of them can drown what the others tell. Cosines near
1 are alike in bf16: the last two columns say how often bf16 chooses another nearest, or second
nearest, item (ADR 51).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lookout.models.arrays import Pixels
from lookout.models.base import measure
from lookout.models.checkpoint.file import load_checkpoint
from lookout.models.data.clips import whole_clip
from lookout.models.memory import attend
from lookout.models.scorer import Scorer

LOUD = 10  # positions


@dataclass(frozen=True, slots=True)
class Use:
    """The use of the trained items over the frames of a clip."""

    items: int  # nearest to some feature at some time
    wavering: float  # share of the positions whose nearest item is not always the same
    distance: float  # mean
    deviation: float  # of the frames' distances, over their mean
    loud: float  # share of the positions' variance over time that the ten loudest have
    other_nearest: float  # share of all queries whose nearest item bf16 takes for another
    other_second: float

    @classmethod
    def of(cls, two: Tensor, two_bf16: Tensor, distances: Tensor) -> Use:
        """two: (N, K, 2) numbers of the nearest items, and as bf16 has them; distances: (N, K),
        mean squared, of each position in each frame.
        """
        nearest, other = two[..., 0], (two != two_bf16).float().mean(dim=(0, 1))  # (N, K), (2,)
        frames, variance = distances.mean(dim=1), distances.var(dim=0)  # (N,), (K,)
        return cls(
            items=len(set(nearest.flatten().tolist())),
            wavering=float((nearest != nearest[0]).any(dim=0).float().mean()),
            distance=float(frames.mean()),
            deviation=float(frames.std() / frames.mean()),
            loud=float(variance.topk(LOUD).values.sum() / variance.sum()),
            other_nearest=float(other[0]),
            other_second=float(other[1]),
        )


@torch.inference_mode()
def look(scorer: Scorer, clip: Pixels) -> Use:
    """clip: (N, H, W, 3) uint8 RGB."""
    items, length = scorer.fresh_items()[None], scorer.t_length  # (1, M, D)
    two, two_bf16, distances = [], [], []
    for last in range(length - 1, len(clip)):
        frames = scorer.normalise([clip[last - length + 1 : last + 1]])
        with torch.autocast("cpu", torch.bfloat16, enabled=scorer.precision == "bf16"):
            q = measure(scorer.network, frames, items).queries
        assert q is not None, f"{scorer.checkpoint.name} has no memory that adapts"
        two.append(attend(q, items).over_items.topk(2, dim=2).indices[0])  # (K, 2)
        with torch.autocast("cpu", torch.bfloat16):
            two_bf16.append(attend(q, items).over_items.topk(2, dim=2).indices[0])
        distances.append((q[0] - items[0, two[-1][:, 0]]).square().mean(dim=1))  # (K,)
    return Use.of(torch.stack(two), torch.stack(two_bf16), torch.stack(distances))


def main() -> None:
    """Print a table with a row for each checkpoint."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.memory", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--clip", type=Path, required=True)
    given = parser.parse_args()
    columns = [
        "items used",
        "positions that waver",
        "distance",
        "its deviation",
        "of the ten loudest",
    ]
    print(
        "| checkpoint | "
        + " | ".join([*columns, "bf16: other nearest", "other second"])
        + " |\n|---|"
        + "---|" * 7
    )
    for path in given.checkpoints:
        scorer = Scorer(load_checkpoint(path), "cpu", "bf16")
        use = look(scorer, whole_clip(given.clip, scorer.checkpoint.preprocess, scorer.t_length))
        numbers = (
            f"{use.items} | {use.wavering:.1%} | {use.distance:.2e} | "
            f"{use.deviation:.1%} | {use.loud:.1%}"
        )
        print(
            f"| {path.stem} | {numbers} | {use.other_nearest:.1%} | {use.other_second:.1%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
