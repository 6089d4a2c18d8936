"""The rows of `make bench`: printed as one table, and written to bench.json."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Better = Literal["lower", "higher"]


@dataclass(frozen=True, slots=True)
class Row:
    """A figure beside its limit or rival of the same run.

    `to_reach` is a bound of the ratio where there is a limit, else of the figure.
    """

    what: str  # with the unit
    measured: float | None  # None: not run here
    command: str
    limit: float | None = None  # in the unit of `measured`
    to_reach: float | None = None
    better: Better = "lower"

    @property
    def ratio(self) -> float | None:
        """The figure over its limit; None without one of them."""
        if self.measured is None or not self.limit:
            return None
        return self.measured / self.limit

    @property
    def reached(self) -> bool | None:
        """Whether the bound is kept; None where it was not run, or there is none."""
        if self.measured is None or self.to_reach is None:
            return None
        judged = self.measured if self.ratio is None else self.ratio
        return judged <= self.to_reach if self.better == "lower" else judged >= self.to_reach

    def as_json(self) -> dict[str, object]:
        """Return the row as bench.json holds it."""
        return {
            "what": self.what,
            "measured": self.measured,
            "limit": self.limit,
            "ratio": self.ratio,
            "to_reach": self.to_reach,
            "reached": self.reached,
            "command": self.command,
        }

    def line(self) -> str:
        """Return the row as a line of the table."""
        words = {True: "reached", False: "not reached", None: ""}
        if self.measured is None:
            words[None] = "not run"
        sign = "<=" if self.better == "lower" else ">="
        bound = "" if self.to_reach is None else f"{sign} {self.to_reach:g}"
        return (
            f"{self.what:<68} {number(self.measured):>9} {number(self.limit):>9} "
            f"{number(self.ratio):>8} {bound:>9}  {words[self.reached]}"
        ).rstrip()


HEAD = f"{'what':<68} {'measured':>9} {'limit':>9} {'ratio':>8} {'to reach':>9}"


def number(value: float | None) -> str:
    """Return a number in three digits or more; nothing for None."""
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write bench.json."""
    path.write_text(json.dumps({"rows": [row.as_json() for row in rows]}, indent=1) + "\n")
