"""Weekly times at which alerts open, through both changes of the clock, and an override."""

from __future__ import annotations

import datetime
import zoneinfo
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lookout.service.core.camera import Camera, CameraChange
from lookout.service.core.schedule import (
    DAYS,
    LATEST,
    ArmedSpan,
    ArmOverride,
    ScheduleSettings,
)
from tests.conftest import examples

ZURICH = zoneinfo.ZoneInfo("Europe/Zurich")
MINUTE_S = 60


def schedule(*armed: dict[str, Any], timezone: str = "Europe/Zurich") -> ScheduleSettings:
    return ScheduleSettings.model_validate({"timezone": timezone, "armed": list(armed)})


def at(text: str, fold: int = 0) -> float:
    """Return a local time in Zurich, such as "2026-03-29 01:30", in s, UTC."""
    return datetime.datetime.fromisoformat(text).replace(tzinfo=ZURICH, fold=fold).timestamp()


def armed_minutes(chosen: ScheduleSettings, first: str, last: str) -> int:
    begin = int(at(first))
    return sum(chosen.includes(one) for one in range(begin, int(at(last)), MINUTE_S))


def test_a_span_holds_on_its_days_and_into_the_next() -> None:
    nights = schedule({"days": ["fri", "sat"], "begin": "22:00", "end": "06:00"})
    for text, is_armed in (
        ("2026-11-26 23:00", False),  # a Thursday
        ("2026-11-27 05:00", False),
        ("2026-11-27 21:59", False),
        ("2026-11-27 22:00", True),
        ("2026-11-28 05:59", True),
        ("2026-11-28 06:00", False),
        ("2026-11-28 22:00", True),
        ("2026-11-29 05:59", True),  # Sunday morning: of Saturday's night
        ("2026-11-29 22:00", False),
    ):
        assert nights.includes(at(text)) == is_armed, text


def test_a_span_that_ends_where_it_begins_is_a_whole_day() -> None:
    always = schedule({"begin": "07:00", "end": "07:00"})
    assert armed_minutes(always, "2026-03-27 00:00", "2026-03-31 00:00") == (4 * 24 - 1) * 60
    sunday = schedule({"days": ["sun"], "begin": "00:00", "end": "00:00"})
    assert armed_minutes(sunday, "2026-10-24 00:00", "2026-10-27 00:00") == 25 * 60
    assert not schedule().includes(at("2026-11-27 12:00"))


@pytest.mark.parametrize(
    ("begin", "end", "first", "minutes"),
    [
        # The clock goes from 02:00 to 03:00 on 29 March, and from 03:00 to 02:00 on 25 October.
        ("01:00", "04:00", "2026-03-29", 120),
        ("22:00", "06:00", "2026-03-28", 420),
        ("02:30", "05:00", "2026-03-29", 150),  # a beginning that the clock skips: from 01:30
        ("00:00", "02:30", "2026-03-29", 150),  # an end that it skips: to 03:30
        ("01:00", "04:00", "2026-10-25", 240),
        ("22:00", "06:00", "2026-10-24", 540),
        ("02:30", "05:00", "2026-10-25", 210),  # that comes twice: from the first
        ("00:00", "02:30", "2026-10-25", 210),  # to the last
    ],
)
def test_where_the_clock_is_set_a_span_is_rather_longer(
    begin: str, end: str, first: str, minutes: int
) -> None:
    day = DAYS[datetime.date.fromisoformat(first).weekday()]
    chosen = schedule({"days": [day], "begin": begin, "end": end})
    after = datetime.date.fromisoformat(first) + datetime.timedelta(days=2)
    assert armed_minutes(chosen, f"{first} 00:00", f"{after} 00:00") == minutes


@given(st.data())
@examples(100)
def test_a_span_is_one_piece_and_elsewhere_what_the_clock_says(data: st.DataObject) -> None:
    hours = st.integers(0, 24 * 60 - 1).map(lambda one: f"{one // 60:02}:{one % 60:02}")
    span = {"begin": data.draw(hours), "end": data.draw(hours)}
    zone = data.draw(st.sampled_from(["UTC", "Europe/Zurich", "America/New_York", "Asia/Kolkata"]))
    chosen = schedule(span, timezone=zone)
    now = data.draw(st.integers(1_700_000_000, 1_900_000_000))
    local = datetime.datetime.fromtimestamp(now, zoneinfo.ZoneInfo(zone))
    around = [local + datetime.timedelta(hours=hours) for hours in (-30, 30)]
    if around[0].utcoffset() != around[1].utcoffset():
        return
    clock = local.strftime("%H:%M")
    begin, end = span["begin"], span["end"]
    expected = begin <= clock < end if begin < end else clock >= begin or clock < end
    assert chosen.includes(now) == expected


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"armed": [{"begin": "25:00", "end": "06:00"}]}, "hours and minutes are needed"),
        ({"armed": [{"begin": "22:00", "end": "6"}]}, "hours and minutes are needed"),
        ({"armed": [{"begin": "22:00"}]}, "Field required"),
        ({"armed": [{"begin": "22:00", "end": "06:00", "days": []}]}, "at least 1"),
        ({"armed": [{"begin": "22:00", "end": "06:00", "days": ["today"]}]}, "'mon'"),
        ({"armed": [{"begin": "22:00", "end": "06:00"}] * 51}, "at most 50"),
        ({"armed": [], "timezone": "Mars/Base"}, "there is no time zone 'Mars/Base' here"),
        ({"armed": [], "timezone": "../passwd"}, "there is no time zone"),
        ({"timezone": "UTC"}, "Field required"),
    ],
)
def test_what_is_no_schedule_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        ScheduleSettings.model_validate(fields)


def test_an_override_holds_until_its_time() -> None:
    camera = Camera(id="gate", url="rtsp://h/", model="m", created_at=0.0, revision=1)
    assert camera.armed_at(50)
    off = ArmOverride(armed=False, since=100, until=200)
    days_off = camera.model_copy(update={"override": off})
    assert [days_off.armed_at(now) for now in (99, 100, 199, 200)] == [True, False, False, True]
    never = camera.model_copy(update={"schedule": schedule()})
    on = ArmOverride(armed=True, since=100, until=None)
    assert not never.armed_at(150)
    armed = never.model_copy(update={"override": on})
    assert [armed.armed_at(now) for now in (99, 100, 1e9)] == [False, True, True]
    with pytest.raises(ValidationError):
        ArmOverride(armed=True, since=0, until=LATEST + 1)


def test_a_schedule_changes_without_a_restart() -> None:
    before = Camera(id="gate", url="rtsp://h/", model="m", created_at=0.0, revision=1)
    nights = {"armed": [{"begin": "22:00", "end": "06:00"}]}
    after = before.changed(CameraChange.model_validate({"schedule": nights}))
    assert (after.revision, after.schedule) == (1, schedule(*nights["armed"], timezone="UTC"))
    zoned = after.changed(CameraChange.model_validate({"schedule": {"timezone": "UTC", **nights}}))
    assert zoned.schedule == after.schedule
    assert after.changed(CameraChange.model_validate({"schedule": None})).schedule is None
    assert ArmedSpan(begin="22:00", end="06:00").days == list(DAYS)
