"""Persons answer alerts: acknowledged, verdict, note, keep; and find them again."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from lookout.service.core.messages import Alert, AlertAnswer, AlertEvent
from lookout.service.storage.pictures import DAY_S, drop_expired, keep, picture_path
from lookout.service.storage.redis import keys
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.store.store import Store
from tests.conftest import Urls
from tests.service.api_server import (
    BEARER,
    TOKEN,
    Api,
    api,
    camera,
    is_problem,
    log_in,
    one_api,
    running_api,
    settings_for,
)

__all__ = ["api", "one_api"]


def add(store: Store, seq: int, name: str = "gate", **changes: Any) -> str:
    at = 1000.0 + seq
    made = Alert(f"{name}:1000-{seq}", name, "closed", at, at + 1, 0.5, 0.9, at)
    alert = replace(made, **changes)
    store.save_alerting(name, store.begin_alerting(name), {}, [AlertEvent("new", alert)])
    return alert.id


def ids(api: Api, **params: Any) -> list[str]:
    answer = api.get("/alerts", **params)
    assert answer.status_code == 200, answer.text
    return [alert["id"] for alert in answer.json()["items"]]


def test_an_alert_is_answered_field_by_field(api: Api, store: Store) -> None:
    alert = add(store, 1)
    fresh = api.get(f"/alerts/{alert}").json()
    assert (fresh["acknowledged_at"], fresh["verdict"], fresh["note"], fresh["keep"]) == (
        None,
        None,
        "",
        False,
    )
    api.patch(f"/alerts/{alert}", {"verdict": "false_alarm", "note": "a bag"})
    seen = api.patch(f"/alerts/{alert}", {"acknowledged": True}).json()
    assert (seen["verdict"], seen["note"], seen["acknowledged_by"]) == (
        "false_alarm",
        "a bag",
        "anybody",
    )
    again = api.patch(f"/alerts/{alert}", {"acknowledged": True, "keep": True}).json()
    assert again["acknowledged_at"] == seen["acknowledged_at"]
    assert api.get("/alerts").json()["items"] == [again]
    taken_back = api.patch(f"/alerts/{alert}", {"acknowledged": False, "verdict": None}).json()
    assert (taken_back["acknowledged_at"], taken_back["verdict"]) == (None, None)
    assert (taken_back["note"], taken_back["keep"]) == ("a bag", True)


def test_an_answer_outlives_what_alerting_writes(api: Api, store: Store) -> None:
    alert = add(store, 1, state="open", closed_at=None)
    api.patch(f"/alerts/{alert}", {"verdict": "true"})
    closed = replace(store.alert("gate", alert), state="closed", closed_at=1002.0)
    store.save_alerting("gate", store.begin_alerting("gate"), {}, [AlertEvent("end", closed)])
    shown = api.get(f"/alerts/{alert}").json()
    assert (shown["state"], shown["verdict"]) == ("closed", "true")


@pytest.mark.parametrize(
    "body",
    [{"verdict": "yes"}, {"note": "x" * 2001}, {"keep": None}, {"state": "closed"}, {"note": 5}],
)
def test_a_wrong_answer_changes_nothing(api: Api, store: Store, body: dict[str, Any]) -> None:
    alert = add(store, 1)
    assert is_problem(api.patch(f"/alerts/{alert}", body), 422)
    assert store.alert_answers("gate", [alert]) == [AlertAnswer()]


def test_an_alert_that_is_not_there_cannot_be_answered(api: Api) -> None:
    assert is_problem(api.patch("/alerts/gate:1000-1", {"keep": True}), 404)
    assert is_problem(api.patch("/alerts/nonsense", {"keep": True}), 404)


def test_the_answer_says_who_has_seen_it(urls: Urls, tmp_path: Path, store: Store) -> None:
    first, second = add(store, 1), add(store, 2)
    with running_api(settings_for(urls, tmp_path, token=SecretStr(TOKEN))) as api:
        base = f"http://127.0.0.1:{api.port}/api/v1/alerts"
        seen = {"acknowledged": True}
        by_token = httpx.patch(f"{base}/{first}", json=seen, headers=BEARER).json()
        by_login = httpx.patch(f"{base}/{second}", json=seen, headers=log_in(api)).json()
        assert by_token["acknowledged_by"] == "token"
        assert by_login["acknowledged_by"].startswith("login ")
        assert httpx.patch(f"{base}/{first}", json=seen).status_code == 401


def test_two_answers_at_once_are_both_kept(store: Store, urls: Urls) -> None:
    alert = add(store, 1)
    with closing(connect(urls.store)) as other:
        rival = Store(other)
        tried: list[None] = []

        def change(answer: AlertAnswer) -> AlertAnswer:
            if not tried:
                tried.append(None)
                rival.answer_alert("gate", alert, lambda one: replace(one, note="theirs"))
            return replace(answer, keep=True)

        assert store.answer_alert("gate", alert, change) == AlertAnswer(note="theirs", keep=True)


# Lists


def test_alerts_are_found_by_time_kind_verdict_and_peak(api: Api, store: Store) -> None:
    made = [add(store, seq, peak_value=0.5 + seq / 20) for seq in range(6)]
    yard = add(store, 3, "yard", kind="tampering")
    api.patch(f"/alerts/{made[2]}", {"verdict": "usual_here", "acknowledged": True})
    assert ids(api, **{"from": 1003, "to": 1004}) == [made[4], yard, made[3]]
    assert ids(api, to=1000.5) == [made[0]]
    assert ids(api, kind="tampering") == [yard]
    assert ids(api, verdict="usual_here") == [made[2]]
    assert ids(api, acknowledged=True) == [made[2]]
    assert ids(api, verdict="none", camera="gate", min_peak=0.7) == [made[5], made[4]]
    assert ids(api, min_peak=0.95) == []
    assert is_problem(api.get("/alerts", **{"from": "nan"}), 422)
    assert is_problem(api.get("/alerts", verdict="maybe"), 422)


def test_a_filtered_list_comes_in_pages(api: Api, store: Store) -> None:
    made = [add(store, seq, peak_value=[0.6, 0.9][seq % 2]) for seq in range(20)]
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = api.get("/alerts", limit=3, min_peak=0.8, to=1015, **cursor).json()
        found += [alert["id"] for alert in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert found == made[15::-2]


# Many at once


def test_many_are_acknowledged_at_once(api: Api, store: Store) -> None:
    made = [add(store, seq) for seq in range(5)]
    other = add(store, 1, "yard")
    first = api.post("/acknowledgements", {"ids": [made[0], "gate:1000-99"]}).json()
    assert first == {"count": 1, "more": False}
    rest = api.post("/acknowledgements", {"camera": "gate", "until": 1003.0}).json()
    assert rest == {"count": 3, "more": False}
    assert ids(api, acknowledged=False) == [made[4], other]
    assert api.post("/acknowledgements", {}).json() == {"count": 2, "more": False}
    assert api.post("/acknowledgements", {}).json() == {"count": 0, "more": False}
    assert is_problem(api.post("/acknowledgements", {"ids": ["x"] * 1001}), 422)


# Kept alerts


def test_a_kept_alert_is_never_removed(api: Api, store: Store, tmp_path: Path) -> None:
    store.add_camera(camera("gate"))
    kept, other = add(store, 1), add(store, 2)
    for alert in (kept, other):
        keep(picture_path(tmp_path, alert), b"jpeg")
    api.patch(f"/alerts/{kept}", {"keep": True})
    assert drop_expired(store, tmp_path, 1, 10_000 * DAY_S) == 1
    assert picture_path(tmp_path, kept).exists()
    assert not picture_path(tmp_path, other).exists()
    assert ids(api) == [kept]
    api.patch(f"/alerts/{kept}", {"keep": False})
    assert drop_expired(store, tmp_path, 1, 10_000 * DAY_S) == 1
    assert ids(api) == []


def test_kept_alerts_do_not_count_among_the_newest(urls: Urls) -> None:
    with closing(connect(urls.store)) as client:
        store = Store(client, alerts_kept=2)
        made = [add(store, seq) for seq in range(5)]
        store.answer_alert("gate", made[0], lambda answer: replace(answer, keep=True))
        assert store.drop_old_alerts("gate") == made[1:3]
        left = [alert.id for alert in store.alerts("gate", before=None, limit=9)]
        assert left == [made[4], made[3], made[0]]
        assert client.hlen(keys.alert_answers("gate")) == 1


def test_kept_alerts_are_bounded(api: Api, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookout.service.storage.store.alert_answers.MAX_KEPT", 1)
    first, second = add(store, 1), add(store, 2)
    assert api.patch(f"/alerts/{first}", {"keep": True}).status_code == 200
    assert is_problem(api.patch(f"/alerts/{second}", {"keep": True}), 409)
    assert api.patch(f"/alerts/{first}", {"keep": True, "note": "again"}).status_code == 200


def test_an_alert_that_is_kept_while_old_ones_go_stays(store: Store) -> None:
    made = [add(store, seq) for seq in range(50)]
    kept = threading.Thread(
        target=lambda: [
            store.answer_alert("gate", alert, lambda one: replace(one, keep=True))
            for alert in made[25:]
        ]
    )
    kept.start()
    while kept.is_alive():
        store.drop_expired_alerts("gate", 1025.0)
    kept.join()
    store.drop_expired_alerts("gate", 2000.0)
    assert len(store.alerts("gate", before=None, limit=99)) == 25


def test_an_answer_that_cannot_be_read_marks_its_camera(api: Api, store: Store, urls: Urls) -> None:
    store.add_camera(camera("gate"))
    alert = add(store, 1)
    with closing(connect(urls.store)) as client:
        client.hset(keys.alert_answers("gate"), alert, "{")
    assert api.get(f"/alerts/{alert}").json()["verdict"] is None
    assert "the answer to alert" in api.get("/cameras/gate").json()["warnings"][0]
    assert api.patch(f"/alerts/{alert}", {"note": "anew"}).json()["note"] == "anew"
