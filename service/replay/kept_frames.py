"""The frames of a period of a camera, as far as the learning stage has kept its footage."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from lookout.models.errors import VideoError
from lookout.models.media.clip_reader import read_clip
from lookout.models.media.lossless_clip import captured_times
from lookout.models.media.preprocess import Preprocess
from lookout.service.core.camera import Camera
from lookout.service.core.errors import FootageError, Reason
from lookout.service.core.messages import Frame, FrameId
from lookout.service.core.replay import KeptPart
from lookout.service.learning.footage import Segment, list_segments
from lookout.service.replay.recording import MOST_NOTICES, RecordedFrame
from lookout.service.storage.bus.counters import WINDOW

MINUTE_S = 60.0


@dataclass(slots=True)
class KeptFrames:
    """Reads the kept segments of a period, once, in order of time. A `ReplaySource`.

    A frame has its number and its time of then, so that a window never reaches over what was not
    kept. Segments that are removed meanwhile are counted and passed over.
    """

    camera: Camera
    size: Preprocess
    begins_s: float  # s, UTC
    ends_s: float
    segments: Sequence[Segment]  # that overlap the period, ascending by time
    frames: int = 0
    kept_s: float = 0.0
    vanished: int = 0  # segments
    _unreadable: list[str] = field(default_factory=list)
    _untimed: int = 0  # segments of versions that kept no time of each frame
    _resized: int = 0  # segments

    @classmethod
    def of(
        cls,
        folder: Path,
        camera: Camera,
        size: Preprocess,
        period_s: tuple[float, float],
        zone: datetime.tzinfo,
    ) -> KeptFrames:
        """Return the frames of a camera's footage in a period (begin and end, s, UTC).

        zone: of the times in an error. Raises FootageError where nothing of the period is kept.
        """
        kept = list_segments(folder)
        found = [one for one in kept if one.overlaps(*period_s)]
        if not found:
            asked = " to ".join(moment(at, zone) for at in period_s)
            what = Reason(
                "no footage of this camera is kept: `learning` says whether it is recorded",
                code="footage_not_recorded",
            )
            if kept:
                ends_s = max(one.ends_ms for one in kept) / 1000
                seconds = sum(one.seconds for one in kept)
                first, last = moment(kept[0].begins_ms / 1000, zone), moment(ends_s, zone)
                what = Reason(
                    f"kept are {seconds:.0f} s, from {first} to {last}",
                    code="footage_kept",
                    seconds=round(seconds),
                    first=first,
                    last=last,
                )
            raise FootageError(
                f"nothing is kept of {asked}; {what}", code="footage_unkept", asked=asked, why=what
            )
        return cls(camera, size, *period_s, found)

    @property
    def name(self) -> str:
        """Empty: it is no file."""
        return ""

    @property
    def part(self) -> KeptPart:
        """Share of the period that was there."""
        asked_s = self.ends_s - self.begins_s
        return KeptPart(
            asked_s=asked_s,
            kept_s=round(min(asked_s, self.kept_s), 3),
            segments=len(self.segments) - self.vanished - len(self._unreadable),
            vanished=self.vanished,
        )

    def notes(self) -> list[str]:
        """Return what is to be known of the frames, a line each."""
        part = self.part
        unit_s, unit = (MINUTE_S, "minutes") if part.asked_s >= 2 * MINUTE_S else (1.0, "seconds")
        notes = [
            f"{part.kept_s / unit_s:.2g} of {part.asked_s / unit_s:.4g} {unit} are kept, in "
            f"{part.segments} segments: a score needs frames in a row"
        ]
        if self.vanished:
            notes.append(f"{self.vanished} segments were removed while the replay ran")
        if self._untimed:
            notes.append(
                f"{self._untimed} segments are of an older version: their frames are evenly spaced"
            )
        if self._resized:
            notes.append(f"{self._resized} segments are resized: the model takes another size now")
        return notes + self._unreadable[:MOST_NOTICES]

    def frames_after(self, least_session: int) -> Iterator[RecordedFrame]:
        """Yield the frames of the period; their sessions are `least_session` or later."""
        sessions: dict[int, int] = {}
        last: FrameId | None = None
        for segment in self.segments:
            session = sessions.setdefault(segment.first.session, least_session + len(sessions))
            read = self._read(segment)
            for frame in read:
                numbered = replace(frame, session=session)
                before = last.seq if last is not None and last.session == session else -1
                missing = numbered.seq - before - 1
                if missing < 0:  # the clock was set back: it has been taken
                    continue
                last = numbered.id
                self.frames += 1
                yield RecordedFrame(
                    replace(numbered, skipped=missing, skipped_for=WINDOW if missing else ""),
                    frame.pixels,
                )
            self.kept_s += segment.seconds * len(read) / segment.frames

    def _read(self, segment: Segment) -> list[Frame]:
        """Return the frames of a segment that lie in the period; none where it cannot be read."""
        try:
            pixels = read_clip(segment.path, self.size)
            times = captured_times(segment.path)
        except VideoError as error:
            if segment.path.exists():
                self._unreadable.append(str(error))
            else:
                self.vanished += 1
            return []
        if len(times) != len(pixels):
            self._untimed += 1
            times = list(np.linspace(segment.begins_ms, segment.ends_ms, len(pixels)) / 1000)
        self._resized += (segment.height_px, segment.width_px) != pixels.shape[1:3]
        session, first = segment.first
        return [
            Frame(self.camera.id, session, first + number, at, frame, self.camera.revision)
            for number, (at, frame) in enumerate(zip(map(float, times), pixels, strict=True))
            if self.begins_s <= at <= self.ends_s
        ]


def moment(at_s: float, zone: datetime.tzinfo) -> str:
    """Return a time (s, UTC) for a person, in a zone."""
    return datetime.datetime.fromtimestamp(at_s, zone).isoformat(sep=" ", timespec="seconds")
