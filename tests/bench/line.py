"""Measure the whole line through `lookout serve`.

Printed are frames/s against the bare engine, and the age of a score on arrival.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from websockets.sync.client import connect

from lookout.models.checkpoint.file import load_checkpoint
from lookout.models.device import choose_precision
from lookout.models.evaluation.clip_scores import score_clips
from lookout.models.media.clip_reader import read_clip
from lookout.models.media.preprocess import Preprocess
from lookout.models.scorer import Scorer
from tests.bench.footage import MODEL, scene_clip
from tests.e2e.service_process import Service, running_service


def report(folder: Path, seconds: float = 30.0, live_s: float = 30.0) -> Iterator[str]:
    """Yield two lines: the rate of one file at full pace, and the ages of live scores."""
    clip = scene_clip(folder, seconds)
    bare_fps = _bare_engine(clip)
    # However busy the machine is, late frames are scored too: their ages are what is asked for.
    settings = {"models_dir": MODEL.parent, "media_dir": folder, "live_age_s": 600}
    with running_service(folder / "data", **settings) as service:
        line_fps = _whole_line(service, clip, round(seconds * 10))
        yield (
            f"whole line, one file at full pace: {line_fps:.1f} frames/s; "
            f"bare engine: {bare_fps:.1f} frames/s; ratio {line_fps / bare_fps:.2f}"
        )
        ages_ms = 1000 * np.array(
            _ages(service, scene_clip(folder, live_s), round(live_s * 10) - 10)
        )
        yield (
            f"capture to WebSocket, one camera at 10 fps, {len(ages_ms)} scores: "
            f"p50 {np.quantile(ages_ms, 0.5):.0f} ms, p99 {np.quantile(ages_ms, 0.99):.0f} ms"
        )


def _bare_engine(clip: Path) -> float:
    """Frames/s of the same steps in one process, without Redis and without decoding."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    scorer = Scorer(load_checkpoint(MODEL), device, choose_precision("auto", device))
    frames = len(read_clip(clip, Preprocess()))
    times: list[float] = []
    for _ in score_clips(
        scorer, [clip], carry_memory=True, on_frame=lambda: times.append(time.perf_counter())
    ):
        pass
    return (frames - scorer.t_length) / (times[-1] - times[0])


def _whole_line(service: Service, clip: Path, frames: int) -> float:
    """Frames/s between the first and the last score, by their own times."""
    service.add(id="fast", url=str(clip), model=MODEL.stem, pace="fast", calibration="model")
    service.wait_for_state("fast", "ended", 300)
    times: list[float] = [score["scored_at"] for score in service.all_scores("fast")]
    assert len(times) == frames - 4
    service.http.delete("/cameras/fast").raise_for_status()
    return (len(times) - 1) / (times[-1] - times[0])


def _ages(service: Service, clip: Path, count: int) -> list[float]:
    """Seconds from a frame's capture to its score's arrival at a WebSocket client."""
    service.add(id="live", url=str(clip), model=MODEL.stem, pace="realtime", calibration="model")
    found: list[float] = []
    with connect(service.address.replace("http", "ws") + "/api/v1/live?camera=live") as socket:
        while len(found) < count:
            message = json.loads(socket.recv(timeout=60))
            if message["type"] == "score":
                found.append(time.time() - message["data"]["captured_at"])
    service.http.delete("/cameras/live").raise_for_status()
    return found
