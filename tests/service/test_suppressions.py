"""Answers that suppress: look-alikes are kept and not told, until they show something else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from lookout.models.arrays import Pixels
from lookout.service.alerting.alert_pictures import AlertPictures
from lookout.service.alerting.deliveries import Delivery
from lookout.service.alerting.worker import AlertingWorker
from lookout.service.core.messages import Alert, AlertEvent, Frame, Heat
from lookout.service.core.sinks import SinkRecord
from lookout.service.ownership.assignment import Assignment
from lookout.service.ownership.leases import open_leases
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis import keys
from lookout.service.storage.store.store import Store
from lookout.service.storage.store.suppressions import MAX_SUPPRESSIONS, Suppression
from tests.owning import add_frames, add_scores
from tests.service.api_server import Api, api, camera, is_problem, one_api, score

__all__ = ["api", "one_api"]

FLAG = ((20, 30), (200, 40, 40))  # rows, columns of its first cell; its colour
PERSON = ((24, 32), (30, 60, 120))  # at the same place
Thing = tuple[tuple[int, int], tuple[int, int, int]]


class Scene:
    """A camera whose scores rise where things are shown, with alerting and a sink that counts."""

    name = "sink"

    def __init__(self, at: Api, bus: Bus, store: Store) -> None:
        store.add_camera(camera("gate"))
        settings = at.settings
        assignment = Assignment("alerting", bus, open_leases(settings, "alerting"))
        pictures = AlertPictures(settings.data_dir, bus)
        self.bus, self.store = bus, store
        self.alerting = AlertingWorker(settings, bus, store, assignment, store.cameras, pictures)
        self.told: list[AlertEvent] = []
        record = SinkRecord(id="sink", url="https://hooks.example/", created_at=0.0)
        self.delivery = Delivery(self, bus, store, open_leases(settings, "delivery"), record)
        self.delivery.step()
        self.seq = 0

    def deliver(self, event: AlertEvent) -> None:
        self.told.append(event)

    def show(self, things: Sequence[Thing], frames: int = 8) -> None:
        """Show things for some frames, or nothing; a tenth of a second each."""
        for _ in range(frames):
            cells = np.zeros((64, 64), np.uint16)
            pixels: Pixels = np.full((64, 64, 3), 128, np.uint8)
            for (top, left), rgb in things:
                cells[top : top + 10, left : left + 10] = 20_000
                pixels[top : top + 10, left : left + 10] = rgb
            seq = self.seq
            add_frames(self.bus, Frame("gate", 1000, seq, 1000.0 + seq / 10, pixels))
            value = 0.9 if things else 0.1
            add_scores(self.bus, [(score("gate", seq, value), Heat("gate", 1000, seq, cells))])
            self.seq += 1
        self.alerting.step()
        self.delivery.step()

    def alert(self, *things: Thing) -> Alert:
        """Show things until their alert is over; return it."""
        self.show(things)
        self.show([], 30)
        (newest,) = self.store.alerts("gate", before=None, limit=1)
        assert newest.state == "closed"
        return newest


@pytest.fixture
def scene(api: Api, bus: Bus, store: Store) -> Scene:
    return Scene(api, bus, store)


def answer(api: Api, alert: Alert, verdict: str | None) -> dict[str, object]:
    answered = api.patch(f"/alerts/{alert.id}", {"verdict": verdict})
    assert answered.status_code == 200, answered.text
    view: dict[str, object] = answered.json()
    return view


def test_a_look_alike_of_a_false_alarm_is_kept_and_not_told(
    scene: Scene, api: Api, store: Store, bus: Bus
) -> None:
    first = scene.alert(FLAG)
    assert answer(api, first, "false_alarm")["suppresses_until"]
    told = len(scene.told)
    again = scene.alert(FLAG)
    assert again.suppressed_by == first.id
    assert len(scene.told) == told
    assert bus.counters("gate")["alerts_suppressed"] == 1
    listed = api.get("/alerts", suppressed="true").json()["items"]
    assert [one["id"] for one in listed] == [again.id]
    (shown,) = api.get("/cameras/gate/suppressions").json()["items"]
    assert (shown["id"], shown["suppressed"]) == (first.id, 1)
    assert 'lookout_alerts_suppressed_total{camera="gate"} 1' in api.http.get("/metrics").text


def test_what_waves_repeats_itself_though_it_heats_other_cells(scene: Scene, api: Api) -> None:
    (top, left), rgb = FLAG
    answer(api, scene.alert(FLAG), "false_alarm")
    assert scene.alert(((top + 2, left), rgb)).suppressed_by
    assert scene.alert(((top + 10, left), rgb)).suppressed_by is None


def test_an_alert_that_is_open_and_suppressed_counts_as_none_that_is_open(
    scene: Scene, api: Api, store: Store
) -> None:
    answer(api, scene.alert(FLAG), "usual_here")
    scene.show([FLAG])
    assert len(store.open_alerts("gate")) == 1
    assert store.alerting_overview(["gate"])["gate"].open == 0


def test_another_event_at_the_same_place_is_told(scene: Scene, api: Api) -> None:
    answer(api, scene.alert(FLAG), "false_alarm")
    other = scene.alert(PERSON)
    assert other.suppressed_by is None
    assert [event.event for event in scene.told[-2:]] == ["new", "end"]
    assert scene.told[-1].alert.id == other.id


def test_an_answer_knows_how_the_alert_looked_later(scene: Scene, api: Api, store: Store) -> None:
    scene.show([FLAG])  # it opens after half a second
    scene.show([PERSON], 20)
    first = scene.alert(PERSON)
    (record,) = store.alert_regions("gate", [first.id])
    assert len(record.more_looks) == 9  # 0.1 to 2.6 s after its opening, ever more rarely
    answer(api, first, "usual_here")
    assert scene.alert(FLAG).suppressed_by == scene.alert(PERSON).suppressed_by == first.id


def test_old_alerts_lose_their_further_looks_and_still_teach(
    scene: Scene, api: Api, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookout.service.storage.store.alert_evidence.LOOKS_KEPT", 1)
    first, second = scene.alert(FLAG), scene.alert(PERSON)
    old, new = store.alert_regions("gate", [first.id, second.id])
    assert (old.open_look is not None, old.more_looks) == (True, [])
    assert new.more_looks
    answer(api, first, "usual_here")
    assert scene.alert(FLAG).suppressed_by == first.id


def test_an_event_during_a_suppressed_alert_is_told(scene: Scene, api: Api, store: Store) -> None:
    answer(api, scene.alert(FLAG), "false_alarm")
    scene.show([FLAG])
    (hidden,) = store.open_alerts("gate")
    assert hidden.suppressed_by
    told = len(scene.told)
    scene.show([FLAG, ((50, 5), (10, 200, 10))])
    (shown,) = store.open_alerts("gate")
    assert (shown.id, shown.suppressed_by) == (hidden.id, None)
    assert [event.event for event in scene.told[told:]] == ["new"]
    assert store.alerting_overview(["gate"])["gate"].open == 1


def test_what_is_revoked_is_told_again(scene: Scene, api: Api, store: Store) -> None:
    first = scene.alert(FLAG)
    answer(api, first, "false_alarm")
    scene.show([FLAG])
    assert api.delete(f"/cameras/gate/suppressions/{first.id}").status_code == 204
    scene.show([FLAG])
    (shown,) = store.open_alerts("gate")
    assert shown.suppressed_by is None
    assert scene.told[-1].alert.id == shown.id
    path = f"/cameras/gate/suppressions/{first.id}"
    assert "has no suppression" in is_problem(api.delete(path), 404)
    assert is_problem(api.get("/cameras/nowhere/suppressions"), 404)


def test_the_price_is_the_true_alerts_that_it_would_have_hidden(scene: Scene, api: Api) -> None:
    first, second, other = scene.alert(FLAG), scene.alert(FLAG), scene.alert(PERSON)
    answer(api, second, "true")
    answer(api, other, "true")
    answer(api, first, "false_alarm")
    (shown,) = api.get("/cameras/gate/suppressions").json()["items"]
    assert (shown["true_alerts"], shown["true_hidden"]) == (2, 1)


def test_another_verdict_ends_it(scene: Scene, api: Api) -> None:
    first = scene.alert(FLAG)
    answer(api, first, "usual_here")
    assert answer(api, first, "true")["suppresses_until"] is None
    assert api.get("/cameras/gate/suppressions").json()["items"] == []


def test_an_alert_whose_regions_are_gone_teaches_nothing(
    scene: Scene, api: Api, store: Store
) -> None:
    first = scene.alert(FLAG)
    store._redis.delete(keys.alert_regions("gate"))
    view = answer(api, first, "false_alarm")
    assert (view["verdict"], view["suppresses_until"]) == ("false_alarm", None)
    assert scene.alert(FLAG).suppressed_by is None


def test_too_many_are_refused_before_the_answer_is_kept(
    scene: Scene, api: Api, store: Store
) -> None:
    first = scene.alert(FLAG)
    for number in range(MAX_SUPPRESSIONS):
        one = Suppression(f"gate:1-{number}", "anomaly", None, "false_alarm", 1.0, "anna", 4e9, [])
        store.suppress("gate", one)
    refused = api.patch(f"/alerts/{first.id}", {"verdict": "false_alarm"})
    assert "revoke one" in is_problem(refused, 409)
    assert store.alert_answers("gate", [first.id])[0].verdict is None


def test_one_that_is_over_suppresses_nothing(scene: Scene, api: Api, store: Store) -> None:
    first = scene.alert(FLAG)
    regions = store.alert_regions("gate", [first.id])[0].open
    over = Suppression(first.id, "anomaly", None, "false_alarm", 1.0, "anna", 2.0, regions)
    store.suppress("gate", over)
    assert store.suppressions("gate") == {}
    assert scene.alert(FLAG).suppressed_by is None
