"""Regions of each alert, at its opening and at its peak, apart from the alerts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from lookout.models.scoring.alert_regions import AlertRegion
from lookout.service.core.errors import BrokenMessageError
from lookout.service.storage.redis import codec, keys
from lookout.service.storage.store.mending import SettingAside


@dataclass(frozen=True, slots=True)
class RegionRecord:
    """Regions of an alert at both of its moments."""

    open: list[AlertRegion] = field(default_factory=list)
    peak: list[AlertRegion] = field(default_factory=list)


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
