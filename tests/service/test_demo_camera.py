"""The camera of compose's profile `demo`, as its image runs it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import av
import pytest

from tests.service.api_server import free_port

DOCKER = Path(__file__).parents[2] / "docker"
PICTURES = 20  # of the clip: two seconds

pytestmark = pytest.mark.rtsp


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    clip = tmp_path / "clip"
    subprocess.run(
        [sys.executable, DOCKER / "camera_clip.py", clip, str(PICTURES / 10)], check=True
    )
    assert len(list(clip.iterdir())) == PICTURES
    words = [
        "/usr/bin/python3",
        str(DOCKER / "camera.py"),
        str(clip),
        str(free_port()),
        "127.0.0.1",
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as camera:
        try:
            assert camera.stdout is not None
            yield camera.stdout.readline().strip()
        finally:
            camera.terminate()
            assert camera.wait(10) == 0


def test_it_plays_for_ever_without_a_jump(url: str) -> None:
    with av.open(url, options={"rtsp_transport": "tcp"}, timeout=10) as container:
        frames = list(islice(container.decode(video=0), 2 * PICTURES + 5))
    times = [frame.time for frame in frames if frame.time is not None]
    assert (
        len(times) >= len(frames) - 1
    )  # the first one may come before the server has said what its clock shows
    assert all(0.05 < later - earlier < 1.0 for earlier, later in pairwise(times))
    assert (times[-1] - times[0]) / (len(times) - 1) == pytest.approx(0.1, rel=0.2)
    assert {(frame.width, frame.height) for frame in frames} == {(384, 288)}
