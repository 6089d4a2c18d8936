"""Measure whether `lookout train --compile` pays on this device.

    python -m tests.bench.compiled --width 16 --size 128

Training steps on random pictures with and without `torch.compile`, in turns, so that both meet the
same noise of the machine. The time of the compiler itself is printed apart.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from lookout.models.data.footage import Footage
from lookout.models.device import choose_device, choose_precision
from lookout.models.registry import sized
from lookout.models.training.options import TrainOptions
from lookout.models.training.trainer import Trainer

BATCH = 4


def report(model: str, width: int, size_px: int, steps: int, device: str = "auto") -> Iterator[str]:
    """Yield one line: the time of a training step, plain and compiled, and of compiling."""
    where = choose_device(device)
    config = sized(model, width=width, height_px=size_px, width_px=size_px)
    shape = (config.input_spec.frames + BATCH, size_px, size_px, 3)
    footage = Footage.of(
        {"noise": np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)},
        shape[0] - BATCH,
    )
    plain = TrainOptions(batch=BATCH, precision=choose_precision("auto", where), device=where)
    trainers = {
        both: Trainer(config, replace(plain, compiled=both), footage) for both in (False, True)
    }
    first_s = {both: _step_s(trainer) for both, trainer in trainers.items()}
    times_s = np.array([[_step_s(trainer) for trainer in trainers.values()] for _ in range(steps)])
    plain_s, compiled_s = np.median(times_s, axis=0)
    yield (
        f"{model}, width {width}, {size_px} px, {plain.precision}, {where}: "
        f"a step of {BATCH} clips {plain_s:.3f} s, compiled {compiled_s:.3f} s, "
        f"ratio {compiled_s / plain_s:.2f}; compiling {first_s[True] - first_s[False]:.0f} s"
    )


def _step_s(trainer: Trainer) -> float:
    """Return the seconds of one training step."""
    began_s = time.perf_counter()
    trainer.step(next(trainer.batches()))  # ends with a number on the host: the device is done
    return time.perf_counter() - began_s


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the report for the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mnad-pred")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--device", default="auto")
    given = parser.parse_args(arguments)
    for line in report(given.model, given.width, given.size, given.steps, given.device):
        print(line, flush=True)


if __name__ == "__main__":
    main()
