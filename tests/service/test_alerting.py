"""The alerting stage on real servers: alerts, pictures, and faults."""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import replace
from datetime import UTC
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from lookout.models.scoring.alarm_budget import HIGHEST, AlarmBudget
from lookout.models.scoring.alert_regions import Motion
from lookout.models.scoring.budget_report import BudgetReport
from lookout.service.alerting import worker
from lookout.service.alerting.alert_pictures import AlertPictures
from lookout.service.alerting.camera_policy import CameraAlerts, policy_of
from lookout.service.alerting.worker import AlertingWorker
from lookout.service.core.camera import AlertSettings, BudgetSettings
from lookout.service.core.messages import Alert, AlertEvent, FrameId, Heat, Score
from lookout.service.core.settings import Settings
from lookout.service.ownership.assignment import Assignment
from lookout.service.ownership.leases import open_leases
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.pictures import DAY_S, check_room, keep, picture_path
from lookout.service.storage.redis import codec, keys
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.store.alert_evidence import RegionRecord
from lookout.service.storage.store.store import Store
from tests import stage
from tests.conftest import Urls
from tests.owning import add_frames, add_scores
from tests.service.api_server import Apart, apart, camera, frame, heat, score, settings_for, show
from tests.waiting import wait_until

__all__ = ["apart"]


NEWEST = 1_000_000  # an epoch after those of all workers


@pytest.fixture
def settings(urls: Urls, tmp_path: Path) -> Settings:
    return settings_for(urls, tmp_path)


@pytest.fixture
def alerting(settings: Settings, bus: Bus, store: Store) -> AlertingWorker:
    store.add_camera(camera("gate"))
    return new_worker(settings, bus, store)


def new_worker(settings: Settings, bus: Bus, store: Store) -> AlertingWorker:
    """A worker that works when a test calls `step`. Its leases are not renewed."""
    assignment = Assignment("alerting", bus, open_leases(settings, "alerting"))
    pictures = AlertPictures(settings.data_dir, bus)
    return AlertingWorker(settings, bus, store, assignment, store.cameras, pictures)


def successor(settings: Settings, bus: Bus, store: Store) -> AlertingWorker:
    """A worker that comes after the former one was killed and its leases ran out."""
    expire_leases(bus, store)
    return new_worker(settings, bus, store)


def expire_leases(bus: Bus, store: Store) -> None:
    names = [*store.cameras(), *store.alerted_cameras(), "gate"]
    bus._redis.delete(*(keys.lease("alerting", name) for name in names))
    bus._redis.delete(keys.workers("alerting"))


def burst(bus: Bus, name: str, first: int, values: list[float], session: int = 1000) -> None:
    for seq, value in enumerate(values, first):
        show(bus, name, seq, value, session=session)


def alerts(store: Store, name: str = "gate") -> list[Alert]:
    return store.alerts(name, before=None, limit=100)


def log_of(store: Store, name: str = "gate") -> list[AlertEvent]:
    return [event for _, event in store.alert_events_after({name: None}, 1000).get(name, [])]


def test_an_alert_opens_with_its_picture_and_closes(
    alerting: AlertingWorker, bus: Bus, store: Store, tmp_path: Path
) -> None:
    burst(bus, "gate", 0, [0.2] * 3 + [0.9] * 10)
    assert alerting.step()
    (alert,) = alerts(store)
    assert (alert.id, alert.state, alert.opened_at) == ("gate:1000-8", "open", 1000.8)
    assert store.open_alerts("gate") == [alert]
    picture = cv2.imread(str(picture_path(tmp_path, alert.id)))
    assert picture is not None
    assert picture.shape == (96, 128, 3)
    assert not list(tmp_path.rglob("*.part"))
    burst(bus, "gate", 13, [0.1] * 25)
    alerting.step()
    (alert,) = alerts(store)
    assert (alert.state, alert.closed_at) == ("closed", 1003.3)
    assert store.open_alerts("gate") == []
    assert [event.event for event in log_of(store)] == ["new", "end"]


