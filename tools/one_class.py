"""Print MemAE's AUC on pictures with one class normal: `python -m tools.one_class DATA`.

DATA is the folder of MNIST (idx files, plain or gzip) or of CIFAR-10 (binary version), or `digits`,
which scikit-learn holds. One row a class, then the mean, beside the squared distance from the mean
training picture; with several seeds, means of them. The papers' figures are of the same protocol.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from lookout.models.data.picture_sets import read_picture_set
from lookout.models.device import choose_device
from lookout.models.errors import ModelsError
from lookout.models.training.one_class import OneClassOptions, run_classes


def main(arguments: list[str]) -> int:
    """Print the table; return the exit status."""
    default = OneClassOptions()
    parser = argparse.ArgumentParser(prog="python -m tools.one_class", description=__doc__)
    parser.add_argument("data", type=Path, help="folder of MNIST or CIFAR-10, or digits")
    parser.add_argument("--epochs", type=int, default=default.epochs)
    parser.add_argument("--batch", type=int, default=default.batch)
    parser.add_argument("--learning-rate", type=float, default=default.learning_rate)
    parser.add_argument("--per-place", action="store_true", help="an item is the code of a place")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args(arguments)
    if min(asked.epochs, asked.batch - 1, asked.seeds) < 1 or not 0 < asked.learning_rate < 1:
        parser.error("epochs and seeds are 1 or more, batch 2 or more, the learning rate in (0, 1)")
    try:
        pictures = read_picture_set(asked.data)
        options = OneClassOptions(
            asked.epochs,
            asked.batch,
            asked.learning_rate,
            whole_code=not asked.per_place,
            device=choose_device(asked.device),
        )
        print(f"{pictures.name}: AUC in percent, {asked.epochs} epochs, {asked.seeds} seeds")
        print("| normal class | memae-image | distance from the mean picture |\n|---|---|---|")
        runs = [list(run_classes(pictures, options, seed)) for seed in range(asked.seeds)]
    except (ModelsError, OSError) as error:
        print(f"one_class: {error}", file=sys.stderr)
        return 1
    found = np.array([[(one.network, one.mean_picture) for one in run] for run in runs])
    for number, (network, mean_picture) in enumerate(found.mean(axis=0)):
        print(f"| {number} | {network:.2f} | {mean_picture:.2f} |")
    network, mean_picture = found.mean(axis=(0, 1))
    print(f"| mean | {network:.2f} | {mean_picture:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
