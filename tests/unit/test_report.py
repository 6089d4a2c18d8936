"""The report is one file that loads nothing; it shows the worst frames and their heatmaps."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.models.arrays import PEAK, Floats
from lookout.models.data.labels import FrameLabels
from lookout.models.evaluation.clip_scores import ClipScores, score_clips
from lookout.models.evaluation.evaluate import WAYS, Evaluation, Values, evaluate
from lookout.models.evaluation.report.charts import Chart, Line, Span
from lookout.models.evaluation.report.html import as_html
from lookout.models.evaluation.report.worst_frames import (
    APART,
    GREEN_RGB,
    HOW_MANY,
    ranked,
    side_by_side,
)
from lookout.models.media.clip_reader import read_clip
from lookout.models.scorer import Scorer
from lookout.models.scoring.alert_policy import AlertPolicy
from lookout.models.vision.overlay import overlay
from lookout.models.vision.tensors import as_levels
from tests.clips import write_clip
from tests.tiny import EASY_BOUNDS, tiny_checkpoint

FRAMES = 40


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two clips; frames 20 to 29 of each are labelled."""
    folder = tmp_path_factory.mktemp("data") / "test"
    folder.mkdir()
    for name in ("01", "a & <b>"):
        write_clip(
            folder / f"{name}.mp4", [*range(20), *range(700, 710), *range(30, 40)], size_px=(96, 72)
        )
    entry = f'{{"frames": {FRAMES}, "anomalous_first_last_0based_inclusive": [[20, 29]]}}'
    (folder.parent / "labels.json").write_text(f'{{"test": {{"01": {entry}, "a & <b>": {entry}}}}}')
    return folder


@pytest.fixture(scope="module")
def evaluation(clips: Path) -> Evaluation:
    scorer = Scorer(tiny_checkpoint(calibration=EASY_BOUNDS))
    return evaluate(scorer, clips.parent, alarm=AlertPolicy(0.3), keep_heat=True)


class Seen(HTMLParser):
    """Collects every tag with its attributes, and the tags that are still open."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def report(evaluation: Evaluation, clips: Path) -> tuple[str, Seen]:
    html = as_html(evaluation, sorted(clips.glob("*.mp4")), {"checkpoint": "<tiny>", "gate": 0.01})
    seen = Seen()
    seen.feed(html)
    assert seen.open == []
    return html, seen


def test_the_report_is_whole_and_loads_nothing(evaluation: Evaluation, clips: Path) -> None:
    html, seen = report(evaluation, clips)
    assert not re.search(
        r"https?:|//|url\(|@import", re.sub(r"data:image/jpeg;base64,[\w+/=]+", "", html)
    )
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in seen.tags}
    assert all(
        (attributes["src"] or "").startswith("data:")
        for tag, attributes in seen.tags
        if tag == "img"
    )
    assert "a &amp; &lt;b&gt;" in html
    assert "&lt;tiny&gt;" in html
    assert (
        sum(tag == "svg" for tag, _ in seen.tags) == 2 + 2
    )  # ROC, precision and recall, and each clip


def test_the_worst_frames_are_shown_with_their_heatmap(evaluation: Evaluation, clips: Path) -> None:
    worst = ranked(evaluation)
    assert worst.causal
    _, seen = report(evaluation, clips)
    images = [attributes for tag, attributes in seen.tags if tag == "img"]
    assert len(images) == len(worst.false_alarms) + len(worst.misses)
    first = worst.false_alarms[0]
    assert (images[0]["alt"] or "").startswith(
        f"clip {first.clip}, frame {first.frame}: {first.value:.3f}"
    )
    data = b64decode((images[0]["src"] or "").removeprefix("data:image/jpeg;base64,"))
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (160, 2 * 213, 3)
    (path,) = (path for path in clips.glob("*.mp4") if path.stem == first.clip)
    expected = read_clip(path, replace(tiny_checkpoint().preprocess, height_px=160, width_px=213))[
        first.frame
    ]
    assert np.abs(picture[:, :213, ::-1].astype(int) - expected).mean() < 20


def test_without_labels_there_are_curves_of_the_clips_alone(
    evaluation: Evaluation, clips: Path
) -> None:
    bare = replace(evaluation, labels=None, frames=None, watched=None, events=None)
    html, seen = report(bare, clips)
    assert "There are no labels." in html
    assert not [tag for tag, _ in seen.tags if tag == "img"]
    assert sum(tag == "svg" for tag, _ in seen.tags) == 2


def test_while_the_bounds_are_learned_the_worst_frames_are_those_of_the_offline_value(
    clips: Path,
) -> None:
    learning = evaluate(
        Scorer(tiny_checkpoint()), clips.parent, alarm=AlertPolicy(), keep_heat=True
    )
    html, seen = report(learning, clips)
    assert "per-video min-max value, since no frame has a live one" in html
    assert "nan" not in html
    assert [tag for tag, _ in seen.tags if tag == "img"]


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), min_size=1, max_size=120))
def test_the_worst_are_the_worst_and_apart(frames: list[tuple[int, int]]) -> None:
    labels, values = (np.array(column) for column in zip(*frames, strict=True))
    found = ranked(made(labels.astype(np.uint8), values.astype(float)))
    for wrongs, label, sign in ((found.false_alarms, 0, -1), (found.misses, 1, 1)):
        assert len(wrongs) <= HOW_MANY
        assert [sign * one.value for one in wrongs] == sorted(sign * one.value for one in wrongs)
        assert all(
            (labels[one.frame - 4], values[one.frame - 4]) == (label, one.value) for one in wrongs
        )
        assert all(
            later - earlier >= APART
            for earlier, later in pairwise(sorted(one.frame for one in wrongs))
        )
        if (labels == label).any():
            assert sign * wrongs[0].value == (sign * values[labels == label]).min()


def made(labels: FrameLabels, values: Floats) -> Evaluation:
    """An evaluation of one clip with these causal values, from frame 4 on."""
    nothing = np.zeros(len(values))
    clip = ClipScores(
        "01",
        len(values) + 4,
        4,
        nothing,
        nothing,
        nothing,
        nothing > 0,
        values,
        nothing,
        nothing,
        nothing,
        nothing > 0,
        0,
    )
    return Evaluation(
        clips=[clip],
        values={"01": Values(nothing, nothing, values, nothing, nothing)},
        labels={"01": labels},
        calibration="model",
        local_calibration="model",
        scheme="paper",
        fusion_weight=0.6,
        frames=None,
        watched=None,
        events=None,
        masks=None,
        regions=None,
    )


def test_heatmaps_are_kept_only_when_asked_for_and_change_nothing(clips: Path) -> None:
    scorer, paths = Scorer(tiny_checkpoint()), [clips / "01.mp4"]
    (kept,) = score_clips(scorer, paths, carry_memory=True, keep_heat=True)
    (bare,) = score_clips(scorer, paths, carry_memory=True)
    assert bare.heat is None
    assert kept.heat is not None
    assert np.array_equal(kept.psnr_db, bare.psnr_db)
    assert np.array_equal(kept.distance, bare.distance)
    first = scorer.step(
        [read_clip(paths[0], scorer.checkpoint.preprocess)[:5]], scorer.fresh_items()[None]
    )
    assert np.array_equal(kept.heat[0], as_levels(first.heat[0]))
    assert np.allclose(kept.heat[0] / PEAK, first.heat[0].numpy(), atol=1 / PEAK)
    assert kept.heat.shape == (FRAMES - 4, 64, 64)


def test_the_report_is_the_same_bytes_for_the_same_input(
    evaluation: Evaluation, clips: Path
) -> None:
    assert report(evaluation, clips)[0] == report(evaluation, clips)[0]


def test_no_two_elements_of_the_page_have_one_id(evaluation: Evaluation, clips: Path) -> None:
    _, seen = report(evaluation, clips)
    assert not [attributes for _, attributes in seen.tags if "id" in attributes]


def test_heatmaps_have_the_colours_of_the_service() -> None:
    """Where nothing is wrong the frame shows through; where it is, the overlay's red does."""
    rgb = np.full((72, 96, 3), 40, np.uint8)
    heat = np.zeros((64, 64), np.uint16)
    heat[:, :32] = PEAK
    both = side_by_side(rgb, heat, np.zeros((64, 64), np.int64))
    assert both.shape == (160, 2 * 213, 3)
    frame, laid_over = np.hsplit(both, 2)
    assert (frame == 40).all()
    np.testing.assert_array_equal(laid_over, overlay(frame, heat))


