"""Which cameras this worker scores: claimed on the bus by lease, and in the store by epoch."""

from __future__ import annotations

from collections.abc import Mapping

from lookout.service.core.camera import Camera
from lookout.service.core.stages import INFERENCE
from lookout.service.inference.store_link import StoreLink, Taken
from lookout.service.ownership.assignment import Assignment

STAGE = INFERENCE.name


class Ownership:
    """A camera is `coming` between its lease and the store's answer, and `going` until its snapshot is saved."""

    def __init__(self, assignment: Assignment, link: StoreLink) -> None:
        self.assignment = assignment
        self.leases = assignment.leases
        self._link = link
        self.coming: set[str] = set()
        self.going: set[str] = set()

    @property
    def settled(self) -> set[str]:
        """Ours, neither coming nor going."""
        return self.leases.owned() - self.coming - self.going

    def share(self, cameras: Mapping[str, Camera]) -> str | None:
        """Take what is free, up to a fair share; answers a camera to give up, if any. `cameras`: the enabled ones."""
        taken, surplus = self.assignment.rebalance(
            cameras, self.going, may_give=not self._link.away
        )
        for camera in taken:
            self.ask(camera)
        return surplus

    def ask(self, camera: str) -> None:
        """Have the store tell what the camera had learned, under a new epoch."""
        self.coming.add(camera)
        self._link.take(camera)

    def arrived(self, taken: Taken) -> bool:
        """Whether the camera is still ours to begin with."""
        known = taken.camera in self.coming
        self.coming.discard(taken.camera)
        return known and bool(self.leases.token(taken.camera))

    def drop(self, camera: str) -> None:
        """It is ours no longer."""
        self.coming.discard(camera)
        self.going.discard(camera)
        self._link.forget(camera)
        self.leases.release(camera)
