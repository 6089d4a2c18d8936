"""Frame labels: our own file, and those that Ped2, Avenue and ShanghaiTech are distributed with; what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from models.errors import DataError
from models.training.footage import evaluation_clips
from models.training.labels import Truth, read_labels
from models.training.masks import Masked, read_masks
from tests.sets import FIRST, FRAMES, avenue, mask, ped2, shanghaitech

EXPECTED = [0] * FIRST + [1] * (FRAMES - FIRST)


def read(data: Path) -> tuple[dict[str, Truth] | None, dict[str, Masked] | None]:
    clips = evaluation_clips(data)
    masks = read_masks(data, clips)
    return read_labels(data, clips, masks), masks


@pytest.mark.parametrize(
    ("write", "clip", "masked"), [(ped2, "Test001", True), (avenue, "01", True), (shanghaitech, "01_0014", False)]
)
def test_the_ground_truth_of_a_set_as_distributed(
    tmp_path: Path, write: Callable[[Path], Path], clip: str, masked: bool
) -> None:
    found, masks = read(write(tmp_path))
    assert found is not None
    assert found[clip].of(FRAMES).tolist() == EXPECTED
    assert (masks is not None) == masked
    if masks is not None:
        assert [sum(region.pixels for region in regions) for regions in masks[clip].regions] == [
            int(frame.sum()) for frame in mask()
        ]


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
        np.save(shanghaitech(data) / "testing/test_frame_mask/01_0014.npy", np.zeros(FRAMES - 1, np.uint8))
    elif how == "other numbers":
        np.save(shanghaitech(data) / "testing/test_frame_mask/01_0014.npy", np.full(FRAMES, 7))
    elif how == "a table":
        np.save(shanghaitech(data) / "testing/test_frame_mask/01_0014.npy", np.zeros((FRAMES, 2)))
    elif how == "objects":
        np.save(shanghaitech(data) / "testing/test_frame_mask/01_0014.npy", np.array([{}]), allow_pickle=True)
    elif how == "absent":
        (shanghaitech(data) / "testing/test_frame_mask/01_0014.npy").rename(data / "testing/test_frame_mask/2.npy")
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
        ("image gone", rf"Test001_gt is a mask of \({FRAMES - 1}, 36, 48\); the clip is \({FRAMES}, 36, 48\)"),
        ("image larger", "Test001_gt is no mask: a picture a frame, all of one size"),
        ("text", "1_label.mat is no mask"),
        ("cut off", "1_label.mat is no mask"),
        ("empty", "1_label.mat is no mask"),
        ("no cells", "1_label.mat is no mask: a picture a frame"),
        ("other name", "1_label.mat is no mask"),
    ],
)
def test_ground_truth_that_cannot_be_used_is_one_line_before_any_scoring(tmp_path: Path, how: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as raised:
        read(damage(tmp_path, how))
    assert "\n" not in str(raised.value)
