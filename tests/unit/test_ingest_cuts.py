"""How often a stream may begin anew."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from lookout.service.core.errors import SourceLostError
from lookout.service.ingest.decoder.restart_limit import MOST, WITHIN_S, Cuts


def allowed(times_s: Iterable[float]) -> int:
    """How many of these new beginnings pass before one is too much."""
    cuts = Cuts()
    for count, time_s in enumerate(times_s):
        try:
            cuts.another(time_s)
        except SourceLostError as error:
            assert "all the time" in str(error)
            return count
    return count + 1


@pytest.mark.parametrize("every_s", [1.0, WITHIN_S / MOST])
def test_a_loop_of_a_second_is_allowed_for_ever(every_s: float) -> None:
    assert allowed(index * every_s for index in range(1000)) == 1000


@pytest.mark.parametrize("every_s", [0.0, WITHIN_S / MOST / 2, 0.99 * WITHIN_S / MOST])
def test_a_flood_is_not(every_s: float) -> None:
    assert allowed(index * every_s for index in range(1000)) == MOST


def test_who_was_calm_may_begin_anew_as_often_as_before() -> None:
    burst = [0.0] * MOST
    assert allowed([*burst, *(WITHIN_S + at for at in burst), 2 * WITHIN_S - 0.1]) == 2 * MOST
