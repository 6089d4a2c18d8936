"""Typed access to the bus. Nothing on it survives a crash of its server: expect empty answers."""

from __future__ import annotations

import redis

from lookout.service.core.stages import REPORTING_NAMES
from lookout.service.storage.bus.evidence import EvidenceRequests
from lookout.service.storage.bus.frames import FrameStream
from lookout.service.storage.bus.live_pictures import LivePictures
from lookout.service.storage.bus.outcomes import OutcomeStreams
from lookout.service.storage.bus.reports import Reports
from lookout.service.storage.redis import keys

# Results of a write, as the scripts return them
ADDED = 1
REPEATED = 0
FENCED = -1  # another worker holds the lease
UNOWNED = -2  # nobody holds the lease: it ran out, or the bus was restarted
LOST = -3  # the frame before this one, or its outcome, is not on the bus


class Bus(FrameStream, OutcomeStreams, Reports, EvidenceRequests, LivePictures):
    """All subjects of the bus over one client. Every method may raise one of UNAVAILABLE."""

    def __init__(
        self, client: redis.Redis, *, frames_kept: int, scores_kept: int, heats_kept: int
    ) -> None:
        FrameStream.__init__(self, client, frames_kept=frames_kept)
        OutcomeStreams.__init__(self, client, scores_kept=scores_kept, heats_kept=heats_kept)

    def forget(self, camera: str) -> None:
        """Drop everything the bus holds of a removed camera but its leases, which run out."""
        of_camera = (
            keys.frames,
            keys.scores,
            keys.heat,
            keys.gaps,
            keys.cursor,
            keys.snapshot_cursor,
            keys.ingest_report,
            keys.inference_report,
            keys.evidence,
            keys.looked_at,
            keys.live_picture,
            keys.counters,
        )
        owners = [keys.owner(stage, camera) for stage in REPORTING_NAMES]
        self._redis.delete(*(key(camera) for key in of_camera), *owners)
