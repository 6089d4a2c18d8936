"""/cameras/{camera}/offered-masks: places that alarm often and alone, to be ignored or not."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from lookout.models.scoring.offered_masks import (
    OfferedMask,
    PastAlarm,
    corners,
    offered_masks,
)
from lookout.models.vision.zones import check_zones, polygon_of
from lookout.service.api.dependencies import ServicesDep
from lookout.service.api.json_body import JsonRoute
from lookout.service.api.suppressions import LOOKED_BACK, TEACHING, PastAlert, past_alerts
from lookout.service.core.camera import ZoneSettings

router = APIRouter(tags=["alerts"], route_class=JsonRoute)

MOST_NAMED = 20
DIGITS = 4
EXAMPLE: dict[str, JsonValue] = {
    "zone": {
        "name": "offered-1",
        "kind": "ignore",
        "points": [[0.1, 0.1], [0.2, 0.1], [0.2, 0.3], [0.1, 0.3]],
        "alert": None,
    },
    "spared": 14,
    "answered": 3,
    "hidden": 1,
    "spared_alerts": ["gate:1785000000000-8"],
    "hidden_alerts": ["gate:1785000000000-420"],
}


class OfferedMaskView(BaseModel):
    """A zone to ignore, and what it would have done to the camera's past alerts."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    zone: ZoneSettings = Field(description="to be added to the camera's `zones`, or not")
    spared: int = Field(
        description="alerts without the verdict `true` that showed nothing outside of it"
    )
    answered: int = Field(description="of these, those answered `false_alarm` or `usual_here`")
    hidden: int = Field(description="its price: alerts with the verdict `true` that would be gone")
    spared_alerts: list[str] = Field(
        description=f"the newest {MOST_NAMED} of `spared`: their pictures show what it is about"
    )
    hidden_alerts: list[str] = Field(description=f"the newest {MOST_NAMED} of `hidden`")


class OfferedMaskList(BaseModel):
    items: list[OfferedMaskView]
    alerts: int = Field(
        description=f"those that were weighed: of the camera's newest {LOOKED_BACK}, those of kind "
        "`anomaly` whose regions are kept, and that nothing suppressed"
    )
    since: float | None = Field(description="when the oldest of them opened; null: there is none")


@router.get("/cameras/{camera}/offered-masks", operation_id="list_offered_masks")
def list_offered_masks(camera: str, services: ServicesDep) -> OfferedMaskList:
    """Return places that alarm often and alone, the noisiest first. None is ever ignored by itself.

    A place is offered once five alerts showed nothing else.
    """
    spec = services.store.camera(camera)
    past = [
        one
        for one in past_alerts(services.store, camera)
        if one.alert.kind == "anomaly"
        and one.alert.suppressed_by is None
        and (one.regions.open or one.regions.peak)
    ]
    alarms = [PastAlarm([*one.regions.open, *one.regions.peak], one.is_true) for one in past]
    ignored = [polygon_of(zone.points) for zone in spec.zones if zone.kind == "ignore"]
    items: list[OfferedMaskView] = []
    for mask in offered_masks(alarms, ignored):
        zones = [*spec.zones, *(one.zone for one in items)]
        view = view_of(mask, past, new_name(zones))
        try:
            check_zones([zone.as_zone() for zone in (*zones, view.zone)])
        except ValueError:  # there are too many zones, or too little would be left
            continue
        items.append(view)
    since = min((one.alert.opened_at for one in past), default=None)
    return OfferedMaskList(items=items, alerts=len(past), since=since)


def new_name(zones: Sequence[ZoneSettings]) -> str:
    """Return a name that none of the zones has."""
    taken = {zone.name for zone in zones}
    names = (f"offered-{number}" for number in itertools.count(1))
    return next(name for name in names if name not in taken)


def view_of(mask: OfferedMask, past: Sequence[PastAlert], name: str) -> OfferedMaskView:
    """Return a mask with the alerts that its numbers stand for; `past`: the newest first."""
    left, top, right, bottom = (round(share, DIGITS) for share in corners(mask.box))
    outline = [[left, top], [right, top], [right, bottom], [left, bottom]]
    ids = [one.alert.id for one in past]
    return OfferedMaskView(
        zone=ZoneSettings(name=name, kind="ignore", points=outline),
        spared=len(mask.spared),
        answered=sum(past[number].verdict in TEACHING for number in mask.spared),
        hidden=len(mask.hidden),
        spared_alerts=[ids[number] for number in mask.spared[:MOST_NAMED]],
        hidden_alerts=[ids[number] for number in mask.hidden[:MOST_NAMED]],
    )
