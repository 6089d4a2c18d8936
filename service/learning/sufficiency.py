"""Whether what is recorded of a camera is enough to train on, and why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lookout.service.core.errors import NO_REASON, Reason
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
    trouble: Reason = NO_REASON  # why nothing is recorded now


def lack_of_footage(
    footage_s: float, recorded: Recorded, usable: Sequence[Segment], sides: tuple[int, int]
) -> Reason:
    """Return what the footage lacks, in one line; empty where it is enough.

    footage_s: that is wanted. usable: segments of the model's size; sides: its width and height in
    px.
    """
    recorded_s = sum(one.seconds for one in usable)
    if recorded_s < footage_s or len(usable) < MIN_SEGMENTS:
        if recorded.trouble:
            said = f"nothing is recorded: {recorded.trouble}"
            return Reason(said, code="footage_none", why=recorded.trouble)
        if recorded.excluded_share > NEARLY_ALL:
            percent = round(100 * recorded.excluded_share)
            return Reason(
                f"{percent} % of the footage lies around alerts, "
                "which is not learned from: raise the camera's threshold, or close them",
                code="footage_alerts",
                percent=percent,
            )
        others = [one for one in recorded.segments if one not in usable]
        if others and not usable:
            has = f"{others[-1].width_px}x{others[-1].height_px}"
            takes = f"{sides[0]}x{sides[1]}"
            return Reason(
                f"the footage is of {has}, and the camera's model takes {takes}: "
                "it is recorded anew",
                code="footage_size",
                has=has,
                takes=takes,
            )
        done, needed = round(recorded_s), round(footage_s)
        said = f"{done} of {needed} s of footage are recorded"
        return Reason(said, code="footage_recorded", done=done, needed=needed)
    moving = sum(one.motion >= MOVING_SHARE for one in usable)
    if moving < MIN_MOVING:
        hours = (usable[-1].ends_ms - usable[0].begins_ms) / 3.6e6
        return Reason(
            f"nothing moves: {moving} of {len(usable)} segments over {hours:.1f} h show "
            "motion, and an empty scene teaches nothing",
            code="footage_still",
            moving=moving,
            segments=len(usable),
            hours=round(hours, 1),
        )
    return NO_REASON
