"""The first test clip of Ped2; its beginning is evaluated once for every test that holds something against it."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import av
import pytest

from models.bounds import Bounds
from models.checkpoint import Checkpoint
from models.device import Precision
from models.registry import make_config
from models.scorer import Scorer
from models.training.evaluate import Evaluation, evaluate
from models.training.import_mnad import import_mnad
from tests.conftest import SHARED

PED2 = SHARED / "data" / "ped2"
CLIP = "01"  # 180 frames: a cyclist from frame 60 to the end
BEGINNING = 68  # of its frames; so many packets hold just these, and decode to the very same pictures
HALF_GATE = 0.0175  # half of the frames pass, so that the memory's path counts too

# What `lookout calibrate --precision bf16` gives on train/01.mp4; it takes a minute each time.
BOUNDS = Bounds(35.85919, 37.17807, 1.951067e-06, 2.255347e-06, frames=116, gate_error=0.01383737)


@pytest.fixture(scope="session")
def half_gated() -> Checkpoint:
    """The authors' checkpoint, calibrated, with HALF_GATE."""
    checkpoint = import_mnad(SHARED / "reference" / "ped2_mnad_pred" / "authors.safetensors")
    return replace(checkpoint, config=make_config(checkpoint.name, {"gamma": HALF_GATE}), calibration=BOUNDS)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with CLIP alone."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / f"{CLIP}.mp4").symlink_to(PED2 / "test" / f"{CLIP}.mp4")
    return folder


@pytest.fixture(scope="session")
def beginning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first BEGINNING frames of CLIP, as they are encoded there."""
    folder = tmp_path_factory.mktemp("beginning")
    with av.open(str(PED2 / "test" / f"{CLIP}.mp4")) as clip, av.open(str(folder / f"{CLIP}.mp4"), "w") as part:
        stream = part.add_stream_from_template(clip.streams.video[0])
        for packet in islice(clip.demux(video=0), BEGINNING):
            packet.stream = stream
            part.mux(packet)
    return folder


@pytest.fixture(scope="session")
def first_clip(half_gated: Checkpoint, beginning: Path) -> Evaluation:
    """Its beginning, in float32, from the trained memory."""
    return evaluate_clip(half_gated, "fp32", beginning)


def evaluate_clip(checkpoint: Checkpoint, precision: Precision, folder: Path) -> Evaluation:
    return evaluate(Scorer(checkpoint, precision=precision), folder, carry_memory=False)
