"""Evidence of each alert, apart from the alerts: its clip, which ingest makes, its regions,
and the copies of its files in a bucket.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from lookout.models.scoring.alert_regions import AlertRegion
from lookout.models.scoring.alert_tracks import RegionTrack
from lookout.models.scoring.look_alikes import AlertLook
from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.evidence import NO_CLIP, ClipRecord
from lookout.service.storage.redis import codec, keys
from lookout.service.storage.store.mending import SettingAside

LOOKS_KEPT = 500
"""The newest alerts of a camera whose further looks are kept: 1.2 kB each."""


@dataclass(frozen=True, slots=True)
class RegionRecord:
    """Regions of an alert at both of its moments, its looks, and where it was between."""

    open: list[AlertRegion] = field(default_factory=list)
    peak: list[AlertRegion] = field(default_factory=list)
    open_look: AlertLook | None = None  # None: nothing stood out, or its frames were gone
    peak_look: AlertLook | None = None
    more_looks: list[AlertLook] = field(default_factory=list)  # while it was open
    tracks: list[RegionTrack] = field(default_factory=list)
    tracks_dropped: int = 0  # see `AlertTracks.dropped`

    @property
    def looks(self) -> list[AlertLook]:
        """Every look that is kept of it."""
        return [look for look in (self.open_look, self.peak_look) if look] + self.more_looks


class AlertClips(SettingAside):
    """The clips of the alerts of every camera."""

    def begin_clip(self, camera: str, alert_id: str, record: ClipRecord) -> None:
        """Note that a clip is asked for, or why it is not; a record that is there stays."""
        self._redis.hsetnx(keys.alert_clips(camera), alert_id, codec.dump(record))

    def end_clip(self, camera: str, alert_id: str, record: ClipRecord) -> None:
        """Note what became of a clip; where its alert is gone, nothing is noted."""
        if self._redis.hexists(keys.alert_clips(camera), alert_id):
            self._redis.hset(keys.alert_clips(camera), alert_id, codec.dump(record))

    def alert_clips(self, camera: str, ids: Sequence[str]) -> list[ClipRecord]:
        """Return the clips of alerts, in their order; one that cannot be read counts as none."""
        if not ids:
            return []
        texts = cast(list[bytes | None], self._redis.hmget(keys.alert_clips(camera), list(ids)))
        return [self.read_clip(camera, one, text) for one, text in zip(ids, texts, strict=True)]

    def read_clip(self, camera: str, alert_id: str, text: bytes | None) -> ClipRecord:
        """Return a record; where it cannot be read, that there is none, and a mark."""
        if text is None:
            return NO_CLIP
        try:
            record = codec.load(ClipRecord, text)
            codec.finite(record.due_at)
            codec.finite(record.begins_at or 0.0)
            codec.finite(record.seconds or 0.0)
        except (BrokenMessageError, ValueError) as error:
            self.mark(camera, f"the clip of alert {alert_id!r} cannot be read: {error}")
            return NO_CLIP
        return record


class EvidenceCopyRecords(SettingAside):
    """Records of the files that were copied to a bucket, kept as long as the file is there."""

    def evidence_copies(self, camera: str) -> dict[str, str]:
        """Return the stamp of each file that was copied by its name; an empty one: it waits."""
        rows = cast(dict[bytes, bytes], self._redis.hgetall(keys.evidence_copies(camera)))
        return {
            name.decode(errors="replace"): stamp.decode(errors="replace")
            for name, stamp in rows.items()
        }

    def note_evidence(self, camera: str, stamps: Mapping[str, str], gone: Sequence[str]) -> None:
        """Note files that wait or were copied by name, and forget those that are gone."""
        if stamps:
            self._redis.hset(keys.evidence_copies(camera), mapping=cast(dict[Any, Any], stamps))
        if gone:
            self._redis.hdel(keys.evidence_copies(camera), *gone)


class AlertRegions(SettingAside):
    """The regions of the alerts of every camera; `save_alerting` writes them with the alerts."""

    def alert_regions(self, camera: str, ids: Sequence[str]) -> list[RegionRecord]:
        """Return the regions of alerts, in their order; what cannot be read counts as none."""
        if not ids:
            return []
        texts = cast(list[bytes | None], self._redis.hmget(keys.alert_regions(camera), list(ids)))
        return [self.read_regions(camera, one, text) for one, text in zip(ids, texts, strict=True)]

    def read_regions(self, camera: str, alert_id: str, text: bytes | None) -> RegionRecord:
        """Return a record; where it cannot be read, an empty one, and a mark at its camera."""
        if text is None:
            return RegionRecord()
        try:
            return codec.load(RegionRecord, text)
        except BrokenMessageError as error:
            self.mark(camera, f"the regions of alert {alert_id!r} cannot be read: {error}")
            return RegionRecord()

    def drop_old_looks(self, camera: str, opened: int) -> None:
        """Drop the further looks of as many alerts as have just opened, beyond the newest ones.

        An answer to such an alert teaches its opening and its peak.
        """
        last = LOOKS_KEPT + opened - 1
        index = keys.alerts_by_time(camera)
        old = cast(list[bytes], self._redis.zrevrange(index, LOOKS_KEPT, last))
        names = [name.decode(errors="replace") for name in old]
        for name, record in zip(names, self.alert_regions(camera, names), strict=True):
            if record.more_looks:
                text = codec.dump(replace(record, more_looks=[]))
                self._redis.hset(keys.alert_regions(camera), name, text)
