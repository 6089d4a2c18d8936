"""Clips as folders of images, in the layouts of Ped2, Avenue and ShanghaiTech; refusals."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from lookout.models.data import clips as footage
from lookout.models.data.clips import evaluation_clips, train_clips, whole_clip
from lookout.models.data.footage import Footage
from lookout.models.data.image_folder import read_image
from lookout.models.errors import DataError, VideoError
from lookout.models.media.preprocess import Preprocess
from tests.clips import number_in, numbered, write_clip
from tests.sets import write_images

AS_IT_IS = Preprocess(height_px=24, width_px=40)


def numbers(path: Path) -> list[int]:
    return [number_in(frame) for frame in whole_clip(path, AS_IT_IS, 1)]


@pytest.mark.parametrize(
    "names",
    [
        ["001.tif", "002.tif", "003.tif"],
        ["0000.jpg", "0001.jpg", "0002.jpg"],
        ["8.png", "9.png", "10.png"],
        ["frame 99 a.bmp", "frame 100 a.bmp"],
    ],
)
def test_images_come_in_the_order_of_their_numbers(tmp_path: Path, names: list[str]) -> None:
    assert numbers(write_images(tmp_path / "clip", names)) == list(range(len(names)))


def test_colours_and_grays_are_as_in_the_image(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "clip", [])
    rgb = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / "0.png"), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    cv2.imwrite(str(folder / "1.png"), rgb[..., 0])
    colour, gray = whole_clip(folder, AS_IT_IS, 1)
    assert np.array_equal(colour, rgb)
    assert np.array_equal(gray, np.repeat(rgb[..., :1], 3, axis=2))


def test_ped2_as_distributed(tmp_path: Path) -> None:
    frames = [f"{number:03}.tif" for number in range(1, 6)]
    for name in ("Train/Train001", "Train/Train002", "Test/Test001"):
        write_images(tmp_path / name, frames)
    write_images(tmp_path / "Test/Test001_gt", ["001.bmp"])
    (tmp_path / "Train/.DS_Store").write_text("")
    (tmp_path / "Train/Train001/._001.tif").write_text("")
    assert [path.name for path in train_clips(tmp_path)] == ["Train001", "Train002"]
    assert [path.name for path in evaluation_clips(tmp_path)] == ["Test001"]
    loaded = Footage.load(train_clips(tmp_path), AS_IT_IS, 4)
    assert loaded.names == ("Train001", "Train002")
    assert loaded.windows.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_avenue_and_shanghaitech_as_distributed(tmp_path: Path) -> None:
    avenue, shanghai = tmp_path / "avenue", tmp_path / "shanghaitech"
    for name in ("training/frames/2", "training/frames/10", "testing/frames/01"):
        write_images(avenue / name, ["0000.jpg", "0001.jpg"])
    write_images(shanghai / "testing/frames/01_0014", ["000.jpg", "001.jpg"])
    (shanghai / "testing/test_frame_mask").mkdir()
    (shanghai / "training/videos").mkdir(parents=True)
    write_clip(shanghai / "training/videos/01_001.avi", range(3), size_px=(64, 48))
    assert [path.name for path in train_clips(avenue)] == ["2", "10"]
    assert [path.name for path in evaluation_clips(avenue)] == ["01"]
    assert [path.name for path in evaluation_clips(shanghai)] == ["01_0014"]
    assert [path.name for path in train_clips(shanghai)] == ["01_001.avi"]


def test_one_recording_or_one_folder_of_images_will_do(tmp_path: Path) -> None:
    recording = write_clip(tmp_path / "camera.mp4", range(3), size_px=(64, 48))
    assert train_clips(recording) == [recording]
    images = write_images(tmp_path / "images", ["7.png", "8.png"])
    assert train_clips(images) == [images]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["1.png", "2.png", "4.png"], "clip: frame 3 is missing, between 2.png and 4.png"),
        (["1.png", "001.png"], "clip holds frame 1 twice: 001.png and 1.png"),
        (["a1.png", "b2.png"], "clip holds images of two series: a1.png and b2.png"),
        (["1.png", "2.jpg"], "two series"),
        (["one.png"], "clip: one.png has no number in its name"),
    ],
)
def test_a_series_with_holes_or_of_two_is_refused(
    tmp_path: Path, names: list[str], reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        whole_clip(write_images(tmp_path / "clip", names), AS_IT_IS, 1)


def test_a_damaged_or_odd_image_is_refused_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = write_images(tmp_path / "clip", ["0.png", "1.png", "2.png"])
    whole = (folder / "1.png").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no image"):
        (folder / "1.png").write_bytes(content)
        with pytest.raises(VideoError, match=r"clip: 1\.png is no image"):
            whole_clip(folder, AS_IT_IS, 1)
    (folder / "1.png").unlink()
    (folder / "1.png").mkdir()
    with pytest.raises(VideoError, match=r"clip: 1\.png cannot be read"):
        whole_clip(folder, AS_IT_IS, 1)
    (folder / "1.png").rmdir()
    cv2.imwrite(str(folder / "1.png"), numbered(1, 80, 24))
    with pytest.raises(VideoError, match=r"1\.png is 80x24, the first frame 40x24"):
        whole_clip(folder, AS_IT_IS, 1)
    assert capfd.readouterr().err == ""


def test_two_clips_of_one_name_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path / "01", ["0.png"])
    write_clip(tmp_path / "01.avi", range(3), size_px=(64, 48))
    with pytest.raises(DataError, match="two clips named 01"):
        train_clips(tmp_path)


def test_more_than_memory_holds_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [
        write_images(tmp_path / "01", ["0.png", "1.png"]),
        write_clip(tmp_path / "02.mp4", range(3), size_px=(64, 48)),
    ]
    monkeypatch.setattr(footage, "memory_bytes", lambda: 2 * 5 * 24 * 40 * 3)
    assert len(Footage.load(clips, AS_IT_IS, 2).clips) == 2
    monkeypatch.setattr(footage, "memory_bytes", lambda: 2 * 5 * 24 * 40 * 3 - 2)
    monkeypatch.setattr("lookout.models.data.footage.clip_parts", None)
    with pytest.raises(DataError, match=r"5 frames of 40x24 are .* take fewer clips"):
        Footage.load(clips, AS_IT_IS, 2)


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_values_of_12_bits_in_16_are_refused_and_never_almost_black(
    tmp_path: Path, ending: str, channels: int
) -> None:
    ramp = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)
    pixels = np.repeat(ramp[:, :, None], channels, axis=2)
    path = tmp_path / f"001.{ending}"
    cv2.imwrite(str(path), pixels)
    as_before = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert as_before is not None
    np.testing.assert_array_equal(read_image(path), as_before)
    assert np.abs(read_image(path)[:, :, 0].astype(int) - ramp / 257).max() <= 1
    cv2.imwrite(str(path), pixels // 600)  # a black picture is black in any number of bits
    assert read_image(path).max() == 0
    for bits in (10, 12):
        cv2.imwrite(str(path), pixels >> (16 - bits))
        with pytest.raises(VideoError, match=rf"001\.{ending} holds values up to {2**bits - 1} in"):
            read_image(path)
