"""The live WebSocket tells each listener at once what it asked for, and drops those that lag."""

from __future__ import annotations

import socket as sockets
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from lookout.service.api.live.changes import (
    CAMERAS_EVERY_S,
    SCORES_EVERY_S,
    UNHEARD_EVERY_S,
    CameraChanges,
    ScoreChanges,
)
from lookout.service.api.views import ScoreView
from lookout.service.core.messages import (
    Alert,
    AlertEvent,
    CameraEvent,
    InferenceReport,
    IngestReport,
    Score,
)
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.store.store import Store
from tests.conftest import Urls, with_wide_forms
from tests.owning import add_scores
from tests.service.api_server import (
    RTSP,
    Apart,
    Api,
    apart,
    camera,
    fresh_api,
    heat,
    is_problem,
    next_of,
    received,
    running_api,
    score,
    settings_for,
    show,
    watch,
    write_checkpoint,
)
from tests.waiting import wait_until

__all__ = ["apart", "fresh_api"]


@pytest.fixture
def gate(bus: Bus, store: Store) -> None:
    """A camera that was there before the API, with a score and an event of its own."""
    watch(store, bus, "gate")
    show(bus, "gate", 0)
    store.add_camera_event(an_event("gate", 0))


@pytest.fixture
def api(gate: None, fresh_api: Api) -> Api:
    return fresh_api


def closing(socket: ClientConnection, limit_s: float = 10) -> tuple[int, str]:
    """Return the code and reason with which the server closes, and pass over earlier messages."""
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            socket.recv(timeout=limit_s)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def an_alert(camera: str, state: Any = "open") -> Alert:
    return Alert(f"{camera}:1000-5", camera, state, 1000.5, None, 0.75, 0.9, 1000.5)


def an_event(camera: str, seq: int, kind: Any = "scene_change") -> CameraEvent:
    return CameraEvent(kind, camera, 1000, seq, 1000 + seq / 10, "the picture became darker")


def test_scores_come_as_they_are_written_and_no_history_does(api: Api, bus: Bus) -> None:
    with api.listen() as socket:
        made = show(bus, "gate", 7, 0.9)
        message = next_of(socket, "score")
    assert message == {
        "type": "score",
        "data": {
            "id": "1000-7",
            "camera": "gate",
            "session": 1000,
            "seq": 7,
            "captured_at": made.captured_at,
            "scored_at": made.scored_at,
            "model": "square",
            "psnr_db": 34.0,
            "distance": 0.003,
            "gate_error": 0.004,
            "memory_updated": True,
            "value": 0.9,
            "local_db": None,
            "place_db": None,
            "zones": {},
            "reused": False,
        },
    }


def test_many_scores_come_in_order_each_once(api: Api, bus: Bus) -> None:
    with api.listen() as socket:
        for first in range(1, 201, 20):
            add_scores(
                bus, [(score("gate", seq), heat("gate", seq)) for seq in range(first, first + 20)]
            )
        assert [next_of(socket, "score")["data"]["seq"] for _ in range(200)] == list(range(1, 201))


