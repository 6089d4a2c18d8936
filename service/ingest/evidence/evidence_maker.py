"""Makes the pictures and the clip of one camera's alerts from a ring of packets."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lookout.models.errors import VideoError
from lookout.models.media.clip_writer import ClipOutput, still
from lookout.models.vision.overlay import jpeg
from lookout.service.core.evidence import ClipRecord, EvidenceRequest
from lookout.service.core.settings import Settings
from lookout.service.storage import clips, pictures
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.store.store import Store

AFTER_S = 1.0
"""A picture is decoded from packets up to so long after it: it may come in another order."""

CLOSE_S = 1.0
"""A picture that was filmed later than this after the time asked for is another one."""


@dataclass(frozen=True, slots=True)
class Codec:
    """The codec of a stream, by which its packets are decoded."""

    name: str
    extradata: bytes | None

    @classmethod
    def of(cls, stream: Any) -> Codec:
        """Return the codec of a video track."""
        context = stream.codec_context
        return cls(context.name, context.extradata)


@dataclass(frozen=True, slots=True)
class Packets:
    """Packets that begin with a keyframe, and when each is shown (s, UTC)."""

    coded: Sequence[Any]
    times: Sequence[float]


@dataclass(slots=True)
class MadeParts:
    """The parts of a request that are made."""

    pictured_open: bool = False
    pictured_peak_at: float | None = None
    clipped: bool = False


@dataclass(slots=True)
class EvidenceMaker:
    """Makes and keeps the evidence of one camera, and says in the store what became of it.

    Whatever fails is a reason in the clip's record and a counter, and never an error to the caller.
    """

    camera: str
    codec: Codec
    settings: Settings
    bus: Bus
    store: Store
    _progress: dict[str, MadeParts] = field(default_factory=dict)

    def progress(self, request: EvidenceRequest) -> MadeParts:
        """Return what was made for a request so far."""
        return self._progress.setdefault(request.alert, MadeParts())

    def forget_all_but(self, requests: Sequence[EvidenceRequest]) -> None:
        """Forget the requests that are no longer there."""
        names = {request.alert for request in requests}
        for alert in self._progress.keys() - names:
            del self._progress[alert]

    def picture(self, alert: str, which: pictures.Which, at: float, packets: Packets) -> None:
        """Keep the picture that was filmed at a time (s, UTC), at the size of the source."""
        if not packets.coded or packets.times[0] > at + CLOSE_S:
            return
        index = max(range(len(packets.times)), key=lambda one: nearness(packets.times[one], at))
        wanted = packets.coded[index]
        pts = wanted.dts if wanted.pts is None else wanted.pts
        with contextlib.suppress(VideoError, OSError, ValueError):
            path = pictures.picture_path(self.settings.data_dir, alert, which)
            pixels = still(self.codec.name, self.codec.extradata, packets.coded, pts)
            pictures.keep(path, jpeg(pixels))

    def clip(self, request: EvidenceRequest, packets: Packets, output: ClipOutput) -> None:
        """Keep the clip, and note what became of it. Raises one of UNAVAILABLE.

        Of an alert that is gone, or whose clip was made or failed before, nothing is made.
        """
        (before,) = self.store.alert_clips(self.camera, [request.alert])
        if before.state != "pending":
            return
        path = clips.clip_path(self.settings.data_dir, request.alert)
        if path.is_file():  # a process before this one was killed before it could say so
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            self.note(request, ClipRecord("ready", size_bytes=len(content), sha256=digest))
            return
        if not clips.has_room(self.settings):
            self.fail(request, "the disk is nearly full (LOOKOUT_CLIPS_FREE_MB)")
            return
        try:
            clip = output.write(packets.coded)
            digest = clips.keep_clip(path, clip.content)
        except (VideoError, OSError) as error:
            text = getattr(error, "strerror", None) or str(error)
            self.fail(request, f"it could not be written: {text}")
            return
        record = ClipRecord(
            "ready",
            begins_at=packets.times[0],
            seconds=clip.seconds,
            size_bytes=len(clip.content),
            sha256=digest,
        )
        self.note(request, record)

    def fail(self, request: EvidenceRequest, error: str) -> None:
        """Note that there will be no clip, and why. Raises one of UNAVAILABLE."""
        (before,) = self.store.alert_clips(self.camera, [request.alert])
        if before.state == "pending":
            self.note(request, ClipRecord("failed", error=error))

    def note(self, request: EvidenceRequest, record: ClipRecord) -> None:
        """Note what became of a clip, and count it. Raises one of UNAVAILABLE."""
        self.store.end_clip(self.camera, request.alert, record)
        with contextlib.suppress(*UNAVAILABLE):
            self.bus.count(self.camera, COUNTERS[record.state])

    def is_late(self, request: EvidenceRequest) -> bool:
        """Tell whether nobody waits for a request any more."""
        return request.is_late(time.time())


COUNTERS = {"ready": "clips_written", "failed": "clips_failed"}


def nearness(shown_at: float, at: float) -> float:
    """Return how well a picture serves for a time: the last one before it does best."""
    if shown_at > at + 1e-3:
        return at - shown_at - 1e6
    return shown_at - at
