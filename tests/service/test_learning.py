"""The learning stage: from frames on the bus to a promoted checkpoint, with real Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lookout.models.checkpoint.header import read_header
from lookout.service.core.camera import Camera
from lookout.service.core.jobs import LearningJob
from lookout.service.core.messages import Frame
from lookout.service.core.settings import Settings
from lookout.service.learning.worker import run
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests import stage
from tests.conftest import Urls
from tests.owning import add_frames
from tests.service.api_server import camera
from tests.tiny import street, write_tiny
from tests.waiting import wait_until

FPS = 10


def settings_for(urls: Urls, folder: Path, **more: Any) -> Settings:
    return Settings(
        bus_url=urls.bus,
        store_url=urls.store,
        data_dir=folder,
        **{"lease_s": 1.0, "learning_free_mb": 0, **more},
    )


@pytest.fixture
def settings(urls: Urls, tmp_path: Path) -> Settings:
    write_tiny(tmp_path / "models", "tiny")
    return settings_for(urls, tmp_path)


def watch(store: Store, name: str = "gate", **more: Any) -> Camera:
    made = camera(name, **{"model": "tiny", **more})
    store.add_camera(made)
    return made


def film(bus: Bus, name: str, seqs: range, began_s: float, side_px: int = 32) -> None:
    """Put frames on the bus, FPS a second of captured time."""
    session = int(began_s * 1000)
    for seq in seqs:
        add_frames(bus, Frame(name, session, seq, began_s + seq / FPS, street(seq, side_px)))


def new_job(name: str = "gate", **more: Any) -> LearningJob:
    now = time.time()
    given: dict[str, Any] = {"footage_s": 9.0, "limit_s": 4.0, "promote": "rule"}
    return LearningJob(name, "queued", now, now, **{**given, **more})


def state_of(store: Store, job: LearningJob) -> str:
    return store.job(job.id).state


@pytest.fixture
def began_s() -> Iterator[float]:
    yield time.time() - 30


def test_a_camera_learns_its_own_network_and_takes_it(
    settings: Settings, bus: Bus, store: Store, began_s: float
) -> None:
    before = watch(store)
    film(bus, "gate", range(120), began_s)
    job = store.add_job(new_job())
    with stage.working(run, settings):
        wait_until(lambda: not store.job(job.id).is_active, "a job that is over", 60)
    done = store.job(job.id)
    assert (done.state, done.reason) == ("promoted", "")
    assert done.before is not None
    assert done.after is not None
    assert done.after.psnr_db >= done.before.psnr_db
    assert done.recorded_s >= 9.0
    after = store.camera("gate")
    assert (after.model, after.calibration) == ("gate-1", "model")
    assert after.revision == before.revision + 1
    header = read_header(settings.model_folders[0] / "gate-1.safetensors")
    assert header.learned_camera == "gate"
    assert header.calibration is not None
    assert header.fps == pytest.approx(FPS, rel=0.05)
    assert not (settings.data_dir / "learning" / "gate" / "jobs" / "1").exists()
