"""Masks that the API offers from the alerts of a camera: never applied, and gone once they are."""

from __future__ import annotations

import numpy as np

from lookout.models.vision.zones import ZoneMask
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests.service.api_server import Api, api, is_problem, one_api
from tests.service.test_suppressions import FLAG, PERSON, Scene, answer

__all__ = ["api", "one_api"]

ELSEWHERE = ((45, 5), (10, 200, 10))


def test_what_alarms_often_and_alone_is_offered_until_it_is_ignored(
    api: Api, bus: Bus, store: Store
) -> None:
    api.settings.__dict__["suppress_days"] = 0.0
    scene = Scene(api, bus, store)
    flags = [scene.alert(FLAG) for _ in range(5)]
    answer(api, flags[0], "false_alarm")
    assert api.get("/cameras/gate/offered-masks").json()["alerts"] == 5
    hidden = scene.alert(FLAG)
    answer(api, hidden, "true")
    answer(api, scene.alert(ELSEWHERE), "true")
    answer(api, scene.alert(PERSON, ELSEWHERE), "true")
    listed = api.get("/cameras/gate/offered-masks").json()
    assert (listed["alerts"], listed["since"]) == (8, flags[0].opened_at)
    (mask,) = listed["items"]
    assert (mask["spared"], mask["answered"], mask["hidden"]) == (5, 1, 1)
    assert mask["spared_alerts"] == [alert.id for alert in reversed(flags)]
    assert mask["hidden_alerts"] == [hidden.id]
    assert api.http.get(f"/api/v1/alerts/{flags[0].id}/picture").status_code == 200
    assert store.camera("gate").zones == []  # nothing is applied by itself

    changed = api.patch("/cameras/gate", {"zones": [mask["zone"]]})
    assert changed.status_code == 200, changed.text
    assert api.get("/cameras/gate/offered-masks").json()["items"] == []
    (zone,) = store.camera("gate").zones
    counted = ZoneMask([zone.as_zone()], 64, 64).weights
    assert not counted[20:30, 30:40].any()
    assert np.count_nonzero(counted == 0) == 14 * 14  # grown by what resizing mixes


def test_a_camera_without_alerts_is_offered_nothing(api: Api, bus: Bus, store: Store) -> None:
    Scene(api, bus, store)
    empty = {"items": [], "alerts": 0, "since": None}
    assert api.get("/cameras/gate/offered-masks").json() == empty
    assert is_problem(api.get("/cameras/none/offered-masks"), 404)
