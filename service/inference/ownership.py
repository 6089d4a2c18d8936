"""The cameras that this worker scores: owned on the bus by lease, in the store by epoch."""

from __future__ import annotations

import time
from collections.abc import Mapping

from lookout.service.core.camera import Camera
from lookout.service.core.stages import INFERENCE
from lookout.service.inference.store_link import StoreLink
from lookout.service.ownership.assignment import Assignment

STAGE = INFERENCE.name

HAND_OVER_LIMIT_S = 1.0
"""A camera is unscored for so long while its last snapshot is on its way, then kept."""


class Ownership:
    """Cameras by lease and by epoch: owned on the bus, and taken over in the store."""

    def __init__(self, assignment: Assignment, link: StoreLink) -> None:
        self.assignment = assignment
        self.leases = assignment.leases
        self._link = link
        self._taking_over: set[str] = set()
        self._handing_over: dict[str, float] = {}  # camera → when it began, monotonic s

    @property
    def handing_over(self) -> frozenset[str]:
        """Owned cameras whose last snapshot is on its way."""
        return frozenset(self._handing_over)

    @property
    def settled(self) -> set[str]:
        """Owned cameras that are neither being taken over nor handed over."""
        return self.leases.owned() - self._taking_over - self._handing_over.keys()

    def share(self, cameras: Mapping[str, Camera]) -> str | None:
        """Take free cameras up to a fair share; return a camera to give up, if any.

        cameras: the enabled ones.
        """
        taken, surplus = self.assignment.rebalance(
            cameras, set(self._handing_over), may_give=not self._link.away
        )
        for camera in taken:
            self.take_over(camera)
        return surplus

    def take_over(self, camera: str) -> None:
        """Request the camera's snapshot from the store, under a new epoch."""
        self._taking_over.add(camera)
        self._link.take(camera)

    def complete_takeover(self, camera: str) -> bool:
        """Note the store's answer; return False where the camera is no longer wanted or owned."""
        was_wanted = camera in self._taking_over
        self._taking_over.discard(camera)
        return was_wanted and bool(self.leases.token(camera))

    def hand_over(self, camera: str) -> None:
        """Keep the lease until the camera's last snapshot is saved."""
        self._handing_over[camera] = time.monotonic()

    def overdue(self) -> set[str]:
        """Return the cameras whose last snapshot the store does not take in time."""
        began_before = time.monotonic() - HAND_OVER_LIMIT_S
        return {name for name, at in self._handing_over.items() if at < began_before}

    def keep(self, camera: str) -> None:
        """Go on with a camera that was being handed over."""
        self._handing_over.pop(camera, None)

    def drop(self, camera: str) -> None:
        """Give the camera up now."""
        self._taking_over.discard(camera)
        self._handing_over.pop(camera, None)
        self._link.forget(camera)
        self.leases.release(camera)
