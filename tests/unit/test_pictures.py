"""Pictures: the overlay marks what the heatmap marks, and files are whole or not there."""

from __future__ import annotations

import stat
from pathlib import Path

import cv2
import numpy as np
import pytest

from lookout.models.arrays import HeatMap, Pixels
from lookout.models.vision.overlay import FULL_RMSE, jpeg, overlay, png, raw_png
from lookout.service.storage import pictures


def grey(height: int = 90, width: int = 120) -> Pixels:
    return np.full((height, width, 3), 100, np.uint8)


def cells(value: int = 0) -> HeatMap:
    return np.full((64, 64), value, np.uint16)


def decoded(data: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return np.asarray(image)


def test_a_frame_without_error_stays_as_it_is() -> None:
    assert np.array_equal(overlay(grey(), cells()), grey())
    assert np.array_equal(overlay(grey(), cells(int(0.015 * 65535))), grey())


def test_the_place_of_the_error_is_marked_and_only_that() -> None:
    heat = cells()
    heat[:, 48:] = 20_000  # the right quarter
    marked = overlay(grey(), heat).astype(int)
    assert marked.shape == (90, 120, 3)
    assert (marked[:, :85] == 100).all()
    red, green, blue = marked[:, 100:].mean((0, 1))
    assert red > 180
    assert max(green, blue) < 80


def test_more_error_is_more_colour() -> None:
    shown = [
        overlay(grey(), cells(int(rmse * 65535))).astype(int) for rmse in (0.03, 0.06, 0.1, 0.2)
    ]
    away = [np.abs(picture - 100).sum() for picture in shown]
    assert away == sorted(set(away))


def test_errors_beyond_the_scale_look_like_its_end() -> None:
    full = int(FULL_RMSE * 65535) + 1
    assert np.array_equal(overlay(grey(), cells(65535)), overlay(grey(), cells(full)))


def test_the_frame_given_is_not_written_to() -> None:
    frame = grey()
    frame.flags.writeable = False  # as it comes from the bus
    overlay(frame, cells(30_000))


def test_colours_keep_their_order_through_png_and_jpeg() -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 255
    for data in (png(red), jpeg(red)):
        blue_channel, _, red_channel = decoded(data)[16, 16]  # cv2 reads BGR
        assert red_channel > 240
        assert blue_channel < 15


def test_the_raw_map_comes_back_bit_for_bit() -> None:
    heat = np.random.default_rng(0).integers(0, 65536, (64, 64)).astype(np.uint16)
    assert np.array_equal(decoded(raw_png(heat)), heat)


def test_an_alert_has_one_place(tmp_path: Path) -> None:
    assert (
        pictures.picture_path(tmp_path, "gate-2_b:1000-5")
        == tmp_path / "pictures/gate-2_b/gate-2_b:1000-5.jpg"
    )
    assert pictures.picture_path(tmp_path, "--:1-5").parent == tmp_path / "pictures/--"


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        ":1-2",
        "gate",
        "gate:",
        "gate:1",
        "../x:1-2",
        "a/b:1-2",
        "..:1-2",
        "gate:1-2/../..",
        "ä:1-2",
        "a:b:1-2",
        "a\n:1-2",
    ],
)
def test_what_is_no_alert_id_makes_no_path(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        pictures.picture_path(tmp_path, wrong)


def test_a_file_is_kept_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.jpg"
    pictures.keep(path, b"one")
    pictures.keep(path, b"two")
    assert [file.name for file in path.parent.iterdir()] == ["a.jpg"]
    assert path.read_bytes() == b"two"
    pictures.drop(path)
    pictures.drop(path)
    assert not path.exists()


def test_a_file_that_cannot_be_kept_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.mkdir()  # a folder in its place: the rename fails
    with pytest.raises(OSError, match="directory"):
        pictures.keep(path, b"data")
    assert [file.name for file in tmp_path.iterdir()] == ["a.jpg"]
    assert stat.S_ISDIR(path.stat().st_mode)


def test_a_picture_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pictures" / "gate" / "gate:1-1.jpg"
    named_when_flushed: list[bool] = []
    monkeypatch.setattr("os.fsync", lambda _fd: named_when_flushed.append(path.exists()))
    pictures.keep(path, b"one")
    assert named_when_flushed == [False]
    assert path.read_bytes() == b"one"
