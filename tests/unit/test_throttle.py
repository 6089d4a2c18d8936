"""An outage is logged once when it begins and once when it is over."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lookout.service.core.throttle import OnceLog, OutageLog, backoff_s
from tests.waiting import wait_until


def test_it_is_told_once_however_many_attempts_fail() -> None:
    outage = OutageLog()
    assert [outage.failed() for _ in range(3)] == [True, False, False]


def test_a_success_between_two_failures_is_no_end_of_it() -> None:
    outage = OutageLog(calm_s=60)
    assert not outage.worked()
    assert outage.failed()
    assert not outage.worked()
    assert not outage.failed()


def test_it_is_over_after_a_while_without_failures() -> None:
    outage = OutageLog(calm_s=0.05)
    outage.failed()
    wait_until(outage.worked, "the end")
    assert not outage.worked()
    assert outage.failed()


def test_each_trouble_is_logged_once_and_their_memory_is_bounded() -> None:
    once = OnceLog(kept=2)
    assert [once.is_new(name) for name in "aabab"] == [True, False, True, False, False]
    assert once.is_new("c")  # "a" is forgotten for it
    assert [once.is_new(name) for name in "cba"] == [False, False, True]
    assert len(once._logged) == 2


@given(st.floats(0.01, 10), st.floats(10, 1000), st.integers(1, 10**6))
def test_each_wait_is_twice_the_last_up_to_the_most(
    first_s: float, most_s: float, failures: int
) -> None:
    wait_s = backoff_s(first_s, most_s, failures)
    assert first_s <= wait_s <= most_s
    assert backoff_s(first_s, most_s, 1) == first_s
    assert backoff_s(first_s, most_s, failures + 1) == min(most_s, 2 * wait_s)
