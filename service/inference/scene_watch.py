"""Whether a camera still sees what it saw: the picture as a whole is watched, frame by frame.

When most of it changes at once (infrared, lights, a push, a hand over the lens), the frames until it is steady again
are not to be scored. What is soon back as it was is a flash, and no event; what stays is a scene change. A picture that
then stays dark, empty or blurred is that of a camera that was tampered with, until it is restored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lookout.models.vision.scene_signature import SHARP_FLOOR, SHARP_RATIO, Look, change, is_steady
from lookout.service.core.messages import CameraEvent, Frame, FrameId

COMPARED_S = 0.5  # a frame is held against one from half a second to a second before: a fade and a pan are "at once"
LASTING_MAX_S = 10.0
STEADY_S = 0.5
UNSETTLED_MAX_S = 5.0
FLASH_FREE_S, RESTLESS_FREE_S = 5.0, 60.0
"""So long after a flash, or after a change that did not come to rest, no frame is held back: neither a flashing light
nor a camera that is carried about may stop the scoring."""
BLINKS, BLINKS_S = (
    5,
    60.0,
)  # after so many changes in so long, the next are neither held back nor told
TAMPERED_S = 10.0
GOOD_S = 1.0
USUAL_S = 60.0  # time constant
DARK_MAX, DARK_SHARE = 25.0, 0.5  # mean gray of 255, and of the usual
EMPTY_SHARE = 0.2  # of the usual contrast

Kind = Literal["scene_change", "tampered", "restored"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with one frame."""

    settled: bool  # False: do not score it; the window begins anew behind it
    changed: bool  # True once a scene change, at the unsettled frame at which it is sure
    events: list[CameraEvent]


@dataclass(slots=True)
class Usual:
    """What the picture is like as a rule, or was before it changed."""

    at: float  # captured_at of the last picture that went into it
    level: float  # mean gray, 0 to 255
    contrast: float  # standard deviation of the gray of large blocks
    sharpness: float

    @classmethod
    def of(cls, look: Look, at: float) -> Usual:
        return cls(at, look.level, look.contrast, look.sharpness)

    def follow(self, look: Look, at: float) -> None:
        weight = 1 - math.exp(-max(0.0, at - self.at) / USUAL_S)
        self.at = at
        self.level += weight * (look.level - self.level)
        self.contrast += weight * (look.contrast - self.contrast)
        self.sharpness += weight * (look.sharpness - self.sharpness)

    def lost_by(self, look: Look) -> str | None:
        """What the picture has become: dark, empty or blurred. None: it can be seen as well as ever."""
        if look.level < min(DARK_MAX, DARK_SHARE * self.level):
            return "dark"
        if look.contrast < EMPTY_SHARE * self.contrast:
            return "empty"
        dimmed = (
            min(1.0, look.contrast / self.contrast) if self.contrast else 1.0
        )  # by dimmed light, edges fade too
        blurred = look.sharpness + SHARP_FLOOR < SHARP_RATIO * (
            dimmed * self.sharpness + SHARP_FLOOR
        )
        return "blurred" if blurred else None


