"""A live stream whose bytes the network holds back for 6 s: its frames count as filmed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lookout.models.scoring.alert_policy import AlertOpened, AlertPolicy
from lookout.service.core.messages import Frame
from lookout.service.inference import worker as inference
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests.chaos.proxy import Proxy
from tests.clips import write_clip
from tests.conftest import Urls
from tests.ingest_line import camera, settings_for, wait_for_state, working
from tests.rtsp import rtsp_server
from tests.stage import working as stage_working
from tests.tiny import write_tiny
from tests.waiting import wait_until

HOLD_S = 6.0
STEP_S = 0.1


@dataclass(frozen=True)
class Value:
    """A score as the alert policy sees it."""

    session: int
    seq: int
    captured_at: float
    value: float | None


def read_until(bus: Bus, count: int, limit_s: float = 15.0) -> list[Frame]:
    """Return all frames as soon as there are `count`, without a trace on the bus."""
    wait_until(lambda: len(frames_of(bus)) >= count, f"{count} frames", limit_s)
    return frames_of(bus)


def frames_of(bus: Bus) -> list[Frame]:
    return bus.frames_after({"a": None}, 1000).get("a", [])


def age_of_newest(bus: Bus) -> float:
    report = bus.ingest_report("a")
    assert report is not None
    return report.frame_age_s or 0.0


def held(frames: list[Frame]) -> list[Frame]:
    """Return the frames that came over a second after they were filmed."""
    return [frame for frame in frames if frame.late_s > 1]


@pytest.mark.wide  # make test has tests/unit/test_stream_clock.py
@pytest.mark.rtsp
def test_frames_that_were_held_back_are_scored_with_the_times_at_which_they_were_filmed(
    urls: Urls, tmp_path: Path, bus: Bus, store: Store
) -> None:
    settings = settings_for(
        tmp_path, urls.bus, urls.store, device="cpu", precision="fp32", live_age_s=4.0
    )
    write_tiny(tmp_path / "models")
    clip = write_clip(tmp_path / "clip.mp4", [5] * 400, options={"g": "10", "bf": "0"})
    with (
        rtsp_server(clip) as url,
        Proxy(urlsplit(url).port or 0) as network,
        working(settings),
        stage_working(inference.run, settings),
    ):
        store.add_camera(camera("a", f"rtsp://127.0.0.1:{network.port}/clip", pace="realtime"))
        read_until(bus, 40)
        network.swallow()
        wait_until(lambda: age_of_newest(bus) > HOLD_S, f"nothing comes for {HOLD_S:g} s")
        network.heal()
        read_until(bus, 140, 30)
        wait_for_state(bus, "a", "online")
        wait_until(lambda: age_of_newest(bus) < 0.5, "the newest frame is new again")
        frames = frames_of(bus)
        wait_until(lambda: (bus.cursor("a") or (0, 0)) >= frames[-1].id, "all are scored", 30)
        scores = {score.id: score for score in bus.newest_scores("a", 1000)}
    assert len({frame.session for frame in frames}) == 1
    steps = [later.captured_at - earlier.captured_at for earlier, later in pairwise(frames[10:])]
    assert steps == pytest.approx([STEP_S] * len(steps), abs=0.03)
    assert max(frame.late_s for frame in frames) > HOLD_S - 1
    in_hold = held(frames)
    assert len(in_hold) >= 40
    assert {gap.reason for gap in bus.gaps("a")} == {"window"}
    assert [scores[frame.id].captured_at for frame in in_hold] == [
        frame.captured_at for frame in in_hold
    ]
    event = {frame.id for frame in in_hold[5:35]}  # 3 s
    policy = AlertPolicy()
    state, opened = policy.initial(), 0
    for score in scores.values():
        value = 0.9 if score.id in event else 0.1
        state, events = policy.step(state, Value(*score.id, score.captured_at, value))
        opened += sum(isinstance(one, AlertOpened) for one in events)
    assert opened == 1
