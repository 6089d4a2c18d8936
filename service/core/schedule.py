"""Times at which alerts of a camera open: of the week, in a time zone, and an override."""

from __future__ import annotations

import datetime
import re
import zoneinfo
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from lookout.service.core.errors import invalid

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MAX_SPANS = 50

LATEST = 32_503_680_000.0
"""The year 3000: later times have no date everywhere."""

HOUR = "^([01][0-9]|2[0-3]):[0-5][0-9]$"
"""A time of day, as JSON Schema says it; `check_hour` refuses others in plain words."""

CHECKED = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def check_hour(text: str) -> str:
    """Return a time of day. Raises ValueError where it is none."""
    if not re.fullmatch(HOUR, text) or text.endswith("\n"):
        raise invalid("hours and minutes are needed, such as 22:00", code="hour")
    return text


def zone_of(name: str) -> datetime.tzinfo:
    """Return a time zone. Raises ValueError."""
    if name == "UTC":
        return datetime.UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise invalid(
            "there is no time zone '{zone}' here", code="no_time_zone", zone=name
        ) from None


class ArmedSpan(BaseModel):
    """Hours of some days of the week."""

    model_config = CHECKED

    days: list[Day] = Field(
        default=list(DAYS),
        min_length=1,
        max_length=7,
        description="on which it begins; unset: every day",
        examples=[["mon", "tue"]],
    )
    begin: str = Field(
        description="such as `22:00`", examples=["22:00"], json_schema_extra={"pattern": HOUR}
    )
    end: str = Field(
        description="such as `06:00`; of the next day where it is not later",
        examples=["06:00"],
        json_schema_extra={"pattern": HOUR},
    )

    @field_validator("begin", "end")
    @classmethod
    def check_times(cls, text: str) -> str:
        """Raise ValueError where it is no time of day."""
        return check_hour(text)

    def includes(self, at: float, date: datetime.date, zone: datetime.tzinfo) -> bool:
        """Tell whether a time (s, UTC) is in the span that begins on a date."""
        if DAYS[date.weekday()] not in self.days:
            return False
        last = date
        if self.end <= self.begin:
            last += datetime.timedelta(days=1)
        return min(instants(date, self.begin, zone)) <= at < max(instants(last, self.end, zone))


def instants(date: datetime.date, hour: str, zone: datetime.tzinfo) -> tuple[float, float]:
    """Return the instants (s, UTC) at which a clock shows a time of day: two where it is set back.

    Where the clock skips that time, they are those that its offsets before and after give.
    """
    time = datetime.time.fromisoformat(hour)
    first, second = (
        datetime.datetime.combine(date, time, zone).replace(fold=fold).timestamp()
        for fold in (0, 1)
    )
    return first, second


class ScheduleSettings(BaseModel):
    """The times of the week at which alerts of a camera open."""

    model_config = CHECKED

    timezone: str = Field(
        default="UTC",
        title="Time zone",
        max_length=64,
        description="of the times, such as `Europe/Zurich`",
        examples=["Europe/Zurich"],
    )
    armed: list[ArmedSpan] = Field(
        title="Armed",
        max_length=MAX_SPANS,
        description="spans in which alerts open, such as "
        '`[{"days": ["mon", "tue"], "begin": "22:00", "end": "06:00"}]`',
        examples=[[{"days": ["mon", "tue"], "begin": "22:00", "end": "06:00"}]],
    )

    @field_validator("timezone")
    @classmethod
    def check_timezone(cls, name: str) -> str:
        """Raise ValueError where there is no such time zone here."""
        zone_of(name)
        return name

    def includes(self, at: float) -> bool:
        """Tell whether a time (s, UTC) is in one of the spans.

        Where a clock is set, a span is rather longer than shorter: it lasts from the first time its
        clock can be said to show the beginning to the last time for the end.
        """
        zone = zone_of(self.timezone)
        today = datetime.datetime.fromtimestamp(at, zone).date()
        around = [today + datetime.timedelta(days=days) for days in (-1, 0, 1)]
        return any(span.includes(at, date, zone) for span in self.armed for date in around)


class ArmOverride(BaseModel):
    """A person's word against the schedule."""

    model_config = CHECKED

    armed: bool
    since: float = Field(description="s, UTC")
    until: Annotated[float, Field(le=LATEST)] | None = Field(
        description="s, UTC; null: until it is taken back"
    )

    def holds(self, at: float) -> bool:
        """Tell whether it holds at a time (s, UTC)."""
        return self.since <= at and (self.until is None or at < self.until)
