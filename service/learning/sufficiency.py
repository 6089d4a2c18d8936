"""Whether what is recorded of a camera is enough to train on, and why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lookout.service.learning.footage import Segment
from lookout.service.learning.normality import Normality
from lookout.service.learning.recorder import MOVING_SHARE

MIN_MOVING = 3  # segments in which something moves
MIN_SEGMENTS = 2  # one to train on, one to hold out
NEARLY_ALL = 0.9
"""Share of the footage that lies around alerts, from which it is a reason to wait."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The recording of a camera, for its job."""

    segments: Sequence[Segment]  # normal ones, ascending by time
    normality: Normality
    excluded_share: float  # of the frames since the stage began, those around alerts
    trouble: str = ""  # why nothing is recorded now, in one line


def lack_of_footage(
    footage_s: float, recorded: Recorded, usable: Sequence[Segment], sides: tuple[int, int]
) -> str:
    """Return what the footage lacks, in one line; empty where it is enough.

    footage_s: that is wanted. usable: segments of the model's size; sides: its width and height in
    px.
    """
    recorded_s = sum(one.seconds for one in usable)
    if recorded_s < footage_s or len(usable) < MIN_SEGMENTS:
        if recorded.trouble:
            return f"nothing is recorded: {recorded.trouble}"
        if recorded.excluded_share > NEARLY_ALL:
            return (
                f"{100 * recorded.excluded_share:.0f} % of the footage lies around alerts, "
                "which is not learned from: raise the camera's threshold, or close them"
            )
        others = [one for one in recorded.segments if one not in usable]
        if others and not usable:
            other = others[-1]
            return (
                f"the footage is of {other.width_px}x{other.height_px}, and the camera's model "
                f"takes {sides[0]}x{sides[1]}: it is recorded anew"
            )
        return f"{recorded_s:.0f} of {footage_s:.0f} s of footage are recorded"
    moving = sum(one.motion >= MOVING_SHARE for one in usable)
    if moving < MIN_MOVING:
        hours = (usable[-1].ends_ms - usable[0].begins_ms) / 3.6e6
        return (
            f"nothing moves: {moving} of {len(usable)} segments over {hours:.1f} h show "
            "motion, and an empty scene teaches nothing"
        )
    return ""
