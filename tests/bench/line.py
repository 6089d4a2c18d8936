"""Measure the whole line through `lookout serve`.

Its rate against the bare engine, the age of a score on arrival, bytes on the bus, memory and start.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import redis
import torch
from websockets.sync.client import connect

from lookout.models.checkpoint.file import load_checkpoint
from lookout.models.device import choose_precision
from lookout.models.evaluation.clip_scores import score_clips
from lookout.models.media.clip_reader import read_clip
from lookout.models.media.preprocess import Preprocess
from lookout.models.scorer import Scorer
from lookout.service.storage.redis.connect import connect as redis_client
from tests.bench import usage
from tests.bench.engine import time_of_steps
from tests.bench.footage import MODEL, full_size_file, scene_clip
from tests.bench.table import Row
from tests.e2e.service_process import Service, running_service

COMMAND = "python -m tests.bench line"
FPS = 10
FRAME_BYTES = 256 * 256 * 3
BATCH = 8
WAIT_MS = 10.0  # of a live score, beside twice its step


def report(
    folder: Path, seconds: float = 30.0, live_s: float = 30.0, *, published: bool = True
) -> Iterator[Row]:
    """Yield the rows of one file at full pace, and of one live camera.

    published: also at the published width, in a third of the footage.
    """
    # However busy the machine is, late frames are scored too: their ages are what is asked for.
    models = folder / "models"
    models.mkdir()
    (models / MODEL.name).symlink_to(MODEL)
    files = [("compact", MODEL, seconds, 0.9)]
    if published:
        files.append(("full", full_size_file(models), seconds / 3, 0.95))
    settings = {"models_dir": models, "media_dir": folder, "live_age_s": 600}
    began = time.monotonic()
    with running_service(folder / "data", **settings) as service:
        yield first_score(service, scene_clip(folder, live_s), began)
        for name, model, length_s, to_reach in files:
            clip = scene_clip(folder, length_s)
            frames = round(length_s * FPS)
            yield Row(
                f"whole line, a file at full pace, {name}, beside the bare engine (frames/s)",
                whole_line_fps(service, clip, model.stem, frames),
                COMMAND,
                bare_engine_fps(clip, model, frames),
                to_reach,
                "higher",
            )
        yield from live_rows(service, scene_clip(folder, live_s), round(live_s * FPS) - FPS)


def first_score(service: Service, clip: Path, began: float) -> Row:
    """Return the time from the start of `lookout serve` to a camera's first score."""
    with connect(service.address.replace("http", "ws") + "/api/v1/live") as socket:
        service.add(
            id="first", url=str(clip), model=MODEL.stem, pace="realtime", calibration="model"
        )
        while json.loads(socket.recv(timeout=60))["type"] != "score":
            pass
    took_s = time.monotonic() - began
    service.http.delete("/cameras/first").raise_for_status()
    return Row("start: `lookout serve` to a first score (s)", took_s, COMMAND, to_reach=5.0)


def bare_engine_fps(clip: Path, model: Path, frames: int) -> float:
    """Frames/s of one process without Redis and without decoding: one by one, or in batches."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    scorer = Scorer(load_checkpoint(model), device, choose_precision("auto", device))
    assert len(read_clip(clip, Preprocess())) == frames
    times: list[float] = []
    for _ in score_clips(
        scorer, [clip], carry_memory=True, on_frame=lambda: times.append(time.perf_counter())
    ):
        pass
    one_by_one = (frames - scorer.t_length) / (times[-1] - times[0])
    return max(one_by_one, BATCH / time_of_steps(scorer, BATCH, 3))


def whole_line_fps(service: Service, clip: Path, model: str, frames: int) -> float:
    """Frames/s between the first and the last score, by their own times."""
    service.add(id="fast", url=str(clip), model=model, pace="fast", calibration="model")
    service.wait_for_state("fast", "ended", 600)
    times: list[float] = [score["scored_at"] for score in service.all_scores("fast")]
    assert len(times) == frames - 4
    service.http.delete("/cameras/fast").raise_for_status()
    return (len(times) - 1) / (times[-1] - times[0])


def live_rows(service: Service, clip: Path, count: int) -> Iterator[Row]:
    """Yield what one live camera costs: ages of its scores, bytes on the bus, memory."""
    bus = redis_client(f"unix://{usage.redis_socket(service.process.pid, 'bus')}")
    service.add(id="live", url=str(clip), model=MODEL.stem, pace="realtime", calibration="model")
    ages_s: list[float] = []
    resident: list[tuple[str, float]] = []  # role and MB of each process
    with connect(service.address.replace("http", "ws") + "/api/v1/live?camera=live") as socket:
        before = traffic_bytes(bus)
        while len(ages_s) < count:
            message = json.loads(socket.recv(timeout=60))
            if message["type"] == "score":
                ages_s.append(time.time() - message["data"]["captured_at"])
                if len(ages_s) == 1:
                    resident = list(usage.resident_mb(service.process.pid).values())
        moved = traffic_bytes(bus) - before
    service.http.delete("/cameras/live").raise_for_status()
    bus.close()
    scorer = Scorer(load_checkpoint(MODEL), "cpu", choose_precision("auto", "cpu"))
    step_ms = 1000 * time_of_steps(scorer, 1, 5)
    ages_ms = 1000 * np.array(ages_s)
    yield Row("capture to WebSocket at 10 fps, p50 (ms)", float(np.quantile(ages_ms, 0.5)), COMMAND)
    yield Row(
        "the same, p99, beside twice the step and 10 ms",
        float(np.quantile(ages_ms, 0.99)),
        COMMAND,
        2 * step_ms + WAIT_MS,
        1.0,
    )
    yield Row(
        "bytes in and out of the bus, a scored frame, beside its pixels",
        moved / count,
        COMMAND,
        FRAME_BYTES,
        1.0,
    )
    yield Row(
        "memory of a decoder (MB)",
        max((mb for role, mb in resident if role == "decoder"), default=None),
        COMMAND,
        to_reach=60.0,
    )


def traffic_bytes(bus: redis.Redis) -> int:
    """Return the bytes that the bus has read and written since it was started."""
    stats = bus.info("stats")
    return int(stats["total_net_input_bytes"] + stats["total_net_output_bytes"])
