"""Compare alarm budgets with the alarms that cameras then raise.

    python -m tests.bench.alarm_budget streams [DAYS]     drawn scores, without pictures
    python -m tests.bench.alarm_budget cameras [SEEDS]    many drawn cameras, after a day to learn
    python -m tests.bench.alarm_budget hours [SEEDS]      what is usual by day, at night
    python -m tests.bench.alarm_budget hour-pictures [KIND...] [places]  the same, in pictures
    python -m tests.bench.alarm_budget scenes [MINUTES]   drawn scenes, scored with `places`
    python -m tests.bench.alarm_budget days [DAYS] [KIND]  the same, five frames of each minute
    python -m tests.bench.alarm_budget clips              Ped1 and Ped2, normal, in random order

A row is a camera with a budget: alarms expected and seen, how many of them were false, the 95 %
interval of the rate seen, events noticed and their median delay; "lowest" where the scene has too
few peaks to fill the budget, and its threshold is as low as it may be. Streams are scores that are
drawn themselves (one in 6 s, at a rate and height of peaks that change with the hour and the
weather), so that weeks can be followed: they try the budget, not the score. Nothing is left out:
the first hours count as well, but for `cameras` and `hours`: their first day or week is to learn
from, and the days after it are counted, for `cameras` so many that a factor of 1.5 can be told from
chance. Printed, never judged.
"""

from __future__ import annotations

import sys

from lookout.models.data.drawn_scene import KINDS
from tests.bench.alarm_pictures import clips, days_of_pictures, hours_of_pictures, scenes
from tests.bench.alarm_streams import cameras, hours, streams


def main() -> None:
    """Print one of the tables."""
    which, *number = sys.argv[1:] or ["streams"]
    if which == "scenes":
        lines = scenes(float(number[0]) if number else 24 * 60)
    elif which == "days":
        kinds = [kind for kind in KINDS if kind in number[1:]] or KINDS
        lines = days_of_pictures(float(number[0]) if number else 7, kinds)
    elif which == "cameras":
        lines = cameras(int(number[0]) if number else 8, {24: 5, 4: 20, 1: 60})
    elif which == "hours":
        lines = hours(int(number[0]) if number else 3)
    elif which == "hour-pictures":
        kinds = [kind for kind in KINDS if kind in number] or KINDS
        lines = hours_of_pictures(kinds, ["places"] if "places" in number else ["local"])
    elif which == "clips":
        lines = clips()
    else:
        days = int(number[0]) if number else 40
        lines = streams({24: max(1, days // 8), 4: max(1, days // 3), 1: days})
    for text in lines:
        print(text, flush=True)


if __name__ == "__main__":
    main()
