"""The commands of docs/api.md, run as they stand there."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

from lookout.models.vision.overlay import jpeg
from lookout.service.core.evidence import ClipRecord
from lookout.service.core.messages import Alert, AlertEvent
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.clips import clip_path, keep_clip
from lookout.service.storage.pictures import keep, picture_path
from lookout.service.storage.store.store import Store
from tests.e2e.service_process import Output
from tests.service.api_server import Api, api, frame, one_api, show
from tests.waiting import wait_until

__all__ = ["api", "one_api"]

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


def blocks(language: str, address: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [text.replace("127.0.0.1:8000", address) for text in found]


def see_something(api: Api, bus: Bus, store: Store) -> None:
    """Three scores, and two alerts with a picture."""
    for seq in range(8, 11):
        show(bus, "gate", seq)
    for seq in (8, 9):
        alert = Alert(f"gate:1000-{seq}", "gate", "open", 1000.0 + seq, None, 0.5, 0.9, 1001.0)
        store.save_alerting("gate", 0, {}, [AlertEvent("new", alert)])
        pixels = jpeg(frame("gate", seq).pixels)
        keep(picture_path(api.settings.data_dir, alert.id), pixels)
        keep(picture_path(api.settings.data_dir, alert.id, "peak"), pixels)
        digest = keep_clip(clip_path(api.settings.data_dir, alert.id), b"mp4")
        store.begin_clip("gate", alert.id, ClipRecord("ready", size_bytes=3, sha256=digest))


def test_every_command_of_the_page_is_answered(
    api: Api, bus: Bus, store: Store, tmp_path: Path
) -> None:
    first, *others = blocks("sh", f"127.0.0.1:{api.port}")
    said = {}
    for block in others:
        words = ["bash", "-euc", first + block]
        done = subprocess.run(
            words, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, (block, done.stdout, done.stderr)
        said[block] = done.stdout
        if "rtsp://user:" in block:
            assert json.loads(done.stdout)["url"] == "rtsp://***@10.0.0.7/stream1"
            see_something(api, bus, store)
    assert '"next":"1000-9"' in next(text for block, text in said.items() if "since=" in block)
    assert '"status":404' in next(text for block, text in said.items() if "nobody" in block)
    assert {path.name for path in tmp_path.iterdir()} >= {
        "heatmap.png",
        "map.png",
        "frame.jpg",
        "picture.jpg",
        "peak.jpg",
        "clip.mp4",
    }
    assert store.cameras() == {}


def test_the_program_of_the_page_prints_what_happens(api: Api, bus: Bus) -> None:
    api.post("/cameras", {"id": "gate", "url": "rtsp://10.0.0.7/stream1"}).raise_for_status()
    (program,) = blocks("python", f"127.0.0.1:{api.port}")
    frames = itertools.count(8)

    def told() -> bool:
        show(bus, "gate", next(frames))
        return any(line.startswith("score {'id': '1000-") for line in output.lines)

    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as listener:
        assert listener.stdout is not None
        output = Output(listener.stdout)
        try:
            wait_until(told, "a score that is printed", every_s=0.2)
        finally:
            listener.kill()
