"""The rule by which a learned checkpoint is promoted, figure by figure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lookout.service.core.jobs import HeldOut, Shadow, shadow_shortfall, shortfall

EQUAL = Shadow(
    frames=480,
    agreement_percent=97.0,
    rank_correlation=0.8,
    old_above_percent=2.0,
    new_above_percent=2.0,
    made=30,
    old_recall_percent=80.0,
    new_recall_percent=80.0,
)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"new_recall_percent": 100.0}, ""),
        ({"new_recall_percent": 70.0}, ""),
        ({"new_recall_percent": 69.0}, "it notices 69 % of the anomalies"),
        ({"new_above_percent": 7.0}, ""),
        ({"new_above_percent": 7.5}, "it puts 8 % of the live frames"),
        ({"agreement_percent": 0.0, "rank_correlation": None}, ""),
    ],
)
def test_a_shadow_forbids_less_recall_and_more_false_alarms(
    change: dict[str, Any], reason: str
) -> None:
    found = shadow_shortfall(replace(EQUAL, **change))
    assert found.startswith(reason)
    assert bool(found) == bool(reason)
    assert "\n" not in found


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [(88.0, 87.5, False), (88.0, 87.4, True), (None, 50.0, False), (88.0, None, False)],
)
def test_made_anomalies_in_held_out_footage_count_within_a_tolerance(
    before: float | None, after: float | None, refused: bool
) -> None:
    assert bool(shortfall(HeldOut(30.0, before), HeldOut(31.0, after))) is refused
