"""The highest score of each minute, kept for a month, so that a night can be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from lookout.service.storage.redis import keys, scripts
from lookout.service.storage.store.mending import SettingAside

MINUTE_S = 60
DAY_MINUTES = 1440
DAYS_KEPT = 31
LEVELS = 254
"""A peak is stored as one byte: 0 for none, else 1 + the nearest of so many levels above 0."""


class History(SettingAside):
    """A byte a minute, a string of 1,440 a day, a hash of days a camera."""

    def note_peaks(self, camera: str, peaks: Mapping[int, float]) -> None:
        """Raise the peaks of minutes (since the epoch) to these values (0 to 1).

        A repetition changes nothing; of too many days the oldest drop.
        """
        words = [str(DAYS_KEPT)]
        for minute, value in peaks.items():
            day, offset = divmod(minute, DAY_MINUTES)
            level = 1 + round(LEVELS * min(1.0, max(0.0, value)))
            words += [str(day), str(offset), str(level)]
        self._redis.eval(scripts.NOTE_PEAKS, 1, keys.history(camera), *words)

    def peaks(self, camera: str, first: int, count: int) -> list[float | None]:
        """Return the peak of each of `count` minutes from minute `first` on; None without a score.

        first: since the epoch.
        """
        days = list(range(first // DAY_MINUTES, (first + count - 1) // DAY_MINUTES + 1))
        found = cast(
            list[bytes | None],
            self._redis.hmget(keys.history(camera), [str(day) for day in days]),
        )
        text = b"".join((day or b"").ljust(DAY_MINUTES, b"\0")[:DAY_MINUTES] for day in found)
        begin = first - days[0] * DAY_MINUTES
        return [(byte - 1) / LEVELS if byte else None for byte in text[begin : begin + count]]
