"""The outcome of each alert's clip, apart from the alerts: ingest writes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.evidence import NO_CLIP, ClipRecord
from lookout.service.storage.redis import codec, keys
from lookout.service.storage.store.mending import SettingAside


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
