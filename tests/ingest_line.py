"""Ingest for tests: a media folder, a checkpoint header, and the real worker in a thread.

A slow reader plays inference.
"""

from __future__ import annotations

import atexit
import time
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from lookout.models.checkpoint.header import Header
from lookout.models.input_spec import InputSpec
from lookout.models.media.preprocess import Preprocess
from lookout.service.core.camera import Camera, Pace
from lookout.service.core.messages import Frame, FrameId, IngestReport
from lookout.service.core.settings import Settings, load_settings
from lookout.service.ingest.decoder.process import DecoderProcess
from lookout.service.ingest.decoder.protocol import DecoderMessage
from lookout.service.ingest.forking.children import Children
from lookout.service.ingest.worker import run
from lookout.service.storage.bus.bus import Bus
from tests import stage
from tests.owning import own, save
from tests.waiting import wait_until

MODEL = "tiny"
SIDE_PX = 64


def write_header_only(folder: Path, name: str = MODEL, frames: int | None = None) -> Path:
    """A checkpoint that says how frames are prepared (64x64), and holds no weights.

    frames: how many a score takes, which checkpoints of the first version do not say.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    spec = InputSpec(frames, frames - 1, distance=True) if frames else None
    header = Header("mnad-pred", {}, Preprocess(SIDE_PX, SIDE_PX), input_spec=spec)
    save_file({"nothing": np.zeros(1, np.float32)}, path, header.metadata())
    return path


def settings_for(folder: Path, bus_url: str, store_url: str, **changes: Any) -> Settings:
    """Short time-outs, and a media and a models folder below `folder`."""
    (folder / "media").mkdir(exist_ok=True)
    write_header_only(folder / "models")
    short: dict[str, Any] = {"retry_first_s": 0.1, "retry_most_s": 0.4, "connect_timeout_s": 5.0}
    return load_settings(
        bus_url=bus_url,
        store_url=store_url,
        data_dir=folder,
        media_dir=folder / "media",
        models_dir=folder / "models",
        **{**short, **changes},
    )


def camera(name: str, url: str | Path, *, pace: Pace = "fast", **changes: Any) -> Camera:
    usual: dict[str, Any] = {"model": MODEL, "fps": None, "enabled": True, "revision": 1}
    return Camera(
        id=name,
        url=str(url),
        pace=pace,
        calibration="model",
        created_at=time.time(),
        **{**usual, **changes},
    )


@dataclass
class Reader:
    """Reads a camera's frames as inference would, and moves the cursor."""

    bus: Bus
    camera: str
    frames: list[Frame] = field(default_factory=list)

    def read(self, count: int = 1000) -> int:
        """Take up to `count` frames; returns how many there were."""
        last = self.frames[-1].id if self.frames else None
        new = self.bus.frames_after({self.camera: last}, count).get(self.camera, [])
        self.frames += new
        if new:
            save(self.bus, self.camera, new[-1].id)
        return len(new)

    def read_until(self, count: int, limit_s: float = 15.0) -> list[Frame]:
        """Read until there are `count` frames."""
        wait_until(
            lambda: self.read() + len(self.frames) >= count and len(self.frames) >= count,
            f"{count} frames",
            limit_s,
        )
        return self.frames

    @property
    def ids(self) -> list[FrameId]:
        return [frame.id for frame in self.frames]

    @property
    def sessions(self) -> list[int]:
        return sorted({frame.session for frame in self.frames})

    @property
    def misses_nothing(self) -> bool:
        """One session, and every number in it."""
        return len(self.sessions) == 1 and [id_.seq for id_ in self.ids] == list(
            range(len(self.ids))
        )


@cache
def shared_children() -> Children:
    """One fork server for every test of this process: it has loaded its libraries once."""
    children = Children()
    atexit.register(children.close)
    return children


def start_decoder(
    bus: Bus, record: Camera, settings: Settings, children: Children | None = None
) -> DecoderProcess:
    """One decoder, without a worker; it may write.

    children: of a server of the test's own, which has the environment as it is now.
    """
    token = own(bus, record.id, "ingest")
    return DecoderProcess(children or shared_children(), record, settings, token)


def play(
    record: Camera, settings: Settings, reader: Reader, limit_s: float = 15.0
) -> tuple[int, list[DecoderMessage]]:
    """Run one decoder to its end, reading along; its exit code and everything it said."""
    decoder, said = start_decoder(reader.bus, record, settings), list[DecoderMessage]()

    def ended() -> bool:
        code = decoder.exit_code()
        said.extend(decoder.read_messages())
        reader.read()
        return code is not None

    try:
        wait_until(ended, "the decoder's end", limit_s)
    finally:
        decoder.kill()
        wait_until(lambda: decoder.exit_code() is not None, "it is gone")
        decoder.close()
    return decoder.exit_code() or 0, said


working = partial(stage.working, run)


def wait_for_state(bus: Bus, name: str, state: str, limit_s: float = 15.0) -> IngestReport:
    """Wait until ingest reports that state; gives the report."""
    wait_until(
        lambda: (got := bus.ingest_report(name)) and got.state == state, f"{name} {state}", limit_s
    )
    report = bus.ingest_report(name)
    assert report is not None
    assert bool(report.last_error) == bool(report.last_error_code)  # for readers of other languages
    return report
