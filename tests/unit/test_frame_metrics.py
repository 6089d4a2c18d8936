"""Frame AUC and AP against a count of all pairs and all ranks, and without one of the classes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.models.arrays import Floats
from lookout.models.data.labels import FrameLabels
from lookout.models.errors import DataError
from lookout.models.evaluation.frames import frame_metrics, precision_recall, roc

VALUES = st.integers(0, 6) | st.just(math.nan)  # few, so that there are ties
VIDEO = st.lists(st.tuples(st.integers(0, 1), VALUES), max_size=12)


def labels_of(*labels: int) -> FrameLabels:
    return np.array(labels, np.uint8)


def slow_auc(frames: list[tuple[int, float]]) -> float | None:
    """Return how often an anomalous frame has a higher value than a normal one, over all pairs.

    A tie counts half.
    """
    high = [value for label, value in frames if label and not math.isnan(value)]
    low = [value for label, value in frames if not label and not math.isnan(value)]
    if not high or not low:
        return None
    wins = sum((a > b) + 0.5 * (a == b) for a in high for b in low)
    return 100 * wins / (len(high) * len(low))


def slow_ap(frames: list[tuple[int, float]]) -> float | None:
    """The precision at each value, weighted by the recall that it adds."""
    known = [(label, value) for label, value in frames if not math.isnan(value)]
    positives = sum(label for label, _ in known)
    if positives in (0, len(known)):
        return None
    total, recall = 0.0, 0.0
    for level in sorted({value for _, value in known}, reverse=True):
        taken = [label for label, value in known if value >= level]
        total += (sum(taken) / positives - recall) * sum(taken) / len(taken)
        recall = sum(taken) / positives
    return 100 * total


@given(st.lists(VIDEO, min_size=1, max_size=4))
def test_every_number_equals_its_slow_count(videos: list[list[tuple[int, float]]]) -> None:
    labels = {f"{i}": labels_of(*(label for label, _ in video)) for i, video in enumerate(videos)}
    values: dict[str, Floats] = {
        f"{i}": np.array([v for _, v in video], float) for i, video in enumerate(videos)
    }
    found = frame_metrics(labels, values)
    each = [slow_auc(video) for video in videos]
    assert list(found.auc_of_video.values()) == pytest.approx(each)
    known = [auc for auc in each if auc is not None]
    assert found.auc_macro == (pytest.approx(sum(known) / len(known)) if known else None)
    every = [frame for video in videos for frame in video]
    assert found.auc_micro == pytest.approx(slow_auc(every))
    assert found.ap_micro == pytest.approx(slow_ap(every))


def test_a_video_of_one_class_is_left_out_of_the_macro_auc_and_named() -> None:
    labels = {
        "01": labels_of(0, 0, 1, 1),
        "02": labels_of(0, 0),
        "03": labels_of(1, 1),
        "04": labels_of(0, 1),
    }
    learning = np.array([math.nan, 0.9])
    values = {
        "01": np.array([0.1, 0.4, 0.3, 0.8]),
        "02": np.ones(2),
        "03": np.ones(2),
        "04": learning,
    }
    found = frame_metrics(labels, values)
    assert found.auc_macro == found.auc_of_video["01"] == 75.0
    assert found.left_out == ["02", "03", "04"]
    assert found.as_json()["auc_macro_left_out"] == ["02", "03", "04"]


def test_the_curves_enclose_the_numbers() -> None:
    truth, values = (
        labels_of(0, 1, 0, 1, 1, 0, 1),
        np.array([0.1, 0.2, 0.2, 0.7, math.nan, 0.6, 0.9]),
    )
    found = frame_metrics({"01": truth}, {"01": values})
    false, true = roc(truth, values)
    assert 100 * float(np.trapezoid(true, false)) == pytest.approx(found.auc_micro)
    recall, precision = precision_recall(truth, values)
    assert 100 * float((np.diff(recall) * precision[1:]).sum()) == pytest.approx(found.ap_micro)


def test_one_class_only_has_no_number() -> None:
    found = frame_metrics({"01": labels_of(0, 0, 0)}, {"01": np.arange(3.0)})
    assert (found.auc_micro, found.auc_macro, found.ap_micro) == (None, None, None)


def test_labels_of_another_length_are_refused() -> None:
    with pytest.raises(DataError, match="clip 01 has 2 labels for 3 scored frames"):
        frame_metrics({"01": labels_of(0, 1)}, {"01": np.arange(3.0)})