def test_anomalous_cells_are_outlined_in_both_pictures() -> None:
    truth = np.zeros((64, 64), np.int64)
    truth[10:20, 10:20] = 5
    black = np.zeros((64, 64, 3), np.uint8)
    both = side_by_side(black, np.zeros((64, 64), np.uint16), truth)
    for picture in np.hsplit(both, 2):
        rows, columns = np.nonzero((picture == GREEN_RGB).all(axis=-1))
        assert (rows.min(), rows.max()) == (25, 49)
        assert (columns.min(), columns.max()) == (25, 49)


LINE_PATH = r'd="([^"]*)" style="fill: none; stroke: #1f6fb4'


def test_every_line_of_a_chart_has_a_colour_of_its_own() -> None:
    chart = Chart("x", "y", (0, 1), (0, 1))
    drawn = chart.draw([Line(way, [0, 1], [0, 1]) for way in WAYS])
    stroked = re.findall(r"fill: none; stroke: (#[0-9a-f]+)", drawn.svg)
    assert stroked[: len(WAYS)] == [colour for _, colour in drawn.legend]
    assert len({colour for _, colour in drawn.legend}) == len(WAYS)
    assert [name for name, _ in drawn.legend] == list(WAYS)
    with pytest.raises(ValueError, match="zip"):
        chart.draw([Line(str(number), [0, 1], [0, 1]) for number in range(6)])


def test_a_chart_leaves_gaps_draws_steps_and_stays_within_its_frame() -> None:
    chart = Chart("x", "y & z", (0, 10), (0, 1))
    gap = chart.draw([Line("a", [0, 5, 6, 10], [0, np.nan, 1, 1])]).svg
    (path,) = re.findall(LINE_PATH, gap)
    assert path.count("M") == 2
    assert "y &amp; z" in gap
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', gap)
    assert size is not None
    width, height = map(float, size.groups())
    assert (width / 0.75, height / 0.75) == (chart.width_px, chart.height_px)
    steps = chart.draw(
        [Line("a", [0, 5, 10], [0, 1, 1], steps=True)], [Span(2, 3, "alarm")], level=0.5
    ).svg
    (path,) = re.findall(LINE_PATH, steps)
    points = [tuple(map(float, point.split())) for point in re.split("[ML]", path)[1:]]
    assert len(points) == 5
    assert points[0][1] == points[1][1] == height - 38 * 0.75
    assert points[1][0] == points[2][0]
    assert all(0 <= x <= width and 0 <= y <= height for x, y in points)
    assert steps.count("fill: #555555") == steps.count("stroke-dasharray") == 1
