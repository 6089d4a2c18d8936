"""Asks ingest for the clip and the pictures of each alert: as it opens, peaks and closes."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lookout.models.scoring.alert_regions import AlertRegion, Motion, alert_regions
from lookout.models.scoring.look_alikes import WINDOW, AlertLook, look_at
from lookout.service.alerting.camera_policy import FollowedCamera, FollowedPolicy
from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.evidence import GRACE_S, ClipRecord, EvidenceRequest
from lookout.service.core.messages import AlertEvent, FrameId, Score
from lookout.service.core.settings import Settings
from lookout.service.core.throttle import OutageLog
from lookout.service.storage import clips
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis import codec
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.store.alert_evidence import RegionRecord
from lookout.service.storage.store.store import Store

log = logging.getLogger(__name__)

FULL = "the disk is nearly full (LOOKOUT_CLIPS_FREE_MB)"


@dataclass(slots=True)
class EvidenceAsker:
    """Asks for evidence. Whatever fails, alerts go on without it."""

    settings: Settings
    bus: Bus
    store: Store
    _full: OutageLog = field(default_factory=OutageLog)

    def ask(self, event: AlertEvent) -> None:
        """Ask for the evidence of an alert that has changed."""
        at = self.settings
        alert = event.alert
        if not at.clip_camera_mb or alert.kind in ("unwatched", "test"):
            return
        now = time.time()
        times = (at.clip_before_s, at.clip_after_s, at.clip_most_s)
        request = EvidenceRequest.of(alert, *times, now)
        try:
            if event.event == "new":
                self.store.begin_clip(alert.camera, alert.id, self.first_record(now))
            if dropped := self.bus.ask_evidence(alert.camera, request):
                self.bus.count(alert.camera, "clips_dropped", dropped)
        except UNAVAILABLE as error:
            log.warning(
                "alert %s has no clip: Redis is away or refuses: %s",
                alert.id,
                error,
                extra={"camera": alert.camera},
            )

    def regions(
        self, event: AlertEvent, frame_id: FrameId, part: FollowedPolicy
    ) -> RegionRecord | None:
        """Return regions and looks of an anomaly that has changed; None where they are not known.

        frame_id: of the score that changed it; part: that it is of.
        """
        alert = event.alert
        try:
            (record,) = self.store.alert_regions(alert.camera, [alert.id])
            if event.event == "new":
                part.looks.clear()
                regions, look = self.shown_at(alert.camera, frame_id)
                record = replace(record, open=regions, open_look=look)
            regions, look = self.shown_at(alert.camera, part.peak_id)
            if regions:
                record = replace(record, peak=regions, peak_look=look or record.peak_look)
        except UNAVAILABLE as error:
            about = {"camera": alert.camera}
            log.warning("alert %s has no regions: %s", alert.id, error, extra=about)
            return None
        return replace(record, more_looks=list(part.looks) or record.more_looks)

    def shown_at(
        self, camera: str, at: FrameId | None
    ) -> tuple[list[AlertRegion], AlertLook | None]:
        """Return what stands out at a score, and how that looks.

        Nothing and None where its heatmap is gone, or not known; no look where the frame is gone.
        Raises one of UNAVAILABLE.
        """
        found = [] if at is None else self.places_at(camera, at)
        if at is None or not found:
            return [], None
        ids = [FrameId(at.session, seq) for seq in range(max(0, at.seq - WINDOW + 1), at.seq + 1)]
        try:
            frames = [self.bus.frame(camera, one) for one in ids]
            heats = [self.bus.heat(camera, one) for one in ids]
        except BrokenMessageError as error:
            log.warning("what stands out cannot be read: %s", error, extra={"camera": camera})
            return found, None
        if frames[-1] is None:
            return found, None
        look = look_at(
            [one.pixels for one in frames if one],
            [one.cells for one in heats if one],
            [one.motion for one in found if one.motion],
        )
        return found, look

    def places_at(self, camera: str, at: FrameId) -> list[AlertRegion]:
        """Return what stands out at a score; nothing where its heatmap is gone.

        Raises one of UNAVAILABLE.
        """
        try:
            heat = self.bus.heat(camera, at)
            if heat is None:
                return []
            return alert_regions(heat.cells, codec.load(list[Motion], heat.motions or "[]"))
        except BrokenMessageError as error:
            log.warning("what stands out cannot be read: %s", error, extra={"camera": camera})
            return []

    def follow_regions(self, followed: FollowedCamera, score: Score) -> None:
        """Add what stands out at a score to the tracks of the open alerts that are due.

        Raises one of UNAVAILABLE.
        """
        due = [part for part in followed.parts if part.tracks_due(score)]
        regions = self.places_at(score.camera, score.id) if due else []
        for part in due:
            part.tracks = part.tracks.with_regions(score.captured_at, regions)

    def with_tracks(
        self,
        followed: FollowedCamera,
        events: Sequence[AlertEvent],
        regions: Mapping[str, RegionRecord],
    ) -> dict[str, RegionRecord]:
        """Return the regions of a save, with the tracks of the alerts that have changed.

        regions: by alert. Raises one of UNAVAILABLE.
        """
        found = dict(regions)
        tracks_of = {part.tracks.alert: part.tracks for part in followed.parts}
        for event in events:
            alert = event.alert
            tracks = tracks_of.get(alert.id)
            if tracks is None or not tracks.tracks:
                continue
            record = found.get(alert.id)
            if record is None:
                (record,) = self.store.alert_regions(alert.camera, [alert.id])
            found[alert.id] = replace(record, tracks=tracks.tracks, tracks_dropped=tracks.dropped)
        return found

    def first_record(self, now: float) -> ClipRecord:
        """Return a clip that is about to be made; a failed one while the disk is nearly full.

        That is logged once, and once when there is room again.
        """
        if clips.has_room(self.settings):
            if self._full.worked():
                log.info("there is room for clips again")
            return ClipRecord("pending", due_at=now + self.settings.clip_most_s + GRACE_S)
        if self._full.failed():
            log.warning("alerts open without clips: %s", FULL)
        return ClipRecord("failed", error=FULL)
