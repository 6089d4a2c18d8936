"""Measure what one GPU carries: frames a second of the networks and of whole steps, and cameras.

    python -m tests.bench.gpu --out gpu.json

Every time is synchronised. A *network* row is the forward pass alone, on clips that lie on the
device; an *end to end* row is the live line's step: upload of each camera's frame, window, network,
memory update, heatmap and the transfer back. A *cameras* row serves cameras in real time, each with
a frame every 40 ms at a moment of its own, and says how many the device carries with the p99 age of
a score under 100 ms; its frames come from memory, so neither Redis nor a decoder is in it.

Ways to run a network: `eager` (channels-last, cuDNN's fastest algorithms), `graph` (the same
kernels replayed from a CUDA graph), `compiled` (`torch.compile`, replayed from a graph). Where a
batch does not fit into the memory, its row says so.

On a CPU the rows of a GPU are null: not run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from lookout.models.base import initial_items, measure
from lookout.models.checkpoint.file import Checkpoint
from lookout.models.device import Precision, autocast, choose_device, fastest
from lookout.models.media.preprocess import Preprocess
from lookout.models.registry import make_model, sized
from lookout.models.scorer import Scorer
from lookout.models.vision.tensors import Window

Way = Literal["eager", "graph", "compiled"]

MATRIX_SIDE = 8192
CAMERA_FPS = 25
MOST_AGE_S = 0.1
LARGEST_IN_FP32 = 32  # a larger batch is no faster and takes minutes to choose its algorithms
CAMERAS = (20, 40, 80, 120, 160, 200, 240, 320, 480, 640, 960, 1280)
AIM_FRAMES_PER_S = 4000.0  # of full mnad-pred on a card of the H200's class
AIM_CAMERAS = 160.0
PUBLISHED_FRAMES_PER_S = {"mnad-pred": 67.0, "memae": 38.0, "std": 32.0}
"""Unsynchronised, on the cards of their authors, as their papers say."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model in one size."""

    title: str
    model: str
    width: int | None = None  # None: as published

    def checkpoint(self, size_px: int) -> Checkpoint:
        """Return it untrained: its weights do not matter for its speed."""
        config = sized(self.model, width=self.width, height_px=size_px, width_px=size_px)
        model = make_model(self.model, config).eval().requires_grad_(False)
        preprocess = Preprocess(width_px=size_px, height_px=size_px)
        return Checkpoint(self.model, model, initial_items(model), config, preprocess, None, {})


