"""Suppressions: look-alikes of an alert that a person answered are not told for a time."""

from __future__ import annotations

import dataclasses
import time
from typing import cast

from lookout.models.scoring.alert_regions import AlertRegion
from lookout.models.scoring.look_alikes import AlertLook
from lookout.service.core.errors import BrokenMessageError, ConflictError, NotFoundError
from lookout.service.core.messages import AlertVerdict
from lookout.service.storage.redis import codec, keys
from lookout.service.storage.store.mending import SettingAside

MAX_SUPPRESSIONS = 100  # of a camera


@dataclasses.dataclass(frozen=True, slots=True)
class Suppression:
    """Alerts of one series that look like these are not told, until a time."""

    id: str  # of the alert that was answered
    series: str  # see `Alert.series`
    zone: str | None
    verdict: AlertVerdict
    created_at: float  # s, UTC
    created_by: str
    expires_at: float
    regions: list[AlertRegion]
    looks: list[AlertLook] = dataclasses.field(default_factory=list)


class Suppressions(SettingAside):
    """The suppressions of every camera, one for each answered alert at most."""

    def suppress(self, camera: str, suppression: Suppression) -> None:
        """Add a suppression, or renew it; those that are over go.

        Raises ConflictError where there are too many.
        """
        key = keys.suppressions(camera)
        known = self.suppressions(camera)
        over = cast(list[bytes], self._redis.hkeys(key))
        gone = [field for field in over if field.decode(errors="replace") not in known]
        if gone:
            self._redis.hdel(key, *gone)
        if suppression.id not in known and len(known) >= MAX_SUPPRESSIONS:
            raise ConflictError(
                f"{camera!r} has {MAX_SUPPRESSIONS} suppressions, and may have no more: revoke one",
                code="too_many_suppressions",
                most=MAX_SUPPRESSIONS,
            )
        self._redis.hset(key, suppression.id, codec.dump(suppression))

    def suppressions(self, camera: str) -> dict[str, Suppression]:
        """Return the suppressions that are not over, by id; what cannot be read is left out."""
        rows = cast(dict[bytes, bytes], self._redis.hgetall(keys.suppressions(camera)))
        now = time.time()
        found = {}
        for field, text in rows.items():
            try:
                one = codec.load(Suppression, text)
                codec.finite(one.created_at)
                codec.finite(one.expires_at)
            except (BrokenMessageError, ValueError) as error:
                name = field.decode(errors="replace")
                self.mark(camera, f"suppression {name!r} cannot be read: {error}")
                continue
            if one.expires_at > now:
                found[one.id] = one
        return found

    def revoke_suppression(self, camera: str, suppression: str) -> None:
        """Remove a suppression. Raises NotFoundError."""
        if not self._redis.hdel(keys.suppressions(camera), suppression):
            raise NotFoundError(
                f"camera {camera!r} has no suppression {suppression!r}", code="no_suppression"
            )
