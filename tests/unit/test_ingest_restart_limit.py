"""Limit on the restarts of a live stream's session."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from lookout.service.core.errors import SourceLostError
from lookout.service.ingest.decoder.limits import MOST_RESTARTS, RESTARTS_WITHIN_S, RestartLimit


def allowed(times_s: Iterable[float]) -> int:
    """Return how many of these restarts pass before one is too much."""
    limit = RestartLimit()
    for count, time_s in enumerate(times_s):
        try:
            limit.add(time_s)
        except SourceLostError as error:
            assert "all the time" in str(error)
            return count
    return count + 1


@pytest.mark.parametrize("every_s", [1.0, RESTARTS_WITHIN_S / MOST_RESTARTS])
def test_a_loop_of_a_second_is_allowed_for_ever(every_s: float) -> None:
    assert allowed(index * every_s for index in range(1000)) == 1000


@pytest.mark.parametrize(
    "every_s",
    [0.0, RESTARTS_WITHIN_S / MOST_RESTARTS / 2, 0.99 * RESTARTS_WITHIN_S / MOST_RESTARTS],
)
def test_a_flood_is_not(every_s: float) -> None:
    assert allowed(index * every_s for index in range(1000)) == MOST_RESTARTS


def test_who_was_calm_may_begin_anew_as_often_as_before() -> None:
    burst = [0.0] * MOST_RESTARTS
    assert (
        allowed([*burst, *(RESTARTS_WITHIN_S + at for at in burst), 2 * RESTARTS_WITHIN_S - 0.1])
        == 2 * MOST_RESTARTS
    )
