"""The demo's scene, drawn by a process beside the service that starts meanwhile."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from lookout.service.core.errors import LookoutError
from lookout.service.demo.drawing import SceneDrawing
from tests.waiting import wait_until


def test_the_scene_is_there_when_the_drawing_is_over(tmp_path: Path) -> None:
    path = tmp_path / "media" / "square.mp4"
    with SceneDrawing(path, seconds=2) as drawing:
        wait_until(drawing.is_over, "the scene is drawn", 60)
        assert drawing.drawn() == drawing.frames == 20
        assert drawing.drawn() is None  # nothing since then
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 20


def test_ended_meanwhile_it_leaves_nothing(tmp_path: Path) -> None:
    with SceneDrawing(tmp_path / "square.mp4") as drawing:
        wait_until(lambda: any(tmp_path.iterdir()), "something is drawn", 60)
        assert not drawing.is_over()
    assert not any(tmp_path.iterdir())


def test_a_scene_that_cannot_be_drawn_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "media").write_text("no folder")
    with SceneDrawing(tmp_path / "media" / "square.mp4", seconds=1) as drawing:
        with pytest.raises(LookoutError, match=r"the scene cannot be drawn: .*media") as caught:
            wait_until(drawing.is_over, "the scene is drawn", 60)
        assert "\n" not in str(caught.value)
