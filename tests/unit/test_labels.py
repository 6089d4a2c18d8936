"""Frame labels: our own file, and the formats of Ped2, Avenue and ShanghaiTech; refusals."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
from scipy.io import savemat

from lookout.models.data.clips import clip_info, evaluation_clips
from lookout.models.data.labels import Truth, read_labels
from lookout.models.data.masks import Masked, read_masks
from lookout.models.errors import DataError
from lookout.models.evaluation.evaluate import evaluate
from lookout.models.media.clip_reader import read_clip
from lookout.models.media.preprocess import Preprocess
from lookout.models.scorer import Scored, Scorer
from tests.clips import write_clip
from tests.sets import FIRST, FRAMES, avenue, mask, ped2, shanghaitech
from tests.tiny import tiny_checkpoint

EXPECTED = [0] * FIRST + [1] * (FRAMES - FIRST)


def read(data: Path) -> tuple[dict[str, Truth] | None, dict[str, Masked] | None]:
    clips = evaluation_clips(data)
    masks = read_masks(data, clips)
    return read_labels(data, clips, masks), masks


@pytest.mark.parametrize(
    ("write", "clip"), [(ped2, "Test001"), (avenue, "01"), (shanghaitech, "01_0014")]
)
def test_the_ground_truth_of_a_set_as_distributed(
    tmp_path: Path, write: Callable[[Path], Path], clip: str
) -> None:
    found, masks = read(write(tmp_path))
    assert found is not None
    assert masks is not None
    assert found[clip].of(FRAMES).tolist() == EXPECTED
    pixels = [sum(region.pixels for region in regions) for regions in masks[clip].regions]
    assert pixels == [int(frame.sum()) for frame in mask()]


@pytest.mark.parametrize("dtype", [np.bool_, np.int64, np.float32])
def test_shanghaitechs_masks_may_lie_in_a_folder_without_testing_and_be_of_any_number(
    tmp_path: Path, dtype: type[np.generic]
) -> None:
    data = shanghaitech(tmp_path)
    (data / "testing/test_pixel_mask").rename(data / "test_pixel_mask")
    np.save(data / "test_pixel_mask/01_0014.npy", mask().astype(dtype))
    _, masks = read(data)
    assert masks is not None
    assert masks["01_0014"].labels.tolist() == EXPECTED


def test_without_its_pixel_masks_shanghaitech_has_labels_alone(tmp_path: Path) -> None:
    data = shanghaitech(tmp_path)
    rmtree(data / "testing/test_pixel_mask")
    found, masks = read(data)
    assert masks is None
    assert found is not None
    assert found["01_0014"].labels.tolist() == EXPECTED


def test_our_own_label_file_goes_before_the_sets(tmp_path: Path) -> None:
    ped2(tmp_path)
    entry = {"frames": FRAMES, "anomalous_first_last_0based_inclusive": [[0, 1]]}
    (tmp_path / "labels.json").write_text(json.dumps({"test": {"Test001": entry}}))
    found, _ = read(tmp_path)
    assert found is not None
    assert found["Test001"].of(FRAMES).tolist() == [1, 1] + [0] * (FRAMES - 2)


def test_a_folder_without_ground_truth_has_no_labels(tmp_path: Path) -> None:
    assert read(ped2(tmp_path) / "Train") == (None, None)


def damage(data: Path, how: str) -> Path:
    """A set with ground truth that cannot be used."""
    if how == "short":
        np.save(
            shanghaitech(data) / "testing/test_frame_mask/01_0014.npy",
            np.zeros(FRAMES - 1, np.uint8),
        )
    elif how == "other numbers":
        np.save(shanghaitech(data) / "testing/test_frame_mask/01_0014.npy", np.full(FRAMES, 7))
    elif how == "a table":
        np.save(shanghaitech(data) / "testing/test_frame_mask/01_0014.npy", np.zeros((FRAMES, 2)))
    elif how == "objects":
        np.save(
            shanghaitech(data) / "testing/test_frame_mask/01_0014.npy",
            np.array([{}]),
            allow_pickle=True,
        )
    elif how == "absent":
        (shanghaitech(data) / "testing/test_frame_mask/01_0014.npy").rename(
            data / "testing/test_frame_mask/2.npy"
        )
    elif how == "image gone":
        (ped2(data) / "Test/Test001_gt/014.bmp").unlink()
    elif how == "image larger":
        cv2.imwrite(str(ped2(data) / "Test/Test001_gt/014.bmp"), np.zeros((9, 9), np.uint8))
    else:
        path = avenue(data) / "ground_truth_demo/testing_label_mask/1_label.mat"
        contents = {"text": b"no matlab", "cut off": path.read_bytes()[:-200], "empty": b""}
        if how in contents:
            path.write_bytes(contents[how])
        else:
            savemat(path, {"volLabel": mask()} if how == "no cells" else {"other": mask()})
    return data


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("short", f"01_0014.npy says that clip 01_0014 has {FRAMES - 1} frames; it has {FRAMES}"),
        ("other numbers", "01_0014.npy is no label file: a 0 or 1 for each frame is expected"),
        ("a table", "01_0014.npy is no label file: a 0 or 1"),
        ("objects", "01_0014.npy is no label file"),
        ("absent", "test_frame_mask: nothing about '01_0014'"),
        (
            "image gone",
            rf"Test001_gt is a mask of \({FRAMES - 1}, 36, 48\); the clip is \({FRAMES}, 36, 48\)",
        ),
        ("image larger", "Test001_gt is no mask: a picture a frame, all of one size"),
        ("text", "1_label.mat is no mask"),
        ("cut off", "1_label.mat is no mask"),
        ("empty", "1_label.mat is no mask"),
        ("no cells", "1_label.mat is no mask: a picture a frame"),
        ("other name", "1_label.mat is no mask"),
    ],
)
def test_ground_truth_that_cannot_be_used_is_one_line_before_any_scoring(
    tmp_path: Path, how: str, reason: str
) -> None:
    with pytest.raises(DataError, match=reason) as raised:
        read(damage(tmp_path, how))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (mask()[1:], f"({FRAMES - 1}, 36, 48); the clip is ({FRAMES}, 36, 48)"),
        (mask()[:, :, 1:], f"({FRAMES}, 36, 47); the clip is ({FRAMES}, 36, 48)"),
        (mask()[:0], "01_0014.npy is"),
        (mask() * np.uint8(255), "0 or 1 for each pixel"),
        (np.where(mask(), np.nan, 0), "0 or 1 for each pixel"),
        (mask().astype(str), "0 or 1 for each pixel"),
        (mask()[0], "0 or 1 for each pixel"),
        (np.array([{}]), "01_0014.npy is no mask"),  # a pickle
    ],
)
def test_a_pixel_mask_of_shanghaitech_that_does_not_fit_is_one_line(
    tmp_path: Path, stored: npt.NDArray[Any], reason: str
) -> None:
    data = shanghaitech(tmp_path)
    np.save(data / "testing/test_pixel_mask/01_0014.npy", stored, allow_pickle=True)
    with pytest.raises(DataError, match=re.escape(reason)) as raised:
        read(data)
    assert "\n" not in str(raised.value)


def test_a_damaged_pixel_mask_of_shanghaitech_and_one_that_is_missing_are_one_line(
    tmp_path: Path,
) -> None:
    data = shanghaitech(tmp_path)
    stored, images = data / "testing/test_pixel_mask/01_0014.npy", data / "testing/frames/01_0014"
    for damaged in (stored.read_bytes()[:-100], b"no array", b""):
        stored.write_bytes(damaged)
        with pytest.raises(DataError, match=r"01_0014\.npy is no mask"):
            read(data)
    copytree(images, images.with_name("01_0015"))
    with pytest.raises(DataError, match=r"there is no 01_0015\.npy, but other clips have a mask"):
        read(data)


class Unasked(Scorer):
    """A scorer that must not be asked."""

    def step(self, *_: object, **__: object) -> Scored:
        raise AssertionError("a frame was scored")


def write_labels(data: Path, frames: int) -> Path:
    entry = {"frames": frames, "anomalous_first_last_0based_inclusive": []}
    (data / "labels.json").write_text(json.dumps({"test": {"01": entry}}))
    return data


@pytest.mark.parametrize(
    "name", ["01.mp4", "01.avi", "01.mkv"]
)  # mkv announces no number of frames
def test_labels_of_another_length_than_a_video_are_refused_before_a_frame_is_scored(
    tmp_path: Path, name: str
) -> None:
    write_clip(tmp_path / name, range(12), fps=25)
    with pytest.raises(DataError, match=r"labels.json says that clip 01 has 11 frames; it has 12"):
        evaluate(Unasked(tiny_checkpoint()), write_labels(tmp_path, 11))
    with pytest.raises(AssertionError, match="a frame was scored"):
        evaluate(Unasked(tiny_checkpoint()), write_labels(tmp_path, 12))


def cut(source: Path, out: Path, first_s: float) -> Path:
    """Cut a clip as `ffmpeg -ss -c copy` does.

    The file keeps the packets of the whole clip, and a list that says from when on they are shown.
    """
    with av.open(str(source)) as whole, av.open(str(out), "w") as part:
        stream = part.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.dts is not None and packet.pts is not None and packet.time_base is not None:
                offset = round(first_s / packet.time_base)
                packet.pts, packet.dts, packet.stream = (
                    packet.pts - offset,
                    packet.dts - offset,
                    stream,
                )
                part.mux(packet)
    return out


def test_a_header_that_counts_more_frames_than_are_shown_refuses_no_labels(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    clip = cut(
        write_clip(tmp_path / "whole.mp4", range(30)), tmp_path / "test" / "01.mp4", first_s=1.0
    )
    assert clip_info(clip).frames == 30
    truth = np.zeros((20, 120, 160), np.uint8)
    np.savez(
        clip.with_name("01_mask.npz"), mask=np.packbits(truth, axis=-1), shape=np.array(truth.shape)
    )
    found, masks = read(write_labels(tmp_path, 20))
    assert found is not None
    assert masks is not None
    assert (
        len(found["01"].labels)
        == len(masks["01"].labels)
        == len(read_clip(clip, Preprocess(32, 32)))
        == 20
    )
