"""Requests of alerting for clips and pictures, which ingest serves: a bounded hash a camera."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import cast

from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.evidence import EvidenceRequest, oldest_beyond
from lookout.service.storage.bus.mending import Mending
from lookout.service.storage.redis import codec, keys

MOST_REQUESTS = 16
"""A camera's requests that wait; beyond that the oldest drops."""

KEPT_S = 3600
"""A camera's requests go so long after the last one, whoever has died."""


class EvidenceRequests(Mending):
    """The requests of every camera. Every method may raise one of UNAVAILABLE."""

    def ask_evidence(self, camera: str, request: EvidenceRequest) -> int:
        """Ask for evidence, or change what was asked for; return how many older requests drop."""
        key = keys.evidence(camera)
        waiting = {one.alert: one for one in self.evidence_requests(camera)}
        if request.alert in waiting:
            request = replace(request, asked_at=waiting[request.alert].asked_at)
        waiting[request.alert] = request
        dropped = oldest_beyond(list(waiting.values()), MOST_REQUESTS)
        pipe = self._redis.pipeline(transaction=True)
        pipe.hset(key, request.alert, codec.dump(request))
        if dropped:
            pipe.hdel(key, *(one.alert for one in dropped))
        pipe.expire(key, KEPT_S)
        with self.mending([camera]):
            pipe.execute()
        return len(dropped)

    def evidence_requests(self, camera: str) -> list[EvidenceRequest]:
        """Return the requests of a camera, oldest first; one that cannot be read is removed."""
        with self.mending([camera]):
            rows = cast(dict[bytes, bytes], self._redis.hgetall(keys.evidence(camera)))
        requests = []
        for field, text in rows.items():
            try:
                requests.append(codec.load(EvidenceRequest, text))
            except BrokenMessageError:
                self._redis.hdel(keys.evidence(camera), field)
        return sorted(requests, key=lambda request: request.asked_at)

    def cameras_with_evidence_requests(self, cameras: Iterable[str]) -> list[str]:
        """Return those of the cameras that have requests, in one round trip."""
        names = list(cameras)
        pipe = self._redis.pipeline(transaction=False)
        for camera in names:
            pipe.exists(keys.evidence(camera))
        found = pipe.execute() if names else []
        return [camera for camera, is_there in zip(names, found, strict=True) if is_there]

    def finish_evidence(self, camera: str, alert: str) -> None:
        """Remove a request: nothing more will be made for it."""
        self._redis.hdel(keys.evidence(camera), alert)
