"""How often a stream may begin anew."""

from __future__ import annotations

import pytest

from service.errors import SourceLostError
from service.ingest.cuts import MOST, WITHIN_S, Cuts


def test_a_loop_of_a_second_is_allowed_for_ever() -> None:
    cuts = Cuts()
    for second in range(1000):
        cuts.another(float(second))


def test_a_flood_is_not() -> None:
    cuts = Cuts()
    for index in range(MOST):
        cuts.another(index * WITHIN_S / MOST / 2)
    with pytest.raises(SourceLostError, match="all the time"):
        cuts.another(WITHIN_S / 2)