def test_no_message_is_built_for_a_camera_that_nobody_listens_to(
    api: Api, bus: Bus, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(store, bus, "yard")
    built: list[str] = []
    view_of = ScoreView.of

    def counted(score: Score) -> ScoreView:
        built.append(str(score.id))
        return view_of(score)

    monkeypatch.setattr(ScoreView, "of", counted)
    with api.listen("?camera=gate") as socket:
        for seq in range(1, 6):
            show(bus, "yard", seq)
        show(bus, "gate", 6)
        assert next_of(socket, "score")["data"]["seq"] == 6
    unheard = "lookout_live_listeners 0.0"
    wait_until(lambda: unheard in api.http.get("/metrics").text, "nobody to listen")
    for seq in range(7, 12):
        show(bus, "gate", seq)
    time.sleep(2 * UNHEARD_EVERY_S)
    with api.listen("?camera=gate") as socket:
        show(bus, "gate", 12)
        assert next_of(socket, "score")["data"]["seq"] == 12
    assert built == ["1000-6", "1000-12"]


def test_a_score_is_told_soon(api: Api, bus: Bus) -> None:
    delays = []
    with api.listen() as socket:
        for seq in range(1, 21):
            add_scores(bus, [(score("gate", seq), heat("gate", seq))])
            began = time.monotonic()
            next_of(socket, "score")
            delays.append(time.monotonic() - began)
    assert sorted(delays)[10] < 0.1


def test_alerts_come_as_they_are_written(api: Api, store: Store) -> None:
    with api.listen() as socket:
        store.save_alerting("gate", 0, {}, [AlertEvent("new", an_alert("gate"))])
        assert next_of(socket, "alert") == {
            "type": "alert",
            "event": "new",
            "data": {
                "id": "gate:1000-5",
                "camera": "gate",
                "state": "open",
                "opened_at": 1000.5,
                "closed_at": None,
                "threshold": 0.75,
                "peak_value": 0.9,
                "peak_at": 1000.5,
                "kind": "anomaly",
                "detail": "",
                "zone": None,
                "suppressed_by": None,
            },
        }
        closed = [
            AlertEvent("update", an_alert("gate")),
            AlertEvent("end", an_alert("gate", "closed")),
        ]
        store.save_alerting("gate", 0, {}, closed)
        assert [next_of(socket, "alert")["event"] for _ in closed] == ["update", "end"]


def test_events_of_cameras_come_as_they_are_written_and_no_history_does(
    api: Api, store: Store
) -> None:
    with api.listen() as socket:
        for _ in range(2):  # the second time as a replay would
            store.add_camera_event(an_event("gate", 7))
        store.add_camera_event(an_event("gate", 107, "tampered"))
        assert next_of(socket, "event") == {
            "type": "event",
            "data": {
                "kind": "scene_change",
                "camera": "gate",
                "session": 1000,
                "seq": 7,
                "at": 1000.7,
                "detail": "the picture became darker",
            },
        }
        assert next_of(socket, "event")["data"]["kind"] == "tampered"


def test_a_camera_that_is_tampered_with_is_news(api: Api, bus: Bus, store: Store) -> None:
    with api.listen() as socket:
        bus.report_inference("gate", InferenceReport("online", time.time(), 1, tampered=True))
        assert next_of(socket, "camera")["data"]["tampered"] is True


def test_cameras_come_change_and_go(api: Api, bus: Bus, store: Store) -> None:
    with api.listen() as socket:
        api.post("/cameras", {"id": "yard", "url": RTSP})
        new = next_of(socket, "camera")
        assert (new["event"], new["data"]["id"], new["data"]["state"]) == (
            "new",
            "yard",
            "starting",
        )
        assert new["data"]["url"] == "rtsp://***@camera.example/stream"
        revision = store.camera("yard").revision
        bus.report_ingest(
            "yard", IngestReport("reconnecting", time.time(), revision, f"cannot open {RTSP}")
        )
        changed = next_of(socket, "camera")
        assert (changed["event"], changed["data"]["state"]) == ("update", "reconnecting")
        assert changed["data"]["last_error"] == "cannot open rtsp://***@camera.example/stream"
        api.delete("/cameras/yard")
        gone = next_of(socket, "camera")
        assert (gone["event"], gone["data"]["id"]) == ("end", "yard")


def test_a_camera_added_later_is_heard_from_its_first_score(api: Api, bus: Bus) -> None:
    with api.listen() as socket:
        api.post("/cameras", {"id": "yard", "url": RTSP})
        show(bus, "yard", 0)
        assert next_of(socket, "score")["data"]["id"] == "1000-0"


def test_who_names_cameras_hears_of_them_only(api: Api, bus: Bus, store: Store) -> None:
    watch(store, bus, "yard")
    watch(store, bus, "hall")
    with api.listen("?camera=gate&camera=hall") as socket:
        for name in ("yard", "gate", "hall"):
            add_scores(bus, [(score(name, 3), heat(name, 3))])
        for name in ("yard", "hall"):
            store.save_alerting(name, 0, {}, [AlertEvent("new", an_alert(name))])
            store.add_camera_event(an_event(name, 3))
        missing = {("score", "gate"), ("score", "hall"), ("alert", "hall"), ("event", "hall")}
        while missing:
            message = received(socket)
            assert (message["data"].get("camera") or message["data"]["id"]) != "yard"
            missing.discard((message["type"], message["data"].get("camera")))


@pytest.mark.parametrize(
    "query", ["?camera=nobody", "?camera=gate&camera=nobody", "?camera=", "?camera=%00%ff"]
)
def test_a_camera_that_is_not_there_is_refused_with_its_reason(api: Api, query: str) -> None:
    with api.listen(query) as socket:
        code, reason = closing(socket)
    assert code == 1008
    assert "no camera" in reason


def test_what_a_client_says_is_passed_over_and_a_monster_is_let_go(api: Api, bus: Bus) -> None:
    with api.listen() as socket, api.listen() as loud:
        for text in ("hello", "{}", "\x00"):
            socket.send(text)
        loud.send(b"x" * 100_000)
        show(bus, "gate", 3)
        assert next_of(socket, "score")["data"]["seq"] == 3
        assert closing(loud)[0] == 1009


def test_one_unreadable_score_holds_nobody_up(api: Api, bus: Bus, store: Store, urls: Urls) -> None:
    watch(store, bus, "yard")
    raw = connect(urls.bus)
    with api.listen() as socket:
        raw.xadd("scores:{gate}", {"nonsense": "1"}, id="1000-5")
        add_scores(bus, [(score("gate", 6), heat("gate", 6))])
        add_scores(bus, [(score("yard", 6), heat("yard", 6))])
        heard = {next_of(socket, "score")["data"]["camera"] for _ in range(2)}
        add_scores(bus, [(score("gate", 7), heat("gate", 7))])
        assert next_of(socket, "score")["data"]["id"] == "1000-7"
    raw.close()
    assert heard == {"gate", "yard"}


def deaf_socket(api: Api) -> sockets.socket:
    """A connection that takes in next to nothing."""
    made = sockets.socket(sockets.AF_INET, sockets.SOCK_STREAM)
    made.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    made.connect(("127.0.0.1", api.port))
    return made


def test_who_does_not_read_is_closed_with_1013_and_nobody_else_notices(
    urls: Urls, tmp_path: Path, bus: Bus
) -> None:
    settings = settings_for(urls, tmp_path, live_queue=64)
    write_checkpoint(settings, "square")
    with running_api(settings) as api:
        api.post("/cameras", {"id": "gate", "url": RTSP})
        with api.listen() as quick, api.listen(sock=deaf_socket(api), max_queue=1) as deaf:
            sent = 0
            while not api_says_closed(api):
                add_scores(
                    bus, [(score("gate", sent + i), heat("gate", sent + i)) for i in range(50)]
                )
                assert [next_of(quick, "score")["data"]["seq"] for _ in range(50)] == list(
                    range(sent, sent + 50)
                )
                sent += 50
                assert sent < 20_000
            assert closing(deaf) == (1013, "too slow: messages were piling up")
            show(bus, "gate", sent)
            assert next_of(quick, "score")["data"]["seq"] == sent


def api_says_closed(api: Api) -> bool:
    return "lookout_live_closed_behind_total 1.0" in api.http.get("/metrics").text


def test_a_burst_larger_than_the_queue_reaches_who_reads_and_closes_who_does_not(
    urls: Urls, tmp_path: Path, bus: Bus
) -> None:
    settings = settings_for(urls, tmp_path)
    write_checkpoint(settings, "square")
    size = 1000
    assert size > 3 * settings.live_queue
    with running_api(settings) as api:
        api.post("/cameras", {"id": "gate", "url": RTSP})
        with (
            api.listen() as quick,
            api.listen("?camera=gate") as other,
            api.listen(sock=deaf_socket(api)) as deaf,
        ):
            sent = 0
            while not api_says_closed(api):
                made = range(sent, sent + size)
                add_scores(bus, [(score("gate", seq), heat("gate", seq)) for seq in made])
                for socket in (quick, other):
                    assert [next_of(socket, "score")["data"]["seq"] for _ in made] == list(made)
                sent += size
                assert sent < 20_000
            assert closing(deaf)[0] == 1013


def test_scores_rest_as_long_as_they_took_and_all_views_longer(bus: Bus, store: Store) -> None:
    scores = ScoreChanges(bus, dict)
    assert scores.pause_s(0.001, heard=True) == SCORES_EVERY_S
    assert scores.pause_s(0.3, heard=True) == 0.3  # after a burst
    views = CameraChanges(bus, store)
    assert views.pause_s(0.001, heard=True) == CAMERAS_EVERY_S
    assert views.pause_s(0.3, heard=True) == pytest.approx(2.7)


def slowest_s(socket: ClientConnection, bus: Bus, seqs: Iterable[int]) -> float:
    """Return how long the slowest of these scores of `gate` took to arrive."""
    took = []
    for seq in seqs:
        show(bus, "gate", seq)
        began = time.monotonic()
        assert next_of(socket, "score")["data"]["seq"] == seq
        took.append(time.monotonic() - began)
        wait_until(lambda: time.monotonic() - began > 0.1, "a tenth of a second")  # noqa: B023
    return max(took)


def said_away(caplog: pytest.LogCaptureFixture) -> list[str]:
    return sorted(
        text.partition(":")[0] for text in caplog.messages if "Redis is away, waiting" in text
    )


def test_scores_are_told_while_the_store_is_away(
    apart: Apart, caplog: pytest.LogCaptureFixture
) -> None:
    watch(apart.store, apart.bus, "gate")
    with running_api(apart.settings) as api, api.listen() as before:
        apart.store_plug.cut()
        assert is_problem(api.get("/cameras"), 503)
        assert slowest_s(before, apart.bus, range(25)) < 0.5
        with api.listen("?camera=gate") as later:
            assert slowest_s(later, apart.bus, range(25, 30)) < 0.5
        apart.store.save_alerting("gate", 0, {}, [AlertEvent("new", an_alert("gate"))])
        apart.store_plug.mend()
        assert next_of(before, "alert")["data"]["id"] == "gate:1000-5"
    assert said_away(caplog) == ["live alerts", "live events"]
    assert sum("the store does not answer" in text for text in caplog.messages) == 1


def test_scores_are_told_while_the_store_hangs(apart: Apart) -> None:
    watch(apart.store, apart.bus, "gate")
    with running_api(apart.settings) as api, api.listen() as before:
        with apart.store_hangs():
            assert slowest_s(before, apart.bus, range(25)) < 0.5
            with api.listen("?camera=gate") as later:
                assert slowest_s(later, apart.bus, range(25, 30)) < 0.5
        apart.store.save_alerting("gate", 0, {}, [AlertEvent("new", an_alert("gate"))])
        assert next_of(before, "alert")["data"]["id"] == "gate:1000-5"


def test_alerts_are_told_while_the_bus_is_away(
    apart: Apart, caplog: pytest.LogCaptureFixture
) -> None:
    watch(apart.store, apart.bus, "gate")
    with running_api(apart.settings) as api, api.listen() as socket:
        apart.bus_plug.cut()
        assert is_problem(api.get("/cameras"), 503)
        apart.store.add_camera(camera("yard", created_at=1.0))
        for name in ("gate", "yard"):
            apart.store.save_alerting(name, 0, {}, [AlertEvent("new", an_alert(name))])
            assert next_of(socket, "alert")["data"]["camera"] == name
            apart.store.add_camera_event(an_event(name, 3))
            assert next_of(socket, "event")["data"]["camera"] == name
    assert said_away(caplog) == ["live cameras", "live scores"]


def test_the_broadcaster_outlives_its_redis(apart: Apart, tmp_path: Path) -> None:
    """The bus goes away and comes back empty, under the same address."""
    with running_api(apart.settings) as api, api.listen() as socket:
        api.post("/cameras", {"id": "gate", "url": RTSP})
        show(apart.bus, "gate", 0)
        next_of(socket, "score")
        apart.bus_plug.cut()
        wait_until(lambda: api.get("/cameras").status_code == 503, "the outage")
        assert api.http.get("/healthz").status_code == 200
        apart.bus.forget("gate")
        apart.bus_plug.mend()
        wait_until(lambda: api.get("/cameras").status_code == 200, "the end of the outage")
        show(apart.bus, "gate", 0, session=2000)
        assert next_of(socket, "score")["data"]["id"] == "2000-0"


@pytest.mark.parametrize(
    "origin",
    with_wide_forms(
        ["http://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1", "http://["],
        {"http://evil.example", "http://["},
    ),
)
def test_a_page_of_another_site_hears_nothing(api: Api, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused, api.listen(origin=origin):
        pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("origin", ["http://127.0.0.1:{port}", "HTTP://127.0.0.1:{port}"])
def test_our_own_page_hears_everything(api: Api, bus: Bus, origin: str) -> None:
    with api.listen(origin=origin.format(port=api.port)) as socket:
        show(bus, "gate", 3)
        assert next_of(socket, "score")["data"]["seq"] == 3


def test_open_sockets_do_not_hold_up_the_end(urls: Urls, tmp_path: Path) -> None:
    closed, codes = ExitStack(), list[int]()
    with running_api(
        settings_for(urls, tmp_path)
    ) as api:  # fails where the end takes more than 4 s
        listeners = [closed.enter_context(api.listen()) for _ in range(3)]
        closed.callback(lambda: codes.extend(closing(socket)[0] for socket in listeners))
    assert codes == []
    closed.close()
    assert codes == [1012] * 3
