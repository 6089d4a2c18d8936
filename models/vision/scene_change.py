"""Detects that the picture of a fixed camera changed as a whole, and whether it can still be seen.

When most of the picture changes at once (infrared, lights, a push, a hand over the lens), frames
are unsettled until it is steady again. A picture that soon is as before was a flash; one that stays
changed is a scene change. A picture that then stays dark, empty or blurred is that of a camera that
was tampered with, until it is restored.

All times are the frames' own, in seconds: a replay of the same frames decides alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from lookout.models.arrays import Pixels
from lookout.models.vision.scene_signature import (
    SHARP_FLOOR,
    SHARP_RATIO,
    SceneSignature,
    describe_change,
    is_steady,
)

COMPARED_S = 0.5
"""A frame is compared with one from half a second to a second before: a fade counts as at once."""
LASTING_MAX_S = 10.0
STEADY_S = 0.5
UNSETTLED_MAX_S = 5.0
FLASH_FREE_S = 5.0
RESTLESS_FREE_S = 60.0
"""No frame is held back for so long after a flash, or after a change that did not come to rest:
neither a flashing light nor a camera that is carried about may stop the scoring."""
BLINKS = 5
BLINKS_S = 60.0
"""After BLINKS changes in BLINKS_S, the next are neither held back nor reported."""
TAMPERED_S = 10.0
GOOD_S = 1.0
USUAL_S = 60.0  # time constant
DARK_MAX = 25.0  # mean gray, of 255
DARK_SHARE = 0.5  # of the usual mean gray
EMPTY_SHARE = 0.2  # of the usual contrast

SceneEventKind = Literal["scene_change", "tampered", "restored"]
SceneReport = tuple[SceneEventKind, str]
"""A kind, and what happened, in words for an operator."""


@dataclass(frozen=True, slots=True)
class SceneChange:
    """A change of most of the picture, with the pictures before and after it."""

    detail: str  # in words
    before: SceneSignature = field(compare=False)  # arrays, which no == compares
    now: SceneSignature = field(compare=False)


@dataclass(frozen=True, slots=True)
class SceneVerdict:
    """Result for one frame."""

    settled: bool  # False: do not score it; the window begins again behind it
    change: SceneChange | None  # once each, at the unsettled frame at which it is sure
    events: list[SceneReport]


@dataclass(slots=True)
class UsualPicture:
    """Slow averages of the picture, or what they were before it changed."""

    at: float  # time of the last picture that went into them
    level: float  # mean gray, 0 to 255
    contrast: float  # standard deviation of the gray of large blocks
    sharpness: float

    @classmethod
    def from_signature(cls, now: SceneSignature, at: float) -> UsualPicture:
        """Return averages of one picture."""
        return cls(at, now.level, now.contrast, now.sharpness)

    def follow(self, now: SceneSignature, at: float) -> None:
        """Move the averages toward this picture."""
        weight = 1 - math.exp(-max(0.0, at - self.at) / USUAL_S)
        self.at = at
        self.level += weight * (now.level - self.level)
        self.contrast += weight * (now.contrast - self.contrast)
        self.sharpness += weight * (now.sharpness - self.sharpness)

    def loss(self, now: SceneSignature) -> str | None:
        """Return "dark", "empty" or "blurred"; None where the picture is as visible as ever."""
        if now.level < min(DARK_MAX, DARK_SHARE * self.level):
            return "dark"
        if now.contrast < EMPTY_SHARE * self.contrast:
            return "empty"
        # By dimmed light, edges fade too.
        dimmed = min(1.0, now.contrast / self.contrast) if self.contrast else 1.0
        sharp_enough = SHARP_RATIO * (dimmed * self.sharpness + SHARP_FLOOR)
        return "blurred" if now.sharpness + SHARP_FLOOR < sharp_enough else None


@dataclass(slots=True)
class ReferencePictures:
    """The pictures that a frame is compared with. What passes by is in one and not in the other."""

    lasting: SceneSignature  # the last much like the one before it: nothing large went by
    lasting_at: float
    before: SceneSignature  # from half a second to a second ago
    newer: SceneSignature  # at rest the next `before`; in unrest the last unlike the one before it
    newer_at: float

    @classmethod
    def from_signature(cls, now: SceneSignature, at: float) -> ReferencePictures:
        """Return references to one picture alone."""
        return cls(now, at, now, now, at)

    def change(self, now: SceneSignature) -> str | None:
        """Return what changed against both references, in words; None where nothing has."""
        return describe_change(self.before, now) and describe_change(self.lasting, now)

    def replace_newest(self, now: SceneSignature, at: float) -> None:
        """Take this picture as the newest reference."""
        self.newer = now
        self.newer_at = at

    def follow(self, now: SceneSignature, at: float) -> None:
        """At rest: move the references on with time."""
        if elapsed_s(self.newer_at, at) < COMPARED_S:
            return
        self.before = self.newer
        self.replace_newest(now, at)
        is_old = elapsed_s(self.lasting_at, at) >= LASTING_MAX_S
        if is_steady(self.lasting, self.before) or is_old:
            self.lasting = self.before
            self.lasting_at = at

    def follow_unrest(self, now: SceneSignature, at: float) -> bool:
        """In unrest: return True where the picture has been the same for a while."""
        if not is_steady(self.newer, now):
            self.replace_newest(now, at)
        return elapsed_s(self.newer_at, at) >= STEADY_S

    def to_json(self) -> dict[str, Any]:
        """Return the references as JSON-able values."""
        return {
            "lasting_at": self.lasting_at,
            "newer_at": self.newer_at,
            "lasting": self.lasting.to_json(),
            "before": self.before.to_json(),
            "newer": self.newer.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ReferencePictures:
        """Raises KeyError, TypeError or ValueError on anything that `to_json` did not make."""
        return cls(
            lasting=SceneSignature.from_json(data["lasting"]),
            lasting_at=float(data["lasting_at"]),
            before=SceneSignature.from_json(data["before"]),
            newer=SceneSignature.from_json(data["newer"]),
            newer_at=float(data["newer_at"]),
        )


@dataclass(slots=True)
class Unrest:
    """Most of the picture has changed, and it is not known yet to what."""

    since: float
    held: bool  # its frames are held back
    told: bool  # what comes of it is reported


@dataclass(slots=True)
class SightCheck:
    """The scene has changed: can the camera still see?"""

    since: float
    tampered: bool = False
    good_since: float | None = None


class SceneChangeDetector:
    """Detects scene changes of one camera; `observe` takes every frame, in order."""

    def __init__(self) -> None:
        self._references: ReferencePictures | None = None  # from the first frame on
        self._usual: UsualPicture | None = None
        self._unrest: Unrest | None = None
        self._check: SightCheck | None = None
        self._free_until = 0.0  # no frame is held back before
        self._reported: list[float] = []  # times of the last BLINKS changes

    @property
    def tampered(self) -> bool:
        """The picture has been dark, empty or blurred ever since a scene change."""
        return self._check is not None and self._check.tampered

    def observe(self, pixels: Pixels, at: float) -> SceneVerdict:
        """Judge the next frame, (H, W, 3) uint8 RGB; all frames of a camera are of one size."""
        now = SceneSignature.from_pixels(pixels)
        change = self._follow_scene(now, at)
        events: list[SceneReport] = []
        if change:
            events.append(("scene_change", change.detail))
        if self._unrest is None:
            events += self._follow_sight(now, at)
        settled = not change and (self._unrest is None or not self._unrest.held)
        return SceneVerdict(settled, change, events)

    def _follow_scene(self, now: SceneSignature, at: float) -> SceneChange | None:
        """Return what has changed, once that is sure."""
        if self._references is None:
            self._references = ReferencePictures.from_signature(now, at)
        references = self._references
        if self._unrest:
            return self._settle(references, self._unrest, now, at)
        references.follow(now, at)
        if references.change(now):
            blinks = len(self._reported) == BLINKS and elapsed_s(self._reported[0], at) < BLINKS_S
            free = 0 < self._free_until - at <= RESTLESS_FREE_S
            self._unrest = Unrest(at, held=not (blinks or free), told=not blinks)
            references.replace_newest(now, at)
        return None

    def _settle(
        self, references: ReferencePictures, unrest: Unrest, now: SceneSignature, at: float
    ) -> SceneChange | None:
        change = references.change(now)
        steady = references.follow_unrest(now, at)
        if change and not steady and elapsed_s(unrest.since, at) < UNSETTLED_MAX_S:
            return None
        self._unrest = None
        if change is None:
            references.replace_newest(now, at)
            self._free_until = at + FLASH_FREE_S
            return None
        self._references = ReferencePictures.from_signature(now, at)
        if self._check is None:
            self._check = SightCheck(unrest.since)
        if not steady:
            self._free_until = at + RESTLESS_FREE_S
        if not (unrest.told and (steady or unrest.held)):
            return None
        self._reported = [*self._reported, at][-BLINKS:]
        return SceneChange(change, references.lasting, now)

    def _follow_sight(self, now: SceneSignature, at: float) -> list[SceneReport]:
        """Return whether the picture was lost or restored since the scene changed."""
        if self._usual is None:
            self._usual = UsualPicture.from_signature(now, at)
        check = self._check
        if check is None:
            self._usual.follow(now, at)
            return []
        loss = self._usual.loss(now)
        if loss:
            check.good_since = None
            if check.tampered or elapsed_s(check.since, at) < TAMPERED_S:
                return []
            check.tampered = True
            return [("tampered", f"the picture has been {loss} since it changed")]
        if check.good_since is None:
            check.good_since = at
        if elapsed_s(check.good_since, at) < GOOD_S:
            return []
        self._check = None
        self._usual = UsualPicture.from_signature(now, at)
        return [("restored", "the picture can be seen again")] if check.tampered else []

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON-able values, below 4 KB; `from_json` continues exactly."""
        return {
            "memory": self._references and self._references.to_json(),
            "usual": self._usual and asdict(self._usual),
            "unrest": self._unrest and asdict(self._unrest),
            "doubt": self._check and asdict(self._check),
            "free_until": self._free_until,
            "told": self._reported,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SceneChangeDetector:
        """Raises KeyError, TypeError or ValueError on anything that `to_json` did not make."""
        detector = cls()
        if data["memory"]:
            detector._references = ReferencePictures.from_json(data["memory"])
        if data["usual"]:
            detector._usual = UsualPicture(**data["usual"])
        if data["unrest"]:
            detector._unrest = Unrest(**data["unrest"])
        if data["doubt"]:
            detector._check = SightCheck(**data["doubt"])
        detector._free_until = float(data["free_until"])
        detector._reported = [float(at) for at in data["told"]]
        return detector


def elapsed_s(since: float, at: float) -> float:
    """Return the seconds between; a clock that was set back has passed every limit."""
    return at - since if at >= since else math.inf