@dataclass(slots=True)
class Memory:
    """The pictures that a frame is held against. What passes by is in one of them and not in the other."""

    lasting: Look  # the last that was much like the one before it, so with nothing large going by
    lasting_at: float  # captured_at
    before: Look  # from half a second to a second ago
    newer: Look  # at rest the next `before`; in unrest the last that was not like the one before it
    newer_at: float

    @classmethod
    def of(cls, look: Look, at: float) -> Memory:
        return cls(look, at, look, look, at)

    def changed(self, look: Look) -> str | None:
        return change(self.before, look) and change(self.lasting, look)

    def follow(self, look: Look, at: float) -> None:
        """At rest: time goes on."""
        if _passed(self.newer_at, at) < COMPARED_S:
            return
        self.before, self.newer, self.newer_at = self.newer, look, at
        if is_steady(self.lasting, self.before) or _passed(self.lasting_at, at) >= LASTING_MAX_S:
            self.lasting, self.lasting_at = self.before, at

    def steady(self, look: Look, at: float) -> bool:
        """In unrest: whether the picture has been the same for a while."""
        if not is_steady(self.newer, look):
            self.newer, self.newer_at = look, at
        return _passed(self.newer_at, at) >= STEADY_S

    def to_json(self) -> dict[str, Any]:
        times = {"lasting_at": self.lasting_at, "newer_at": self.newer_at}
        return {
            **times,
            **{name: getattr(self, name).as_json() for name in ("lasting", "before", "newer")},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Memory:
        lasting, before, newer = (
            Look.of_json(data[name]) for name in ("lasting", "before", "newer")
        )
        return cls(lasting, float(data["lasting_at"]), before, newer, float(data["newer_at"]))


@dataclass(slots=True)
class Unrest:
    """Most of the picture has changed, and it is not known yet to what."""

    since: float
    held: bool  # its frames are held back
    told: bool  # what comes of it is worth telling


@dataclass(slots=True)
class Doubt:
    """The scene has changed: can the camera still see?"""

    since: float
    tampered: bool = False
    good_since: float | None = None


class SceneWatch:
    """One camera's; it is shown every frame, in order. All times are the frames' own: a replay decides alike."""

    def __init__(self) -> None:
        self._memory: Memory | None = None  # of the first frame on
        self._usual: Usual | None = None
        self._unrest: Unrest | None = None
        self._doubt: Doubt | None = None
        self._free_until = 0.0  # no frame is held back before
        self._told: list[float] = []  # when the last BLINKS changes were told
        self._held: FrameId | None = None
        self._seen: FrameId | None = None  # the newest frame

    @property
    def tampered(self) -> bool:
        """The picture has been dark, empty or blurred ever since a scene change."""
        return self._doubt is not None and self._doubt.tampered

    @property
    def last_unsettled_id(self) -> FrameId | None:
        """The last frame that was not settled. No window may reach back to it, a replayed one neither."""
        return self._held

    def observe(self, frame: Frame) -> Verdict:
        """All frames of a camera are of one size. One that is read again was settled: it still waits for its score."""
        if self._seen is not None and frame.id <= self._seen:
            return Verdict(settled=True, changed=False, events=[])
        self._seen = frame.id
        look, at = Look.at(frame.pixels), frame.captured_at
        changed = self._scene(look, at)
        found: list[tuple[Kind, str]] = [("scene_change", changed)] if changed else []
        if self._unrest is None:
            found += self._sight(look, at)
        settled = not changed and (self._unrest is None or not self._unrest.held)
        if not settled:
            self._held = frame.id
        events = [CameraEvent(kind, frame.camera, *frame.id, at, detail) for kind, detail in found]
        return Verdict(settled, changed is not None, events)

    # Is it the same scene?

    def _scene(self, look: Look, at: float) -> str | None:
        """In words what has changed, once that is sure. None as a rule."""
        memory = self._memory = self._memory or Memory.of(look, at)
        if self._unrest:
            return self._settle(memory, self._unrest, look, at)
        memory.follow(look, at)
        if memory.changed(look):
            self._unrest = self._begin(at)
            memory.newer, memory.newer_at = look, at
        return None

    def _begin(self, at: float) -> Unrest:
        blinks = len(self._told) == BLINKS and _passed(self._told[0], at) < BLINKS_S
        free = 0 < self._free_until - at <= RESTLESS_FREE_S
        return Unrest(at, held=not (blinks or free), told=not blinks)

    def _settle(self, memory: Memory, unrest: Unrest, look: Look, at: float) -> str | None:
        what, steady = memory.changed(look), memory.steady(look, at)
        if what and not steady and _passed(unrest.since, at) < UNSETTLED_MAX_S:
            return None
        self._unrest = None
        if what is None:
            memory.newer, memory.newer_at = look, at
            self._free_until = at + FLASH_FREE_S
            return None
        self._memory = Memory.of(look, at)
        self._doubt = self._doubt or Doubt(unrest.since)
        if not steady:
            self._free_until = at + RESTLESS_FREE_S
        return self._tell(what, at) if unrest.told and (steady or unrest.held) else None

    def _tell(self, what: str, at: float) -> str:
        self._told = [*self._told, at][-BLINKS:]
        return what

    # Can it be seen?

    def _sight(self, look: Look, at: float) -> list[tuple[Kind, str]]:
        usual = self._usual = self._usual or Usual.of(look, at)
        if self._doubt is None:
            usual.follow(look, at)
            return []
        lost = usual.lost_by(look)
        return (
            self._still_lost(self._doubt, lost, at)
            if lost
            else self._seen_again(self._doubt, look, at)
        )

    def _still_lost(self, doubt: Doubt, lost: str, at: float) -> list[tuple[Kind, str]]:
        doubt.good_since = None
        if doubt.tampered or _passed(doubt.since, at) < TAMPERED_S:
            return []
        doubt.tampered = True
        return [("tampered", f"the picture has been {lost} since it changed")]

    def _seen_again(self, doubt: Doubt, look: Look, at: float) -> list[tuple[Kind, str]]:
        if doubt.good_since is None:
            doubt.good_since = at
        if _passed(doubt.good_since, at) < GOOD_S:
            return []
        self._doubt, self._usual = None, Usual.of(look, at)
        return [("restored", "the picture can be seen again")] if doubt.tampered else []

    # As JSON, for who goes on with the camera

    def to_json(self) -> dict[str, Any]:
        """Below 4 KB; who reads it goes on exactly where this one stands."""
        return {
            "memory": self._memory and self._memory.to_json(),
            "usual": self._usual and asdict(self._usual),
            "unrest": self._unrest and asdict(self._unrest),
            "doubt": self._doubt and asdict(self._doubt),
            "free_until": self._free_until,
            "told": self._told,
            "held": self._held,
            "seen": self._seen,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SceneWatch:
        """Raises KeyError, TypeError or ValueError on anything that `to_json` did not make."""
        watch = cls()
        watch._memory = Memory.from_json(data["memory"]) if data["memory"] else None
        watch._usual = Usual(**data["usual"]) if data["usual"] else None
        watch._unrest = Unrest(**data["unrest"]) if data["unrest"] else None
        watch._doubt = Doubt(**data["doubt"]) if data["doubt"] else None
        watch._free_until = float(data["free_until"])
        watch._told = [float(at) for at in data["told"]]
        watch._held = FrameId(*data["held"]) if data["held"] else None
        watch._seen = (
            FrameId(*data["seen"]) if data.get("seen") else None
        )  # not in snapshots of older versions
        return watch


def _passed(since: float, at: float) -> float:
    """Seconds; a clock that was set back has passed every limit."""
    return at - since if at >= since else math.inf
