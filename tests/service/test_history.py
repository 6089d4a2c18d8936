"""The highest score of each minute: collected by alerting, kept in the store, read over HTTP."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from lookout.service.alerting.minute_peaks import MinutePeaks
from lookout.service.alerting.worker import AlertingWorker
from lookout.service.core.settings import Settings
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.history import DAY_MINUTES, DAYS_KEPT, LEVELS
from lookout.service.storage.store.store import Store
from tests.conftest import Urls, with_long_forms
from tests.service.api_server import Api, camera, fresh_api, settings_for, show
from tests.service.test_alerting import new_worker, successor

__all__ = ["fresh_api"]

STEP = 1 / LEVELS


@pytest.fixture
def settings(urls: Urls, tmp_path: Path) -> Settings:
    return settings_for(urls, tmp_path)


@pytest.fixture
def alerting(settings: Settings, bus: Bus, store: Store) -> AlertingWorker:
    store.add_camera(camera("gate"))
    return new_worker(settings, bus, store)


def minutes_of(first: int, values: list[float | None]) -> dict[int, float]:
    """Return minute → peak of those that have one, to the nearest step."""
    return {first + at: round(v / STEP) * STEP for at, v in enumerate(values) if v is not None}


MINUTES = st.integers(0, 3 * DAY_MINUTES - 1)
NOTES = st.lists(st.dictionaries(MINUTES, st.floats(0, 1), max_size=5), max_size=8)


@examples(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(notes=NOTES, first=MINUTES, count=st.integers(1, 3 * DAY_MINUTES))
def test_peaks_are_those_of_a_plain_table(
    store: Store, notes: list[dict[int, float]], first: int, count: int
) -> None:
    store._redis.flushdb()
    table: dict[int, float] = {}
    for peaks in notes:
        store.note_peaks("gate", peaks)
        for minute, value in peaks.items():
            table[minute] = max(value, table.get(minute, 0.0))
    found = store.peaks("gate", first, count)
    assert len(found) == count
    for minute, peak in enumerate(found, first):
        wanted = table.get(minute)
        assert (peak is None) == (wanted is None)
        assert peak is None or math.isclose(peak, wanted or 0.0, abs_tol=STEP / 2 + 1e-9)


def test_the_oldest_days_drop(store: Store) -> None:
    for day in range(DAYS_KEPT + 3):
        store.note_peaks("gate", {day * DAY_MINUTES: 0.5})
    kept = [day for day in range(DAYS_KEPT + 3) if store.peaks("gate", day * DAY_MINUTES, 1)[0]]
    assert kept == list(range(3, DAYS_KEPT + 3))


@pytest.mark.parametrize("killed_after", with_long_forms(range(0, 700, 90), {270}))
def test_killed_at_any_score_the_peaks_are_the_same(
    settings: Settings, bus: Bus, store: Store, alerting: AlertingWorker, killed_after: int
) -> None:
    values = [((seq * 37) % 100) / 250 for seq in range(700)]  # 70 s: three minutes
    for seq, value in enumerate(values):
        if seq == killed_after:
            alerting.turn(1e9)  # what it has seen is saved: the next one goes on there
            alerting = successor(settings, bus, store)
        show(bus, "gate", seq, value)
    for number in range(3):
        alerting.turn(2e9 + number)
    alerting.end()
    first = 1000 // 60
    peaks: dict[int, float] = {}
    for seq, value in enumerate(values):
        minute = int((1000 + seq / 10) // 60)
        peaks[minute] = max(value, peaks.get(minute, 0.0))
    newest = max(peaks)
    stored = minutes_of(first, store.peaks("gate", first, 3))
    assert stored == pytest.approx(
        {minute: peak for minute, peak in peaks.items() if minute < newest}, abs=STEP
    )
    state = store.alerting_state("gate")
    assert state is not None
    assert state["minute"] == [newest, peaks[newest]]


def test_the_open_minute_is_shown_too(fresh_api: Api, store: Store) -> None:
    store.add_camera(camera("gate"))
    store.note_peaks("gate", {10: 0.5, 12: 1.0})
    store.save_alerting("gate", 0, {"cursor": None, "minute": [13, 0.25]}, [])
    answer = fresh_api.get("/cameras/gate/history", **{"from": 541.0, "to": 800.0}).json()
    assert (answer["since"], answer["step_s"]) == (600.0, 60)
    assert answer["peaks"] == pytest.approx([0.5, None, 1.0, 0.25], abs=STEP)
    day = fresh_api.get("/cameras/gate/history").json()
    assert len(day["peaks"]) in (DAY_MINUTES, DAY_MINUTES + 1)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"from": 900.0, "to": 800.0}, "must come before"),
        ({"from": 0.0, "to": 32 * 86400.0}, "at most 31 days"),
        ({"from": "yesterday"}, "from"),
        ({"from": "nan"}, "from"),
    ],
)
def test_a_range_that_is_none_is_told(
    fresh_api: Api, store: Store, query: dict[str, object], reason: str
) -> None:
    store.add_camera(camera("gate"))
    answer = fresh_api.get("/cameras/gate/history", **query)
    assert answer.status_code == 422
    assert reason in answer.json()["detail"]
    assert fresh_api.get("/cameras/yard/history").status_code == 404


def test_a_removed_camera_leaves_no_history(store: Store) -> None:
    store.add_camera(camera("gate"))
    store.note_peaks("gate", {10: 0.5})
    store.remove_camera("gate")
    assert store.peaks("gate", 10, 1) == [None]


@pytest.mark.parametrize("data", [7, [1], [1, 2, 3], ["a", 0.5], [1, "b"], [-1, 0.5], [1, 7.0], {}])
def test_a_minute_that_is_none_is_refused(data: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        MinutePeaks.from_json(data)
