"""Typed access to the store, a Redis that writes to disk before it answers."""

from __future__ import annotations

import redis

from lookout.service.storage.redis import keys
from lookout.service.storage.store.accounts import Accounts
from lookout.service.storage.store.alert_answers import AlertAnswers
from lookout.service.storage.store.alert_evidence import (
    AlertClips,
    AlertRegions,
    EvidenceCopyRecords,
)
from lookout.service.storage.store.alerts import Alerts
from lookout.service.storage.store.audit import Audit
from lookout.service.storage.store.camera_events import CameraEvents
from lookout.service.storage.store.camera_secrets import CameraSecrets
from lookout.service.storage.store.cameras import Cameras
from lookout.service.storage.store.history import History
from lookout.service.storage.store.jobs import Jobs
from lookout.service.storage.store.kept_answers import KeptAnswers
from lookout.service.storage.store.learned import Learned
from lookout.service.storage.store.logins import EndedLogins
from lookout.service.storage.store.mending import mends
from lookout.service.storage.store.replays import Replays
from lookout.service.storage.store.sessions import Sessions
from lookout.service.storage.store.sinks import Sinks
from lookout.service.storage.store.snapshots import Snapshots
from lookout.service.storage.store.suppressions import Suppressions


@mends
class Store(
    Accounts,
    Alerts,
    AlertAnswers,
    AlertClips,
    AlertRegions,
    Audit,
    CameraEvents,
    Cameras,
    EndedLogins,
    EvidenceCopyRecords,
    History,
    Jobs,
    KeptAnswers,
    Learned,
    Replays,
    Sessions,
    Sinks,
    Snapshots,
    Suppressions,
):
    """All subjects of the store over one client. Every method may raise one of UNAVAILABLE."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        alerts_kept: int = 10_000,
        secrets: CameraSecrets | None = None,
    ) -> None:
        """Without `secrets`, cameras are written as they are."""
        Alerts.__init__(self, client, alerts_kept=alerts_kept)
        if secrets is not None:
            self._secrets = secrets

    def remove_camera(self, camera: str) -> None:
        """Forget the camera, its events, jobs and what it learned; its alerts stay.

        Raises NotFoundError.
        """
        self.drop_camera(camera)
        self.forget_snapshot(camera)
        self.forget_jobs(camera)
        self.forget_replays(camera)
        of_camera = (keys.alerting, keys.events, keys.history, keys.drift, keys.left_out)
        for key in (*of_camera, keys.suppressions):
            self._redis.delete(key(camera))
        self._redis.hdel(keys.MARKS, camera)
        self._redis.hdel(keys.SELF_TESTS, camera)
