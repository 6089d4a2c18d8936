"""The rules that `python -m tests.bench.updates` compares are those that it names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lookout.models.data.synthetic_anomalies import KINDS
from lookout.models.memory_update import UpdateRule
from lookout.models.scorer import Scorer
from tests.bench.offline import Ensemble, Video
from tests.bench.updates import row, rules_of
from tests.clips import write_clip
from tests.tiny import EASY_BOUNDS, tiny_checkpoint


def test_a_clip_is_scored_by_the_rule_that_its_row_names(tmp_path: Path) -> None:
    path = tmp_path / "01.mp4"
    write_clip(path, range(14), size_px=(64, 48))
    scorer = Scorer(tiny_checkpoint(calibration=replace(EASY_BOUNDS, gate_error=0.2)))
    rules = rules_of(scorer)
    assert rules["published, gate 1 γ"] == UpdateRule.paper(scorer.gamma)
    assert rules["guarded"].gate == 0.2

    def scores(name: str) -> list[float]:
        one = Ensemble({"tiny": scorer}, {"tiny": rules[name]})
        return list(next(one.made(path, draws=1)).parts["tiny paper"])

    assert scores("never") != pytest.approx(scores("published, no gate"))
    assert scores("published, gate 1 γ") == scores(
        "never"
    )  # noise: no frame of it passes this gate


def test_a_row_is_the_mean_over_the_kinds() -> None:
    score = np.array([0.0, 0.1, 0.9, 1.0])
    right, wrong = np.array([0, 0, 1, 1], np.uint8), np.array([1, 1, 0, 0], np.uint8)
    made = [
        Video(kind, {"a paper": score, "a local": score}, right if number else wrong)
        for number, kind in enumerate(KINDS)
    ]
    first, paper, *_ = row("a", made, None).strip("| ").split(" | ")
    assert first == "a"
    assert float(paper) == pytest.approx(75)
