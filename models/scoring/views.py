"""Views of one camera: by colour and by infrared light, each with bounds and examples of its own.

A camera that switches to infrared light at dusk shows another picture, and the same one again the
next evening. What was learned of a view is put away when the picture changes, and taken up again
when a picture like it comes back, so that dusk does not start learning again.

A few views are kept. The one that was left the longest time ago is dropped for another.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple

from lookout.models.vision.scene_signature import (
    GRAY_MAX,
    SceneSignature,
    colour_change,
    describe_change,
    focus_change,
    view_change,
)

MOST_PARKED = 3
"""Views that are kept beside the present one. With a memory of places, each adds up to 0.3 MB to a
snapshot."""

LARGEST_MEMORY = 4_000_000
"""Characters of a parked memory, ten times those of a full one."""


class ViewState(NamedTuple):
    """Bounds and memory of a view, as JSON-able values."""

    normalizer: dict[str, Any]
    memory: dict[str, Any] | None  # of places; None: the camera's score does not take it


class ViewSwitch(NamedTuple):
    """The view that a change of the picture leads to."""

    name: str  # such as "infrared 2": the second view that was seen
    learned: ViewState | None  # None: the view is new
    dropped: str | None  # the view that was dropped for the one that was left


@dataclass(frozen=True, slots=True)
class ParkedView:
    """A view that the camera does not show at present."""

    name: str
    pictures: tuple[SceneSignature, ...]  # as it began the last time, and as it was left
    normalizer: dict[str, Any]
    memory: str  # compressed; empty: none

    @classmethod
    def of(cls, name: str, pictures: tuple[SceneSignature, ...], learned: ViewState) -> ParkedView:
        """Return the view with what was learned of it."""
        memory = ""
        if learned.memory is not None:
            packed = zlib.compress(json.dumps(learned.memory).encode())
            memory = base64.b64encode(packed).decode()
        return cls(name, pictures, learned.normalizer, memory)

    def learned(self) -> ViewState:
        """Return what was learned. Raises ValueError where the memory cannot be unpacked."""
        if not self.memory:
            return ViewState(self.normalizer, None)
        unpacker = zlib.decompressobj()
        try:
            packed = base64.b64decode(self.memory, validate=True)
            text = unpacker.decompress(packed, LARGEST_MEMORY)
        except zlib.error as error:
            raise ValueError(f"a parked memory is broken: {error}") from None
        return ViewState(self.normalizer, json.loads(text))

    def is_like(self, now: SceneSignature) -> bool:
        """Return whether a picture is of this view."""
        return any(describe_change(picture, now) is None for picture in self.pictures)

    def to_json(self) -> dict[str, Any]:
        """Return the view as JSON-able values."""
        return {
            "name": self.name,
            "pictures": [picture.to_json() for picture in self.pictures],
            "learner": self.normalizer,
            "memory": self.memory,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ParkedView:
        """Raises ValueError, TypeError or KeyError on anything that `to_json` did not make."""
        pictures = tuple(SceneSignature.from_json(one) for one in data["pictures"])
        return cls(str(data["name"]), pictures, dict(data["learner"]), str(data["memory"]))


class Views:
    """The names and pictures of a camera's views, and what was learned of those not shown."""

    def __init__(self) -> None:
        self._name = ""  # of the present view; empty until the picture has changed once
        self._began: SceneSignature | None = None  # the present view's first picture
        self._parked: list[ParkedView] = []  # the longest ago left first
        self._made = 1  # views so far
        self._dropped = 0

    @property
    def name(self) -> str:
        """Name of the present view; empty until the picture has changed once."""
        return self._name

    @property
    def known(self) -> int:
        """Number of views, the present one among them."""
        return 1 + len(self._parked)

    @property
    def dropped(self) -> int:
        """Number of views that were dropped for others."""
        return self._dropped

    @property
    def parked(self) -> list[ViewState]:
        """Bounds and memories of the other views, the longest ago left first.

        Raises ValueError where a memory cannot be unpacked.
        """
        return [view.learned() for view in self._parked]

    @property
    def is_used(self) -> bool:
        """Whether the picture has changed, so that there is something to store."""
        return bool(self._name)

    def switch(
        self, before: SceneSignature, now: SceneSignature, learned: ViewState | None
    ) -> ViewSwitch:
        """Leave the present view for that of another picture.

        before: the last picture of the present view. learned: of it; None: too little to keep.
        """
        left = self._name or f"{kind_of(before)} 1"
        dropped = None
        if learned is not None:
            self._parked.append(ParkedView.of(left, self._pictures(before), learned))
        self._began = now
        for view in reversed(self._parked):
            if view.is_like(now):
                self._parked.remove(view)
                self._name = view.name
                return ViewSwitch(view.name, view.learned(), None)
        if len(self._parked) > MOST_PARKED:
            dropped = self._parked.pop(0).name
            self._dropped += 1
        self._made += 1
        self._name = f"{kind_of(now)} {self._made}"
        return ViewSwitch(self._name, None, dropped)

    def _pictures(self, before: SceneSignature) -> tuple[SceneSignature, ...]:
        """Return the pictures by which the present view is known.

        The light may drift while it is shown. A picture of another place or colour is of a change
        that was not reported, as those of a light that flashes are.
        """
        began = self._began
        if began is None:
            return (before,)
        if any(change(began, before) for change in (colour_change, view_change, focus_change)):
            return (began,)
        return (began, before)

    def to_json(self) -> dict[str, Any]:
        """Return the views as JSON-able values; `from_json` continues exactly."""
        return {
            "name": self._name,
            "began": self._began and self._began.to_json(),
            "parked": [view.to_json() for view in self._parked],
            "made": self._made,
            "dropped": self._dropped,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Views:
        """Raises ValueError, TypeError or KeyError on anything that `to_json` did not make."""
        views = cls()
        views._name = str(data["name"])
        if data["began"]:
            views._began = SceneSignature.from_json(data["began"])
        views._parked = [ParkedView.from_json(one) for one in data["parked"][-MOST_PARKED:]]
        views._made = int(data["made"])
        views._dropped = int(data["dropped"])
        return views


def kind_of(picture: SceneSignature) -> str:
    """Return "infrared" for a picture without colours, else "colour"."""
    return "infrared" if picture.colour < GRAY_MAX else "colour"
