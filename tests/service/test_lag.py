"""More load than can be scored.

Scores stay fresh, every camera gets its share, and dropped frames are reported.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import redis
from torch import Tensor

from lookout.models.memory_update import UpdateRule
from lookout.models.scorer import Scored, Scorer
from lookout.service.core.camera import Camera, Pace
from lookout.service.core.messages import Frame, FrameId
from lookout.service.core.settings import Settings
from lookout.service.inference.camera_lines import CameraLines
from lookout.service.inference.scorers import Scorers
from lookout.service.inference.worker import run
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests.conftest import Urls
from tests.owning import own
from tests.tiny import street, write_tiny
from tests.waiting import wait_until

STEP_S = 0.05
FPS = 10.0
FRAMES = 60


class Slow(Scorer):
    """A model that scores 20 frames a second, whatever the machine."""

    def step_normalised(
        self,
        clips: Tensor,
        items: Tensor,
        rules: Sequence[UpdateRule] | None = None,
        weights: Tensor | None = None,
        numbers: Sequence[int] | None = None,
        carried: Sequence[Tensor | None] | None = None,
    ) -> Scored:
        time.sleep(STEP_S * len(clips))
        return super().step_normalised(clips, items, rules, weights, numbers, carried)


@pytest.fixture
def settings(urls: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr("lookout.service.inference.scorers.Scorer", Slow)
    write_tiny(tmp_path)
    return Settings(
        bus_url=urls.bus, store_url=urls.store, models_dir=tmp_path, device="cpu", precision="fp32"
    )


def add(store: Store, name: str, pace: Pace) -> None:
    store.add_camera(
        Camera(
            id=name,
            url="/x.mp4",
            model="tiny",
            fps=None,
            pace=pace,
            calibration="model",
            enabled=True,
            created_at=0.0,
            revision=1,
        )
    )


def play_live(bus: Bus, names: list[str]) -> None:
    """Every camera's frames, as they happen."""
    began = time.time()
    tokens = {name: own(bus, name, "ingest") for name in names}
    for seq in range(FRAMES):
        wait_until(lambda due=began + seq / FPS: time.time() >= due, "it is time", every_s=0.01)  # type: ignore[misc]
        for name in names:
            bus.add_frame(Frame(name, 5, seq, time.time(), street(seq)), tokens[name])


def told(bus: Bus, name: str) -> dict[int, str]:
    """Return the fate of each number."""
    fate = {score.seq: "scored" for score in bus.newest_scores(name, 1000)}
    for gap in bus.gaps(name):
        for seq in range(gap.first_seq, gap.first_seq + gap.frames):
            assert seq not in fate
            fate[seq] = gap.reason
    return fate


def test_at_twice_the_load_scores_stay_fresh_and_nobody_starves(
    bus: Bus, store: Store, settings: Settings
) -> None:
    names = [f"cam{number}" for number in range(4)]  # 40 frames/s, of which 20 can be scored
    for name in names:
        add(store, name, "realtime")
    stop = threading.Event()
    worker = threading.Thread(target=run, args=(settings, stop))
    worker.start()
    try:
        wait_until(lambda: all(bus.inference_report(name) for name in names), "all are followed")
        play_live(bus, names)
        last = (5, FRAMES - 1)
        wait_until(
            lambda: all(bus.cursor(name) == last for name in names), "every frame is dealt with", 30
        )
    finally:
        stop.set()
        worker.join(10)
    fates = {name: told(bus, name) for name in names}
    assert all(sorted(fate) == list(range(FRAMES)) for fate in fates.values())
    assert {reason for fate in fates.values() for reason in fate.values()} <= {
        "scored",
        "window",
        "lag",
    }
    scored = [sum(reason == "scored" for reason in fate.values()) for fate in fates.values()]
    assert min(scored) > 0.6 * max(scored)
    ages = [
        score.scored_at - score.captured_at
        for name in names
        for score in bus.newest_scores(name, 1000)
    ]
    assert max(ages) < settings.live_age_s
    assert any("lag" in fate.values() for fate in fates.values())


@pytest.mark.wide
def test_a_file_that_waits_gives_way_to_live_cameras_but_is_not_forgotten(
    bus: Bus, store: Store, settings: Settings
) -> None:
    """20 frames/s can be scored: each camera's half. The file alone would take them all."""
    add(store, "live", "realtime")
    add(store, "file", "fast")
    tokens = {name: own(bus, name, "ingest") for name in ("live", "file")}
    for seq in range(100):
        bus.add_frame(Frame("file", 5, seq, seq / 10, street(seq)), tokens["file"])
    stop = threading.Event()
    worker = threading.Thread(target=run, args=(settings, stop))
    worker.start()
    try:
        wait_until(
            lambda: bus.inference_report("live") and bus.inference_report("file"),
            "both are followed",
        )
        play_live(bus, ["live"])
        wait_until(lambda: bus.cursor("file") == (5, 99), "the file is scored to its end", 60)
    finally:
        stop.set()
        worker.join(10)
    fate = list(told(bus, "live").values())
    assert fate.count("scored") > 0.8 * FRAMES
    assert [score.seq for score in bus.newest_scores("file", 1000)] == list(range(4, 100))


def test_a_bus_that_fails_while_one_camera_catches_up_costs_no_other_a_frame(
    bus: Bus, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = CameraLines(settings, bus, Scorers(settings.model_folders, "cpu", "fp32"))
    for name, captured_at in (("fresh", time.time()), ("stale", time.time() - 60)):
        lines.start(
            Camera(
                id=name,
                url="/x",
                model="tiny",
                fps=None,
                pace="realtime",
                calibration="model",
                enabled=True,
                created_at=0.0,
                revision=1,
            ),
            1,
            None,
        )
        lines.running[name].frames.offer(
            [Frame(name, 5, seq, captured_at, street(seq)) for seq in range(5)]
        )

    def away(*_: object) -> list[tuple[FrameId, float]]:
        raise redis.ConnectionError

    with monkeypatch.context() as patch, pytest.raises(redis.ConnectionError):
        patch.setattr(Bus, "frame_times", away)
        lines.ready(lines.running.values())
    assert [frame.id for _, frame in lines.ready(lines.running.values())] == [(5, 4)]
