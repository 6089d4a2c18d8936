"""/cameras/{camera}/suppressions: what the answers to alerts suppress, and at which price."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter
from pydantic import BaseModel, Field

from lookout.models.scoring.look_alikes import are_look_alikes
from lookout.service.api.alert_views import RegionView
from lookout.service.api.dependencies import Services, ServicesDep
from lookout.service.api.json_body import JsonRoute
from lookout.service.core.accounts import Identity
from lookout.service.core.errors import NotFoundError
from lookout.service.core.messages import Alert, AlertVerdict
from lookout.service.storage.store.alert_evidence import RegionRecord
from lookout.service.storage.store.store import Store
from lookout.service.storage.store.suppressions import Suppression

router = APIRouter(tags=["alerts"], route_class=JsonRoute)

TEACHING: tuple[AlertVerdict, ...] = ("false_alarm", "usual_here")
DAY_S = 86_400.0
LOOKED_BACK = 1000
"""The newest alerts of the camera, by which a suppression is weighed."""


class SuppressionView(BaseModel):
    """A suppression, and what it does."""

    id: str = Field(description="of the alert that was answered")
    camera: str
    zone: str | None = Field(description="it holds for alerts of this watched zone alone")
    verdict: AlertVerdict
    created_at: float
    created_by: str
    expires_at: float
    regions: list[RegionView] = Field(description="what is not told where it is seen again")
    suppressed: int = Field(
        description=f"alerts that it suppressed, of the camera's newest {LOOKED_BACK}"
    )
    true_alerts: int = Field(description="of these, those with the verdict `true`")
    true_hidden: int = Field(description="its price: how many of those it would have hidden")


class SuppressionList(BaseModel):
    items: list[SuppressionView]


@dataclass(frozen=True, slots=True)
class PastAlert:
    """An alert of the past, and what it showed at its opening."""

    alert: Alert
    verdict: AlertVerdict | None
    regions: RegionRecord

    @property
    def is_true(self) -> bool:
        """Whether a person said that there was something."""
        return self.verdict == "true"


@router.get("/cameras/{camera}/suppressions", operation_id="list_suppressions")
def list_suppressions(camera: str, services: ServicesDep) -> SuppressionList:
    """Return the suppressions of a camera that are not over, the newest first."""
    store = services.store
    store.camera(camera)
    past = past_alerts(store, camera)
    found = sorted(store.suppressions(camera).values(), key=lambda one: -one.created_at)
    return SuppressionList(items=[weighed(camera, one, past) for one in found])


@router.delete(
    "/cameras/{camera}/suppressions/{suppression}",
    status_code=204,
    operation_id="revoke_suppression",
)
def revoke_suppression(camera: str, suppression: str, services: ServicesDep) -> None:
    """Revoke a suppression: what it hid is told again, an open alert too. The verdict stays."""
    services.store.camera(camera)
    services.store.revoke_suppression(camera, suppression)


def past_alerts(store: Store, camera: str) -> list[PastAlert]:
    """Return the newest alerts of a camera."""
    alerts = store.alerts(camera, before=None, limit=LOOKED_BACK)
    ids = [alert.id for alert in alerts]
    answers = store.alert_answers(camera, ids)
    rows = zip(alerts, answers, store.alert_regions(camera, ids), strict=True)
    return [PastAlert(alert, answer.verdict, regions) for alert, answer, regions in rows]


def weighed(camera: str, one: Suppression, past: Sequence[PastAlert]) -> SuppressionView:
    """Return the view of a suppression, with what it would have done to past alerts."""
    true_ones = [each for each in past if each.is_true]
    hidden = [
        each
        for each in true_ones
        if each.alert.series == one.series
        and each.regions.open_look
        and are_look_alikes(each.regions.open_look, one.looks)
    ]
    return SuppressionView(
        id=one.id,
        camera=camera,
        zone=one.zone,
        verdict=one.verdict,
        created_at=one.created_at,
        created_by=one.created_by,
        expires_at=one.expires_at,
        regions=[RegionView.model_validate(region) for region in one.regions],
        suppressed=sum(each.alert.suppressed_by == one.id for each in past),
        true_alerts=len(true_ones),
        true_hidden=len(hidden),
    )


def learn_verdict(
    services: Services, alert: Alert, verdict: AlertVerdict | None, sender: Identity
) -> None:
    """Begin, renew or end what an answer suppresses.

    An alert whose look is not kept, or of a camera that is gone, teaches nothing. Raises
    ConflictError where the camera has too many suppressions.
    """
    store = services.store
    days = services.settings.suppress_days
    (record,) = store.alert_regions(alert.camera, [alert.id])
    if verdict is None or verdict not in TEACHING:
        with contextlib.suppress(NotFoundError):  # it suppressed nothing
            store.revoke_suppression(alert.camera, alert.id)
    elif record.looks and days and alert.kind == "anomaly" and alert.camera in store.cameras():
        now = time.time()
        taught = Suppression(
            id=alert.id,
            series=alert.series,
            zone=alert.zone,
            verdict=verdict,
            created_at=now,
            created_by=sender.name,
            expires_at=now + days * DAY_S,
            regions=record.open + record.peak,
            looks=record.looks,
        )
        store.suppress(alert.camera, taught)