def test_an_alert_says_what_stands_out_at_its_opening_and_at_its_peak(
    alerting: AlertingWorker, bus: Bus, store: Store
) -> None:
    motion = Motion((0.4, 0.3, 0.5, 0.3), 3.0, 1.0, 2.0, 0.4, 0.1, 0.5, 180.0)
    for seq, value in enumerate([0.9] * 8 + [0.95] + [0.9] * 12 + [0.1] * 25):
        add_frames(bus, frame("gate", seq))
        map_of = heat("gate", seq)
        if seq == 8:
            map_of = replace(map_of, motions=codec.dump([motion]))
        add_scores(bus, [(score("gate", seq, value), map_of)])
    alerting.step()
    (alert,) = alerts(store)
    (record,) = store.alert_regions("gate", [alert.id])
    assert [region.traits for region in record.open] == [["unusual appearance"]]
    assert [region.traits for region in record.peak] == [["faster than usual here"]]
    assert record.peak[0].box == (30 / 64, 20 / 64, 20 / 64, 20 / 64)
    assert alert.peak_at == 1000.8


def walk(bus: Bus, first: int, values: list[float]) -> None:
    """Show something that goes a cell to the right with each frame."""
    for seq, value in enumerate(values, first):
        cells = np.zeros((64, 64), np.uint16)
        cells[20:30, seq : seq + 10] = 20_000
        add_frames(bus, frame("gate", seq))
        add_scores(bus, [(score("gate", seq, value), Heat("gate", 1000, seq, cells))])


def test_what_stands_out_is_followed_over_a_kill_until_the_alert_is_over(
    settings: Settings, alerting: AlertingWorker, bus: Bus, store: Store
) -> None:
    walk(bus, 0, [0.9] * 20)
    alerting.step()
    alerting.follow(time.monotonic())  # saves the cursor, with the tracks up to it
    after = successor(settings, bus, store)
    walk(bus, 20, [0.9] * 15)
    walk(bus, 35, [0.1] * 19)  # where it may close, nothing is followed
    after.step()
    burst(bus, "gate", 54, [0.1] * 10)
    after.step()
    (alert,) = alerts(store)
    assert alert.state == "closed"
    (record,) = store.alert_regions("gate", [alert.id])
    assert len(record.open) == 1
    (track,) = record.tracks
    assert [point.at for point in track.points] == pytest.approx(np.arange(1000.5, 1003.4, 0.5))
    assert [point.box[0] for point in track.points] == pytest.approx(
        [seq / 64 for seq in range(5, 35, 5)], abs=1e-3
    )
    assert record.tracks_dropped == 0


def test_tracks_that_cannot_be_read_start_empty(
    settings: Settings, alerting: AlertingWorker, bus: Bus, store: Store
) -> None:
    walk(bus, 0, [0.9] * 8)
    alerting.step()
    alerting.follow(time.monotonic())
    state = store.alerting_state("gate")
    assert state is not None
    store._redis.set(keys.alerting("gate"), json.dumps(state | {"tracks": {"tracks": [{}, 1]}}))
    after = successor(settings, bus, store)
    walk(bus, 8, [0.9] * 8 + [0.1] * 30)
    after.step()
    (alert,) = alerts(store)
    (record,) = store.alert_regions("gate", [alert.id])
    assert [point.at for point in record.tracks[0].points] == pytest.approx([1000.8, 1001.3])


def test_regions_that_cannot_be_read_cost_no_alert(
    alerting: AlertingWorker, bus: Bus, store: Store
) -> None:
    for seq in range(8):
        add_frames(bus, frame("gate", seq))
        add_scores(bus, [(score("gate", seq, 0.9), replace(heat("gate", seq), motions="{"))])
    alerting.step()
    assert len(store.open_alerts("gate")) == 1
    for text in ("{", '{"open_look": {"cells": "AAA=", "features": ""}}'):
        store._redis.hset(keys.alert_regions("gate"), "gate:1000-5", text)
        assert store.alert_regions("gate", ["gate:1000-5"]) == [RegionRecord()]


