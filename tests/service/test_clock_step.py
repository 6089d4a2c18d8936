"""A wall clock that is set while cameras run: nothing waits for it, and nothing is too old."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from lookout.service.core import clock
from lookout.service.core.settings import Settings
from lookout.service.inference import worker as inference
from lookout.service.ingest.forking.children import Children
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests.clips import write_clip
from tests.conftest import Urls, with_long_forms
from tests.ingest_line import camera, settings_for, start_decoder
from tests.stage import working
from tests.tiny import write_tiny
from tests.waiting import wait_until

SHIM = Path(__file__).parents[1] / "wall_clock.c"
STEP_S = 0.1


@pytest.fixture
def settings(urls: Urls, tmp_path: Path) -> Settings:
    made = settings_for(
        tmp_path, urls.bus, urls.store, device="cpu", precision="fp32", live_age_s=4.0
    )
    write_tiny(tmp_path / "models")
    return made


@pytest.fixture
def set_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A function that moves the wall clock of this process, and of those that it starts, by s."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    library = tmp_path / "wall_clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SHIM], check=True)
    offset = tmp_path / "offset"
    offset.write_bytes(struct.pack("=q", 0))
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("WALL_CLOCK_OFFSET", str(offset))
    real = time.time

    def set_to(by_s: float) -> None:
        with offset.open("r+b") as file:  # the same file: processes have it mapped
            file.write(struct.pack("=q", int(by_s)))
        monkeypatch.setattr(time, "time", lambda: real() + by_s)
        other = subprocess.check_output([sys.executable, "-c", "import time; print(time.time())"])
        assert float(other) == pytest.approx(time.time(), abs=10)

    return set_to


def count(bus: Bus) -> int:
    return bus.counters("a").get("frames", 0)


@pytest.mark.parametrize("by_s", with_long_forms([30, -30, 3600], {-30}))
def test_a_file_in_real_time_goes_on_at_its_pace_and_all_of_it_is_scored(
    settings: Settings,
    bus: Bus,
    store: Store,
    set_clock: Callable[[float], None],
    by_s: int,
) -> None:
    clip = write_clip(settings.media_dir / "clip.mp4", [5] * 80)
    record = camera("a", clip, pace="realtime")
    store.add_camera(record)
    with working(inference.run, settings), Children() as children:
        decoder = start_decoder(bus, record, settings, children)
        try:
            wait_until(lambda: count(bus) >= 10, "it runs")
            set_clock(by_s)
            wait_until(lambda: count(bus) >= 30, "it goes on")
        finally:
            decoder.kill()
            wait_until(lambda: decoder.exit_code() is not None, "it is gone")
            decoder.close()
        assert clock.now().utc_s - bus.frames_after({"a": None}, 1)["a"][0].captured_at > by_s
        decoder = start_decoder(bus, record, settings, children)  # reads the clock as it is now
        try:
            wait_until(lambda: decoder.exit_code() is not None, "the end", 30)
        finally:
            decoder.kill()
            decoder.close()
        frames = bus.frames_after({"a": None}, 100)["a"]
        wait_until(lambda: bus.cursor("a") == frames[-1].id, "all are scored", 30)
    assert {frame.session for frame in frames} == {frames[0].session}
    assert frames[-1].seq == 79
    steps = [
        later.captured_at - earlier.captured_at
        for earlier, later in pairwise(frames)
        if later.seq == earlier.seq + 1
    ]
    assert steps == pytest.approx([STEP_S] * len(steps), abs=1e-3)
    gaps = {gap.reason for gap in bus.gaps("a")}
    assert gaps <= {"window", "takeover"}  # the second: what was due between the two decoders
    assert len(frames) > 80 - 40
    assert bus.counters("a").get("dropped_lag", 0) == 0