SUBJECTS = (
    Subject("mnad-pred", "mnad-pred"),
    Subject("mnad-pred, width 16", "mnad-pred", 16),
    Subject("memae", "memae"),
    Subject("std", "std"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; None: not run here."""

    what: str
    measured: float | None
    unit: str
    limit: float | None = None  # the device's bound, or what others publish
    ratio: float | None = None  # of measured to limit
    to_reach: float | None = None
    reached: bool | None = None
    command: str = "python -m tests.bench.gpu"
    note: str = ""

    def line(self) -> str:
        """Return the row as text."""
        measured = "not run" if self.measured is None else f"{self.measured:,.1f} {self.unit}"
        share = "" if self.ratio is None else f", {self.ratio:.2f} of {self.limit:,.1f}"
        aim = "" if self.to_reach is None else f", to reach {self.to_reach:,.0f}"
        note = f" ({self.note})" if self.note else ""
        return f"{self.what}: {measured}{share}{aim}{note}"


class Bench:
    """The measurements on one device."""

    def __init__(self, device: str, size_px: int, seconds: float) -> None:
        """seconds: of each measurement."""
        self.device = torch.device(device)
        self.size_px = size_px
        self.seconds = seconds
        self.on_gpu = self.device.type == "cuda"

    def synchronise(self) -> None:
        """Wait for what the device has been given."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)

    def rate(self, work: Callable[[], object], per_call: float) -> float:
        """Return units a second of work that does `per_call` of them, warmed up, synchronised."""
        for _ in range(3):
            work()
        self.synchronise()
        calls = 0
        began_s = time.perf_counter()
        while calls < 3 or time.perf_counter() - began_s < self.seconds:
            work()
            self.synchronise()
            calls += 1
        return calls * per_call / (time.perf_counter() - began_s)

    def peak_flops(self, side: int = MATRIX_SIDE) -> float:
        """Return FLOP/s of a product of random bf16 matrices."""
        left, right = (
            torch.randn(side, side, dtype=torch.bfloat16, device=self.device) for _ in range(2)
        )
        return self.rate(lambda: left @ right, 2.0 * side**3)

    def scorer(self, subject: Subject, precision: Precision) -> Scorer:
        """Return the engine of a model."""
        return Scorer(subject.checkpoint(self.size_px), str(self.device), precision)

    def frames(self, count: int) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
        """Return random frames (H, W, 3)."""
        shape = (count, self.size_px, self.size_px, 3)
        return list(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))

    def clips(self, scorer: Scorer, batch: int) -> Tensor:
        """Return clips on the device as the network takes them."""
        shape = (batch, scorer.t_length, self.size_px, self.size_px, 3)
        return scorer.normalise(torch.randint(0, 256, shape, dtype=torch.uint8, device=self.device))

    @torch.inference_mode()
    def network_rate(self, scorer: Scorer, batch: int, way: Way) -> float:
        """Return frames a second of the forward pass alone."""
        clips = self.clips(scorer, batch)
        items = torch.stack([scorer.fresh_items()] * batch)
        model = scorer.network
        if way == "compiled":
            model = torch.compile(model.measure, dynamic=False)  # type: ignore[assignment]

        def forward() -> Tensor:
            with autocast(self.device, scorer.precision):
                if way == "compiled":
                    arguments = (clips, items) if items.numel() else (clips,)
                    return model(*arguments).map  # type: ignore[no-any-return]
                return measure(model, clips, items).map

        return self.rate(forward if way == "eager" else captured(forward), batch)

    def step(self, scorer: Scorer, batch: int) -> Callable[[], object]:
        """Return the live line's step over `batch` cameras, each with a frame of its own."""
        windows = [Window(scorer.t_length, self.device) for _ in range(batch)]
        frames = self.frames(min(batch, 64))
        for _ in range(scorer.t_length):
            for i, window in enumerate(windows):
                window.push(frames[i % len(frames)])
        items = torch.stack([scorer.fresh_items()] * batch)

        def step() -> object:
            for i, window in enumerate(windows):
                window.push(frames[i % len(frames)])
            clips = scorer.normalise(torch.stack([window.clip() for window in windows]))
            return scorer.step_normalised(clips, items).samples()

        return step

    def p99_age_s(self, scorer: Scorer, cameras: int, seconds: float) -> float:
        """Serve cameras in real time; return the p99 age of their scores, in seconds.

        A turn takes every frame that is due, at most one of each camera, as the live line does.
        cuDNN chooses its algorithms without trying them: a trial takes longer than a frame may, and
        each turn has a batch of another size.
        """
        windows = [Window(scorer.t_length, self.device) for _ in range(cameras)]
        frames = self.frames(min(cameras, 64))
        for _ in range(scorer.t_length):
            for window in windows:
                window.push(frames[0])
        trained = scorer.fresh_items()
        interval_s = 1 / CAMERA_FPS
        began_s = time.perf_counter() + interval_s
        due_s = began_s + np.arange(cameras) / cameras * interval_s  # of each camera's next frame
        ages_s: list[float] = []
        while (now_s := time.perf_counter()) < began_s + seconds:
            ready = np.flatnonzero(due_s <= now_s)
            if not len(ready):
                time.sleep(0.0005)
                continue
            for i in ready:
                windows[i].push(frames[i % len(frames)])
            clips = scorer.normalise(torch.stack([windows[i].clip() for i in ready]))
            scorer.step_normalised(clips, torch.stack([trained] * len(ready))).samples()
            ages_s.extend(time.perf_counter() - due_s[ready])
            due_s[ready] += interval_s
        settled = ages_s[len(ages_s) // 4 :]  # the first steps choose their algorithms
        return float(np.quantile(settled, 0.99))


def captured(forward: Callable[[], Tensor]) -> Callable[[], object]:
    """Return the replay of a CUDA graph of `forward`."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            forward()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        forward()
    return graph.replay


def flop_of_a_frame(scorer: Scorer, clips: Tensor) -> float:
    """Return the operations of one forward pass over one clip."""
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(False), torch.no_grad(), counter:
        measure(scorer.network, clips.clone(), scorer.fresh_items()[None])
    return float(counter.get_total_flops())


def rows(
    bench: Bench,
    subjects: Sequence[Subject] = SUBJECTS,
    batches: Sequence[int] = (1, 8, 32, 128, 256),
    compiled_batches: Sequence[int] = (1, 128),
    cameras: Sequence[int] = CAMERAS,
    matrix_side: int = MATRIX_SIDE,
) -> Iterator[Row]:
    """Yield the table, row by row."""
    peak = bench.peak_flops(matrix_side)
    where = torch.cuda.get_device_name(bench.device) if bench.on_gpu else "CPU"
    yield Row("bf16 matrix product", peak / 1e12, "TFLOP/s", note=f"{where}, {matrix_side} a side")
    precisions: tuple[Precision, ...] = ("bf16", "fp32")
    for subject in subjects:
        for precision in precisions:
            scorer = bench.scorer(subject, precision)
            flop = flop_of_a_frame(scorer, bench.clips(scorer, 1))
            limit = peak / flop if precision == "bf16" else None
            for batch in batches:
                if precision == "fp32" and batch > LARGEST_IN_FP32:
                    continue
                ways: list[Way] = ["eager", "graph"]
                if precision == "bf16" and batch in compiled_batches:
                    ways.append("compiled")
                for way in ways:
                    yield network_row(bench, subject, scorer, batch, way, limit)
                yield end_to_end_row(bench, subject, scorer, batch, limit)
        yield cameras_row(bench, subject, cameras)


def network_row(
    bench: Bench, subject: Subject, scorer: Scorer, batch: int, way: Way, limit: float | None
) -> Row:
    """Return the row of a network's forward pass; `limit` in frames a second."""
    what = f"{subject.title}, {scorer.precision}, batch {batch}, network, {way}"
    if way != "eager" and not bench.on_gpu:
        return Row(what, None, "frames/s")
    return rated(what, lambda: bench.network_rate(scorer, batch, way), limit)


def end_to_end_row(
    bench: Bench, subject: Subject, scorer: Scorer, batch: int, limit: float | None
) -> Row:
    """Return the row of the live line's step; `limit` in frames a second."""
    what = f"{subject.title}, {scorer.precision}, batch {batch}, end to end"
    aimed = bench.on_gpu and subject == SUBJECTS[0] and scorer.precision == "bf16" and batch == 256
    to_reach = AIM_FRAMES_PER_S if aimed else None
    row = rated(what, lambda: bench.rate(bench.step(scorer, batch), batch), limit, to_reach)
    if (published := PUBLISHED_FRAMES_PER_S.get(subject.title)) and batch == 1:
        return Row(**{**asdict(row), "note": f"published, unsynchronised: {published:g}"})
    return row


def rated(
    what: str, work: Callable[[], float], limit: float | None, to_reach: float | None = None
) -> Row:
    """Return the row of what `work` measures in frames a second."""
    try:
        with fastest():
            measured = work()
    except RuntimeError as error:  # out of memory, or a network that cannot be captured
        return Row(what, None, "frames/s", note=str(error).strip().splitlines()[0][:120])
    ratio = measured / limit if limit else None
    reached = None if to_reach is None else measured >= to_reach
    return Row(what, measured, "frames/s", limit, ratio, to_reach, reached)


def cameras_row(bench: Bench, subject: Subject, counts: Sequence[int]) -> Row:
    """Return the row of the most cameras that are served in time."""
    what = f"{subject.title}, bf16, cameras at {CAMERA_FPS} fps, p99 age under 100 ms"
    aim = AIM_CAMERAS if bench.on_gpu and subject == SUBJECTS[0] else None
    scorer = bench.scorer(subject, "bf16")
    most = 0
    age_s = 0.0
    for count in counts:
        found_s = bench.p99_age_s(scorer, count, 4 * bench.seconds)
        if found_s >= MOST_AGE_S:
            break
        most = count
        age_s = found_s
    reached = None if aim is None else most >= aim
    note = f"p99 age {1000 * age_s:.0f} ms"
    return Row(what, float(most), "cameras", to_reach=aim, reached=reached, note=note)


def write(path: Path, table: Sequence[Row]) -> None:
    """Write the rows, after each one: a run that is cut short keeps what it has."""
    path.write_text(json.dumps({"rows": [asdict(row) for row in table]}, indent=1))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the rows and write them to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32, 128, 256])
    parser.add_argument("--compiled", type=int, nargs="*", default=[1, 128])
    parser.add_argument("--cameras", type=int, nargs="+", default=list(CAMERAS))
    parser.add_argument("--matrix-side", type=int, default=MATRIX_SIDE)
    given = parser.parse_args(arguments)
    bench = Bench(choose_device(given.device), given.size, given.seconds)
    table: list[Row] = []
    for row in rows(
        bench,
        batches=given.batches,
        compiled_batches=given.compiled,
        cameras=given.cameras,
        matrix_side=given.matrix_side,
    ):
        print(row.line(), flush=True)
        table.append(row)
        write(given.out, table)


if __name__ == "__main__":
    main()