def test_cameras_do_not_mix(alerting: AlertingWorker, bus: Bus, store: Store) -> None:
    store.add_camera(camera("yard"))
    burst(bus, "gate", 0, [0.9] * 4)
    burst(bus, "yard", 0, [0.9] * 4)
    alerting.step()
    burst(bus, "yard", 4, [0.9] * 4)
    alerting.step()
    assert alerts(store) == []
    assert [alert.id for alert in alerts(store, "yard")] == ["yard:1000-5"]


def test_killed_at_any_score_it_loses_and_doubles_nothing(
    settings: Settings, bus: Bus, store: Store, alerting: AlertingWorker
) -> None:
    """A new process for each few scores; none says goodbye."""
    values = ([0.9] * 12 + [0.1] * 25) * 3
    for first in range(0, len(values), 3):
        burst(bus, "gate", first, values[first : first + 3])
        successor(settings, bus, store).step()
    events = log_of(store)
    assert [event.event for event in events] == ["new", "end"] * 3
    assert [event.alert.id for event in events[::2]] == [
        "gate:1000-5",
        "gate:1000-42",
        "gate:1000-79",
    ]
    assert len(alerts(store)) == 3


def test_killed_between_picture_and_alert_it_opens_the_same_alert(
    settings: Settings,
    bus: Bus,
    store: Store,
    alerting: AlertingWorker,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    burst(bus, "gate", 0, [0.9] * 8)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(store, "save_alerting", killed)
        alerting.step()
    assert alerts(store) == []
    assert picture_path(tmp_path, "gate:1000-5").is_file()
    successor(settings, bus, store).step()
    assert [event.alert.id for event in log_of(store)] == ["gate:1000-5"]


def test_the_cursor_is_saved_when_it_ends(
    settings: Settings, bus: Bus, store: Store, alerting: AlertingWorker
) -> None:
    burst(bus, "gate", 0, [0.2] * 5)
    alerting.step()
    alerting.end()
    state = store.alerting_state("gate")
    assert state is not None
    assert state["cursor"] == "1000-4"


def test_a_bus_that_came_back_empty_is_gone_on_with(
    alerting: AlertingWorker, bus: Bus, store: Store, urls: Urls
) -> None:
    burst(bus, "gate", 0, [0.9] * 8, session=2000)
    alerting.step()
    client = connect(urls.bus)
    client.flushall()
    client.close()
    assert not alerting.step()
    burst(bus, "gate", 0, [0.9] * 8, session=3000)
    alerting.step()
    assert [event.event for event in log_of(store)] == ["new", "end", "new"]


def test_silence_closes(settings: Settings, bus: Bus, store: Store) -> None:
    store.add_camera(camera("gate"))
    with running(settings.model_copy(update={"alert_quiet_after_s": 0.7})):
        burst(bus, "gate", 0, [0.9] * 7)
        wait_until(lambda: store.open_alerts("gate"), "an open alert")
        wait_until(lambda: not store.open_alerts("gate"), "silence to close it")
    assert [alert.closed_at for alert in alerts(store)] == [1000.6]


@pytest.mark.parametrize("removed", [True, False])
@pytest.mark.parametrize("looking", [True, False])
def test_a_camera_that_goes_takes_its_open_alert_with_it(
    settings: Settings,
    bus: Bus,
    store: Store,
    alerting: AlertingWorker,
    removed: bool,
    looking: bool,
) -> None:
    """The alert closes whether a worker of this stage runs when the camera goes, or comes later."""
    burst(bus, "gate", 0, [0.9] * 7)
    alerting.step()
    _go(store, removed)
    look_around(alerting if looking else successor(settings, bus, store))
    closed_at = (
        1000.5 if removed and not looking else 1000.6
    )  # a later process knows what was saved, or can be read
    assert [(alert.state, alert.closed_at) for alert in alerts(store)] == [("closed", closed_at)]
    assert (store.alerting_state("gate") is None) is removed


@pytest.mark.parametrize("looking", [True, False])
def test_what_was_scored_before_a_camera_was_disabled_opens_its_alert(
    settings: Settings, bus: Bus, store: Store, alerting: AlertingWorker, looking: bool
) -> None:
    """Nobody had read it yet when the camera went."""
    alerting.step()
    burst(bus, "gate", 0, [0.9] * 7)
    _go(store, removed=False)
    look_around(alerting if looking else successor(settings, bus, store))
    assert [(alert.id, alert.state) for alert in alerts(store)] == [("gate:1000-5", "closed")]


def look_around(alerting: AlertingWorker) -> None:
    alerting._follow_due = 0.0
    alerting._abandoned_due = 0.0
    alerting.step()


def _go(store: Store, removed: bool) -> None:
    if removed:
        store.remove_camera("gate")
    else:
        now = store.camera("gate")
        store.replace_camera(
            now.model_copy(update={"enabled": False, "revision": now.revision + 1}), now
        )


def test_an_alert_that_nobody_remembers_is_closed_when_its_camera_is_back(
    settings: Settings, bus: Bus, store: Store, alerting: AlertingWorker
) -> None:
    """Removed and added again without a worker: its state is gone, its open alert is not."""
    burst(bus, "gate", 0, [0.9] * 7)
    alerting.step()
    store.remove_camera("gate")
    bus.forget("gate")
    store.add_camera(camera("gate", revision=2))
    later = successor(settings, bus, store)
    later.step()
    assert [(alert.state, alert.closed_at) for alert in alerts(store)] == [("closed", 1000.5)]
    burst(bus, "gate", 0, [0.9] * 7, session=2000)
    later.step()
    assert [alert.id for alert in store.open_alerts("gate")] == ["gate:2000-5"]
    assert [event.event for event in log_of(store)] == ["new", "end", "new"]


def test_an_alert_whose_state_cannot_be_read_is_closed(
    settings: Settings, bus: Bus, store: Store, alerting: AlertingWorker
) -> None:
    burst(bus, "gate", 0, [0.9] * 7)
    alerting.step()
    store.save_alerting("gate", NEWEST, {"cursor": 5, "rule": []}, [])
    bus.forget("gate")
    successor(settings, bus, store).step()
    assert [alert.state for alert in alerts(store)] == ["closed"]


def test_a_restart_leaves_the_alert_that_is_remembered_open(
    settings: Settings, bus: Bus, store: Store, alerting: AlertingWorker
) -> None:
    burst(bus, "gate", 0, [0.9] * 7)
    alerting.step()
    forgotten = Alert("gate:900-1", "gate", "open", 900.1, None, 0.5, 0.9, 900.2)
    state = store.alerting_state("gate")
    assert state is not None
    store.save_alerting("gate", NEWEST, state, [AlertEvent("new", forgotten)])
    successor(settings, bus, store).step()
    assert [(alert.id, alert.closed_at) for alert in alerts(store)] == [
        ("gate:1000-5", None),
        ("gate:900-1", 900.2),
    ]


BUDGET = AlertSettings(alarm_budget=BudgetSettings(per_day=86_400))


def passers_by(count: int) -> list[Score]:
    """Return scores at 2 a second, of a scene where now and then something passes."""
    rng = np.random.default_rng(3)
    values = 0.25 + 0.03 * rng.normal(size=count)
    for first in range(200, count, 150):
        values[first : first + 5] += rng.exponential(0.2)
    return [
        score("gate", seq, float(min(value, 0.99)), at=1000 + seq / 2)
        for seq, value in enumerate(values)
    ]


def undisturbed(scores: list[Score], settings: Settings) -> tuple[list[str], BudgetReport]:
    """Return the ids of the alerts that a budget alone opens on these scores, and its report."""
    budget = AlarmBudget(86_400, policy_of(BUDGET, settings), UTC)
    state = CameraAlerts()
    ids = []
    for one in scores:
        state, events = state.step(budget.rule, one)
        opened = [event.alert.id for event in events if event.event == "new"]
        ids += opened
        budget.update(one, state.state, len(opened))
    return ids, budget.report()


def test_a_budget_survives_a_kill_at_any_score(
    settings: Settings, bus: Bus, store: Store, alerting: AlertingWorker
) -> None:
    gate = store.camera("gate")
    store.replace_camera(gate.model_copy(update={"alert": BUDGET}), gate)
    scores = passers_by(1200)
    ids, report = undisturbed(scores, settings)
    assert len(ids) >= 3
    for first in range(0, len(scores), 175):
        add_scores(bus, [(one, heat("gate", one.seq)) for one in scores[first:][:175]])
        successor(settings, bus, store).turn(0.0)
        worker = successor(settings, bus, store)
        worker.turn(0.0)
        worker.end()
    assert [alert.id for alert in reversed(alerts(store))] == ids
    assert store.alerting_overview(["gate"])["gate"].budget == report
    assert report.footage_minutes == pytest.approx(10, abs=0.5)


def test_a_budget_whose_state_cannot_be_read_starts_again_and_says_so(
    settings: Settings, bus: Bus, store: Store, alerting: AlertingWorker
) -> None:
    gate = store.camera("gate")
    store.replace_camera(gate.model_copy(update={"alert": BUDGET}), gate)
    show(bus, "gate", 0)
    alerting.step()
    alerting.end()
    state = store.alerting_state("gate")
    assert state is not None
    for broken in (5, {}, {"scored_by": "square paper", "state": {"rule": 5}}):
        store.save_alerting("gate", NEWEST, state | {"budget": broken}, [])
        successor(settings, bus, store).step()
        assert store.alerting_overview(["gate"])["gate"].budget is None
    show(bus, "gate", 1)
    later = successor(settings, bus, store)
    later.step()
    later.end()
    budget = store.alerting_overview(["gate"])["gate"].budget
    assert budget is not None
    assert "cannot be checked yet" in budget.sentence


def test_a_budget_follows_its_camera(
    settings: Settings, bus: Bus, store: Store, alerting: AlertingWorker
) -> None:
    """Another budget keeps what was learned; another model starts again; none is forgotten."""
    gate = store.camera("gate")
    changed = gate.model_copy(update={"alert": BUDGET})
    store.replace_camera(changed, gate)
    add_scores(bus, [(one, heat("gate", one.seq)) for one in passers_by(400)])
    alerting.turn(1.0)
    followed = alerting.followed["gate"]
    learned = followed.rule.threshold
    assert learned < 0.9
    alert = AlertSettings(alarm_budget=BudgetSettings(per_day=1))
    followed.follow(changed.model_copy(update={"alert": alert}), settings)
    assert learned < followed.rule.threshold < HIGHEST
    followed.follow(changed.model_copy(update={"alert": alert, "model": "other"}), settings)
    assert followed.rule.threshold == HIGHEST
    followed.follow(gate, settings)
    assert (followed.budget, followed.rule.threshold) == (None, settings.alert_threshold)


def test_a_budget_knows_the_hours_of_the_time_zone(
    settings: Settings, bus: Bus, store: Store, alerting: AlertingWorker
) -> None:
    gate = store.camera("gate")
    store.replace_camera(gate.model_copy(update={"alert": BUDGET}), gate)
    add_scores(bus, [(one, heat("gate", one.seq)) for one in passers_by(400)])
    alerting.turn(1.0)
    alerting.end()
    state = store.alerting_state("gate")
    assert state is not None
    levels = state["budget"]["state"]["levels"]
    assert levels["zone"] == "UTC"
    zurich = settings.model_copy(update={"timezone": "Europe/Zurich"})
    later = successor(zurich, bus, store)
    later.turn(2.0)
    budget = later.followed["gate"].budget_state()
    assert budget is not None
    assert budget["state"]["levels"]["zone"] == "Europe/Zurich"
    assert budget["state"]["footage_s"] == state["budget"]["state"]["footage_s"]


def test_without_its_frame_or_heatmap_an_alert_opens_all_the_same(
    alerting: AlertingWorker,
    bus: Bus,
    store: Store,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    urls: Urls,
) -> None:
    add_scores(bus, [(score("gate", seq, 0.9), heat("gate", seq)) for seq in range(7)])
    alerting.step()
    assert len(store.open_alerts("gate")) == 1
    assert "no longer on the bus" in caplog.text
    assert not list(tmp_path.rglob("*.jpg"))
    store.add_camera(camera("yard"))
    burst(bus, "yard", 0, [0.9] * 7)
    client = connect(urls.bus)
    client.delete("heat:{yard}")
    client.close()
    look_around(alerting)
    assert picture_path(tmp_path, "yard:1000-5").is_file()


@pytest.mark.parametrize("broken", ["frames", "heat"])
def test_broken_bytes_cost_the_picture_only(
    alerting: AlertingWorker, bus: Bus, store: Store, urls: Urls, broken: str
) -> None:
    client = connect(urls.bus)
    for seq in range(7):
        add_scores(bus, [(score("gate", seq, 0.9), heat("gate", seq))])
        if broken == "heat":
            add_frames(bus, frame("gate", seq))
    client.delete(f"{broken}:{{gate}}")
    client.xadd(f"{broken}:{{gate}}", {"nonsense": "1"}, id="1000-5")
    client.close()
    alerting.step()
    assert len(store.open_alerts("gate")) == 1


def test_a_disk_that_takes_nothing_costs_the_picture_only(
    alerting: AlertingWorker,
    bus: Bus,
    store: Store,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "pictures").write_text("a file where the folder should be")
    burst(bus, "gate", 0, [0.9] * 7)
    alerting.step()
    assert len(store.open_alerts("gate")) == 1
    assert "without a picture" in caplog.text


def test_a_folder_that_takes_no_pictures_is_said_at_the_start(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "pictures").write_text("a file where the folder should be")
    with stage.working(worker.run, settings):
        wait_until(lambda: "alerts open without pictures" in caplog.text, "it is said")
    assert str(tmp_path) in caplog.text


def test_a_folder_that_takes_pictures_is_as_it_was(settings: Settings, tmp_path: Path) -> None:
    check_room(tmp_path)
    assert list((tmp_path / "pictures").iterdir()) == []


def test_one_unreadable_score_holds_nobody_up(
    alerting: AlertingWorker, bus: Bus, store: Store, urls: Urls, caplog: pytest.LogCaptureFixture
) -> None:
    store.add_camera(camera("yard"))
    client = connect(urls.bus)
    burst(bus, "gate", 0, [0.9] * 3)
    client.xadd("scores:{gate}", {"nonsense": "1"}, id="1000-3")
    burst(bus, "yard", 0, [0.9] * 7)
    alerting.step()
    assert not alerting.step()
    for seq in range(4, 8):
        add_scores(bus, [(score("gate", seq, 0.9), heat("gate", seq))])
    alerting.step()
    client.close()
    assert [alert.id for alert in alerts(store)] == ["gate:1000-5"]
    assert [alert.id for alert in alerts(store, "yard")] == ["yard:1000-5"]
    assert "cannot be read" in caplog.text


def test_an_unreadable_state_counts_as_none(
    alerting: AlertingWorker, bus: Bus, store: Store
) -> None:
    store.save_alerting("gate", NEWEST, {"cursor": 5, "rule": []}, [])
    burst(bus, "gate", 0, [0.9] * 7)
    alerting.step()
    assert len(store.open_alerts("gate")) == 1


def test_the_oldest_alerts_drop_with_their_pictures(urls: Urls, tmp_path: Path, bus: Bus) -> None:
    settings = settings_for(urls, tmp_path, alerts_kept=2)
    client = connect(urls.store)
    store = Store(client, alerts_kept=2)
    store.add_camera(camera("gate"))
    burst(bus, "gate", 0, ([0.9] * 7 + [0.1] * 25) * 4)
    successor(settings, bus, store).step()
    client.close()
    kept = [alert.id for alert in alerts(store)]
    assert kept == ["gate:1000-101", "gate:1000-69"]
    assert sorted(path.stem for path in tmp_path.rglob("*.jpg")) == sorted(kept)


running = partial(stage.working, worker.run, stops_within_s=5)


def test_it_beats_and_outlives_its_redis(apart: Apart, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    apart.store.add_camera(camera("gate"))
    with running(apart.settings):
        wait_until(lambda: apart.bus.has_workers("alerting"), "alerting to beat")
        apart.store_plug.cut()
        burst(apart.bus, "gate", 0, [0.9] * 8)
        wait_until(lambda: "Redis is away" in caplog.text, "the outage to be logged")
        apart.store_plug.mend()
        wait_until(lambda: apart.store.open_alerts("gate"), "the alert of what came meanwhile")
    assert [event.alert.id for event in log_of(apart.store)] == ["gate:1000-5"]
    state = apart.store.alerting_state("gate")
    assert state is not None
    assert FrameId.parse(state["cursor"]) == (1000, 7)


def test_a_store_that_refuses_is_waited_for_and_logged_once(
    apart: Apart, caplog: pytest.LogCaptureFixture
) -> None:
    """It answers reads and takes no write: -NOREPLICAS here, -MISCONF with a full disk."""
    apart.store.add_camera(camera("gate"))
    with running(apart.settings):
        wait_until(lambda: apart.bus.has_workers("alerting"), "alerting to beat")
        apart.store_refuses(True)
        burst(apart.bus, "gate", 0, [0.9] * 8)
        wait_until(lambda: "NOREPLICAS" in caplog.text, "the refusal to be logged")
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > 2, "some attempts")
        apart.store_refuses(False)
        wait_until(lambda: apart.store.open_alerts("gate"), "the alert of what came meanwhile")
    assert caplog.text.count("NOREPLICAS") == 1
    assert [event.alert.id for event in log_of(apart.store)] == ["gate:1000-5"]


def test_a_quiet_stage_costs_little(settings: Settings, store: Store) -> None:
    store.add_camera(camera("gate"))
    with running(settings):
        began, used = time.monotonic(), time.process_time()
        wait_until(lambda: time.monotonic() - began > 0.5, "half a second")
        assert time.process_time() - used < 0.4


def test_a_camera_has_its_own_policy_and_a_change_of_it_leaves_an_open_alert_open(
    settings: Settings, bus: Bus, store: Store, alerting: AlertingWorker
) -> None:
    burst(bus, "gate", 0, [0.7] * 7)
    store.add_camera(camera("yard", alert=AlertSettings(threshold=0.8)))
    burst(bus, "yard", 0, [0.7] * 7)
    alerting.step()
    assert [alert.id for alert in store.open_alerts("gate")] == ["gate:1000-5"]
    assert store.open_alerts("yard") == []
    now = store.camera("gate")
    own = AlertSettings(threshold=0.9, clear_after_s=0.3)
    store.replace_camera(now.model_copy(update={"alert": own}), now)
    look_around(alerting)
    burst(bus, "gate", 7, [0.81] * 10)
    alerting.step()
    assert [alert.id for alert in store.open_alerts("gate")] == ["gate:1000-5"]
    burst(bus, "gate", 17, [0.7] * 4)
    alerting.step()
    assert [(alert.closed_at, alert.threshold) for alert in alerts(store)] == [(1002.0, 0.5)]
    assert [event.event for event in log_of(store)] == ["new", "update", "end"]


def test_two_workers_share_the_cameras_and_the_death_of_one_loses_and_doubles_nothing(
    settings: Settings, bus: Bus, store: Store
) -> None:
    settings = settings.model_copy(update={"lease_s": 0.5})
    for name in ("gate", "yard"):
        store.add_camera(camera(name))
    one = new_worker(settings, bus, store)
    two = new_worker(settings, bus, store)
    two._assignment.rebalance({}, set(), may_give=False)  # at work, before the first takes all
    one.step()
    two.step()
    assert sorted([*one.followed, *two.followed]) == ["gate", "yard"]
    for name in ("gate", "yard"):
        burst(bus, name, 0, [0.9] * 8 + [0.1] * 25 + [0.9] * 4)
    one.step()
    two.step()
    killed = one if "gate" in one.followed else two
    other = two if killed is one else one
    for name in ("gate", "yard"):
        burst(bus, name, 37, [0.9] * 4 + [0.1] * 25)

    def both() -> bool:
        look_around(other)
        return len(other.followed) == 2

    wait_until(both, "the other to have both cameras")
    other.step()
    for name in ("gate", "yard"):
        assert [event.event for event in log_of(store, name)] == ["new", "end"] * 2
        assert [(alert.id, alert.opened_at, alert.closed_at) for alert in alerts(store, name)] == [
            (f"{name}:1000-38", 1003.8, 1006.1),
            (f"{name}:1000-5", 1000.5, 1002.8),
        ]
    state = store.alerting_state("gate")
    burst(bus, "gate", 66, [0.9] * 8)
    killed._follow_due = float("inf")  # it wakes in the middle of its work
    killed.step()
    assert killed.followed == {}
    assert store.alerting_state("gate") == state
    assert len(log_of(store)) == 4
    other.step()
    assert [alert.id for alert in store.open_alerts("gate")] == ["gate:1000-71"]


def test_a_worker_whose_lease_is_lost_follows_the_camera_no_longer(
    settings: Settings, bus: Bus, store: Store, alerting: AlertingWorker
) -> None:
    alerting.step()
    later = successor(settings, bus, store)
    later.step()
    assert list(later.followed) == ["gate"]
    assert alerting._leases.renew("gate") == "lost"
    look_around(alerting)
    assert alerting.followed == {}


def test_a_clean_stop_hands_the_cameras_over_at_once(
    settings: Settings, bus: Bus, store: Store
) -> None:
    settings = settings.model_copy(update={"lease_s": 60.0})
    store.add_camera(camera("gate"))
    with running(settings):
        wait_until(lambda: store.alerting_epoch("gate") == 1, "the first worker to take it")
    with running(settings):
        burst(bus, "gate", 0, [0.9] * 7)
        wait_until(lambda: store.open_alerts("gate"), "the second worker's alert")
    assert store.alerting_epoch("gate") == 2


def test_a_heatmap_that_was_trimmed_is_not_waited_for(
    alerting: AlertingWorker, bus: Bus, store: Store, urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["gate", *(f"yard{number}" for number in range(4))]
    for name in names[1:]:
        store.add_camera(camera(name))
    for name in names:
        burst(bus, name, 0, [0.9] * 7)
        bus._redis.delete(keys.heat(name))
    asked: list[str] = []
    monkeypatch.setattr(bus, "heat", lambda name, _: asked.append(name))
    alerting.step()
    # Once for the picture, and once each for the regions of the opening, the peak and the tracks,
    # and for the looks that an answer would suppress.
    assert sorted(asked) == sorted(5 * names)
    assert all(store.open_alerts(name) for name in names)


@pytest.mark.parametrize("kept_days", [1.0, 90.0])
def test_the_stage_removes_what_is_kept_too_long(
    settings: Settings,
    bus: Bus,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kept_days: float,
) -> None:
    """LOOKOUT_ALERTS_KEPT_DAYS, in the loop of a stage that runs; the first time after its start,
    then again and again.
    """
    monkeypatch.setattr(worker, "FIRST_SWEEP_S", 0.0)
    monkeypatch.setattr(worker, "SWEEP_EVERY_S", 0.1)
    store.add_camera(camera("gate"))
    two_days_ago = time.time() - 2 * DAY_S

    def save_old_alert(seq: int) -> Path:
        alert = Alert(
            f"gate:1000-{seq}",
            "gate",
            "closed",
            two_days_ago,
            two_days_ago + 1,
            0.5,
            0.9,
            two_days_ago,
        )
        store.save_alerting("gate", NEWEST, {}, [AlertEvent("new", alert)])
        picture = picture_path(tmp_path, alert.id)
        keep(picture, b"jpeg")
        return picture

    first = save_old_alert(1)
    kept = settings.model_copy(update={"alerts_kept_days": kept_days})
    with stage.working(worker.run, kept):
        if kept_days > 2:
            very_old = picture_path(tmp_path, "gone:1-1")
            keep(very_old, b"jpeg")
            os.utime(very_old, (1.0, 1.0))
            wait_until(lambda: not very_old.exists(), "all has been looked at")
            assert [alert.id for alert in alerts(store)] == ["gate:1000-1"]
            assert first.exists()
        else:
            wait_until(lambda: not alerts(store) and not first.exists(), "the first is removed")
            second = save_old_alert(2)
            wait_until(lambda: not alerts(store) and not second.exists(), "the second is removed")
