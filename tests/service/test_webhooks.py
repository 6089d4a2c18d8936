"""Webhooks: each alert event reaches its receiver under one id, or is a letter that says why."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import hmac
import ipaddress
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.service.alerting import deliveries
from lookout.service.alerting.deliveries import SINK_LEASES, Deliveries, Delivery
from lookout.service.alerting.sinks import webhook
from lookout.service.alerting.sinks.webhook import WebhookSink
from lookout.service.cli import alert_trial
from lookout.service.core.addresses import is_allowed, networks_of
from lookout.service.core.messages import Alert, AlertEvent
from lookout.service.core.settings import Settings
from lookout.service.core.sinks import Letter, QuietHours, SinkRecord, SinkSpec, Told, choose
from lookout.service.ownership.leases import open_leases
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis import keys
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.store.camera_secrets import CameraSecrets
from lookout.service.storage.store.store import Store
from tests.cli import lookout
from tests.conftest import Urls
from tests.receiver import Receiver, receiver
from tests.service.api_server import Api, camera, is_problem, running_api, settings_for
from tests.waiting import wait_until

LOOPBACK = networks_of("127.0.0.0/8")
SECRET = "a-secret-of-both-sides"  # noqa: S105


@pytest.fixture
def settings(urls: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(deliveries, "RETRY_AFTER_S", (0.0, 0.0))
    monkeypatch.setattr(deliveries, "POLL_EVERY_S", 0.02)
    monkeypatch.setattr(deliveries, "FOLLOW_EVERY_S", 0.05)
    return settings_for(urls, tmp_path, webhook_networks="127.0.0.0/8", lease_s=0.5)


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def story(seq: int, camera: str = "gate", **changes: Any) -> list[AlertEvent]:
    at = 1000.0 + seq
    made = Alert(f"{camera}:1000-{seq}", camera, "open", at, None, 0.5, 0.9, at)
    alert = replace(made, **changes)
    closed = replace(alert, state="closed", closed_at=at + 1)
    return [AlertEvent("new", alert), AlertEvent("end", closed)]


def write(store: Store, *events: AlertEvent) -> None:
    for event in events:
        store.save_alerting(event.alert.camera, 0, {}, [event])


def record(url: str, **more: Any) -> SinkRecord:
    return SinkRecord.model_validate({"id": "pager", "url": url, "created_at": 1.0, **more})


def delivery(
    sink: SinkRecord, settings: Settings, bus: Bus, store: Store, retry_for_s: float = 0.0
) -> Delivery:
    leases = open_leases(settings, SINK_LEASES)
    return Delivery(WebhookSink(sink, LOOPBACK), bus, store, leases, sink, retry_for_s)


# What is sent


def test_an_event_is_sent_signed_and_with_its_id(
    settings: Settings, bus: Bus, store: Store, hook: Receiver
) -> None:
    one = delivery(record(hook.url, secret=SECRET), settings, bus, store)
    one.step()
    write(store, *story(1))
    one.step()
    first, last = hook.requests
    assert (first.json["event"], last.json["event"]) == ("new", "end")
    assert first.json["alert"]["id"] == "gate:1000-1"
    assert first.headers["X-Lookout-Event"] == first.json["id"] != last.json["id"]
    assert first.headers["Host"] == f"127.0.0.1:{hook.port}"
    assert first.path == "/hook?key=s3cr3t"
    stamp, _, code = first.headers[webhook.SIGNATURE].partition(",v1=")
    at = stamp.removeprefix("t=").encode()
    expected = hmac.new(SECRET.encode(), at + b"." + first.body, hashlib.sha256).hexdigest()
    assert code == expected
    assert bus.stage_counters("alerting") == {"delivery_delivered_pager": 2}


def test_alertmanagers_format(settings: Settings, bus: Bus, store: Store, hook: Receiver) -> None:
    one = delivery(record(hook.url, format="alertmanager"), settings, bus, store)
    one.step()
    write(store, *story(1))
    one.step()
    firing, resolved = (request.json for request in hook.requests)
    assert (firing["version"], firing["status"], resolved["status"]) == ("4", "firing", "resolved")
    assert firing["alerts"][0]["startsAt"] == "1970-01-01T00:16:41Z"
    assert firing["alerts"][0]["endsAt"] == "0001-01-01T00:00:00Z"
    assert resolved["alerts"][0]["endsAt"] == "1970-01-01T00:16:42Z"
    assert firing["alerts"][0]["fingerprint"] == resolved["alerts"][0]["fingerprint"]


# What does not work


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_a_receiver_that_fails_is_asked_again(
    settings: Settings, bus: Bus, store: Store, hook: Receiver, status: int
) -> None:
    hook.statuses = [status, status, 200]
    one = delivery(record(hook.url), settings, bus, store)
    one.step()
    write(store, *story(1))
    one.step()
    assert len(hook.requests) == 4
    assert len(set(hook.ids)) == 2
    assert store.letters("pager") == []
    assert store.sink_states()["pager"].failing_since is None


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (410, "answers 410"),
        (400, "answers 400"),
        (401, "answers 401"),
        (302, "redirects are not followed"),
    ],
)
def test_what_a_receiver_refuses_is_a_letter_at_once(
    settings: Settings, bus: Bus, store: Store, hook: Receiver, status: int, reason: str
) -> None:
    hook.statuses = [status]
    one = delivery(record(hook.url), settings, bus, store)
    one.step()
    write(store, *story(1))
    one.step()
    assert [request.path for request in hook.requests] == ["/hook?key=s3cr3t"] * 2
    letters = store.letters("pager")
    assert [reason in letter.reason for letter in letters] == [True, True]
    assert {letter.id for letter in letters} == set(hook.ids)
    assert store.sink_states()["pager"].failing_since is not None
    assert bus.stage_counters("alerting") == {"delivery_failed_pager": 2}


def test_a_receiver_that_never_answers_is_given_up_in_time(
    settings: Settings,
    bus: Bus,
    store: Store,
    hook: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT_S", 0.2)
    hook.hold = threading.Event()
    one = delivery(record(hook.url), settings, bus, store)
    one.step()
    write(store, *story(1)[:1])
    one.step()
    (letter,) = store.letters("pager")
    assert letter.reason == "no answer within 0.2 s"


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nhalf a body", "200"),
        ("HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nhalf", "500"),
        ("HTTP/1.1 200 OK\r\nContent-Le", "no answer within 0.3 s"),
        ("no HTTP at all\r\n\r\n", "RemoteProtocolError: illegal status line"),
    ],
)
def test_of_an_answer_its_status_alone_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, answer: str, outcome: str
) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT_S", 0.3)

    def answer_and_hold(listening: socket.socket, is_over: threading.Event) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer.encode())
            is_over.wait(30)

    is_over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer_and_hold, args=(listening, is_over))
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/hook"
        try:
            found = str(webhook.send(url, LOOPBACK, b"{}", {}))
        except ConnectionError as error:
            found = str(error)
        finally:
            is_over.set()
            thread.join()
    assert found.startswith(outcome)


def test_an_event_is_tried_for_as_long_as_is_set(
    settings: Settings, bus: Bus, store: Store, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "wait_after", lambda _attempt: 0.0)
    hook.statuses = [*[500] * 12, 200]
    one = delivery(record(hook.url), settings, bus, store, retry_for_s=3600.0)
    one.step()
    write(store, *story(1)[:1])
    one.step()
    assert len(hook.requests) == 13
    assert store.letters("pager") == []


def test_waits_rise_to_a_bound_and_are_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = [deliveries.wait_after(attempt) for attempt in range(200)]
    assert waits[:4] == [0.5, 1.0, 2.0, 4.0]
    assert all(4.0 <= wait <= deliveries.RETRY_MOST_S for wait in waits[4:])
    assert len(set(waits[20:])) > 100


def test_a_letter_is_sent_again_and_goes(
    settings: Settings, bus: Bus, store: Store, hook: Receiver
) -> None:
    hook.statuses = [410]
    one = delivery(record(hook.url), settings, bus, store)
    one.step()
    write(store, *story(1)[:1])
    one.step()
    (letter,) = store.letters("pager")
    store.send_letters_again("pager", letter.id)
    one.step()
    assert [one.again for one in store.letters("pager")] == [False]
    hook.statuses = [200]
    store.send_letters_again("pager")
    one.step()
    assert store.letters("pager") == []
    assert hook.ids == [letter.id] * 3


def test_letters_are_bounded_and_what_drops_is_counted(
    settings: Settings, bus: Bus, store: Store, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookout.service.storage.store.sinks.LETTERS_KEPT", 3)
    hook.statuses = [410]
    one = delivery(record(hook.url), settings, bus, store)
    one.step()
    write(store, *(event for seq in range(3) for event in story(seq)))
    one.step()
    assert [letter.id for letter in store.letters("pager")] == hook.ids[:2:-1]
    counted = bus.stage_counters("alerting")
    assert counted == {"delivery_failed_pager": 6, "delivery_dropped_pager": 3}


def test_killed_between_answer_and_cursor_the_event_comes_again_under_its_id(
    settings: Settings, bus: Bus, store: Store, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = record(hook.url, cooldown_s=60.0)
    one = delivery(sink, settings, bus, store)
    one.step()
    write(store, *story(1))
    with monkeypatch.context() as patched:
        patched.setattr(store, "save_delivery", killed)
        with contextlib.suppress(KeyboardInterrupt):
            one.step()
    bus._redis.delete(keys.lease(SINK_LEASES, "pager"))
    delivery(sink, settings, bus, store).step()
    first, again, last = hook.ids
    assert first == again != last
    assert [request.json["event"] for request in hook.requests] == ["new", "new", "end"]


def killed(*_: object) -> None:
    raise KeyboardInterrupt


# Addresses


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "168.63.129.16",
        "100.100.100.200",
        "0.0.0.0",  # noqa: S104
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fd00:ec2::254",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "ff02::1",
    ],
)
def test_no_local_address_is_sent_to(address: str) -> None:
    assert not is_allowed(ipaddress.ip_address(address), [])


@given(st.ip_addresses(v=4, network="10.0.0.0/8"), st.booleans())
def test_a_network_that_is_named_is_sent_to(
    address: ipaddress.IPv4Address, is_mapped: bool
) -> None:
    one: ipaddress.IPv4Address | ipaddress.IPv6Address = address
    if is_mapped:
        one = ipaddress.ip_address(f"::ffff:{address}")
    assert is_allowed(one, networks_of("10.0.0.0/8"))
    assert not is_allowed(one, networks_of("192.168.0.0/16"))


def test_an_address_that_is_refused_is_a_letter(
    settings: Settings, bus: Bus, store: Store, hook: Receiver
) -> None:
    sink = record(hook.url)
    leases = open_leases(settings, SINK_LEASES)
    one = Delivery(WebhookSink(sink, []), bus, store, leases, sink)
    one.step()
    write(store, *story(1)[:1])
    one.step()
    assert hook.requests == []
    assert "LOOKOUT_WEBHOOK_NETWORKS" in store.letters("pager")[0].reason


# Choice


def chosen(sink: SinkSpec, events: list[AlertEvent]) -> list[str]:
    """Return what is sent of events in turn."""
    last: dict[str, Told] = {}
    sent = []
    for event in events:
        name = choose(sink, event, last.get(event.alert.camera))
        if name is not None:
            sent.append(f"{name} {event.alert.id}")
            last[event.alert.camera] = Told(event.alert.opened_at, event.alert.id)
    return sent


def test_a_sink_chooses_cameras_kinds_peaks_and_events() -> None:
    url = "https://hooks.example/x"
    gate = story(1)
    yard = story(2, "yard", kind="tampering", peak_value=0.6)
    both = [*gate, *yard]
    assert chosen(SinkSpec(url=url), both) == [
        "new gate:1000-1",
        "end gate:1000-1",
        "new yard:1000-2",
        "end yard:1000-2",
    ]
    assert chosen(SinkSpec(url=url, cameras=["yard"], events=["end"]), both) == ["end yard:1000-2"]
    assert chosen(SinkSpec(url=url, kinds=["anomaly"], events=["new"]), both) == ["new gate:1000-1"]
    assert chosen(SinkSpec(url=url, min_peak=0.7, events=["new"]), both) == ["new gate:1000-1"]
    assert chosen(SinkSpec(url=url, enabled=False), both) == []


def test_an_alert_is_sent_once_its_peak_is_high_enough() -> None:
    new, end = story(1, peak_value=0.6)
    raised = AlertEvent("update", replace(new.alert, peak_value=0.8))
    ended = AlertEvent("end", replace(end.alert, peak_value=0.8))
    sink = SinkSpec(url="https://hooks.example/x", min_peak=0.7)
    assert chosen(sink, [new, raised, ended]) == ["new gate:1000-1", "end gate:1000-1"]


def test_a_cooldown_leaves_out_whole_alerts() -> None:
    sink = SinkSpec(url="https://hooks.example/x", cooldown_s=10.0)
    events = [event for seq in (0, 5, 12) for event in story(seq)]
    assert chosen(sink, events) == [
        "new gate:1000-0",
        "end gate:1000-0",
        "new gate:1000-12",
        "end gate:1000-12",
    ]


@pytest.mark.parametrize(
    ("begin", "end", "zone", "quiet"),
    [
        ("00:00", "00:30", "UTC", True),
        ("00:17", "00:30", "UTC", False),
        ("22:00", "06:00", "UTC", True),
        ("01:00", "02:00", "Europe/Zurich", True),
        ("10:00", "10:00", "UTC", False),
    ],
)
def test_quiet_hours(begin: str, end: str, zone: str, quiet: bool) -> None:
    hours = QuietHours(begin=begin, end=end, timezone=zone)
    assert hours.include(1000.0) is quiet
    sink = SinkSpec(url="https://hooks.example/x", quiet_hours=hours)
    assert (chosen(sink, story(0)) == []) is quiet


@pytest.mark.parametrize(
    ("begin", "end", "at", "quiet"),
    [
        ("22:00", "06:00", "2026-03-28T04:59:59Z", True),  # an hour earlier in the next night
        ("22:00", "06:00", "2026-03-28T05:00:00Z", False),
        ("22:00", "06:00", "2026-03-28T21:00:00Z", True),
        ("22:00", "06:00", "2026-03-29T03:59:59Z", True),
        ("22:00", "06:00", "2026-03-29T04:00:00Z", False),
        ("02:00", "03:00", "2026-03-29T01:00:00Z", False),  # this hour is left out
        ("02:00", "03:00", "2026-10-24T23:59:59Z", False),
        ("02:00", "03:00", "2026-10-25T00:30:00Z", True),  # this one comes twice
        ("02:00", "03:00", "2026-10-25T01:30:00Z", True),
        ("02:00", "03:00", "2026-10-25T02:00:00Z", False),
    ],
)
def test_quiet_hours_are_those_of_the_wall_clock(
    begin: str, end: str, at: str, quiet: bool
) -> None:
    hours = QuietHours(begin=begin, end=end, timezone="Europe/Zurich")
    assert hours.include(datetime.datetime.fromisoformat(at).timestamp()) is quiet


# The API, and sinks that come and go


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    with running_api(settings) as found:
        yield found


def test_sinks_come_change_and_go_while_alerting_works(
    api: Api, settings: Settings, bus: Bus, store: Store, hook: Receiver
) -> None:
    write(store, *story(1))  # older than any sink
    with Deliveries(settings, bus, store) as running:
        made = api.post("/sinks", {"id": "pager", "url": hook.url, "secret": SECRET})
        assert made.status_code == 201, made.text
        shown = made.json()
        assert shown["url"] == f"http://127.0.0.1:{hook.port}/…"
        assert shown["has_secret"]
        assert SECRET not in made.text
        write(store, *story(2))
        wait_until(lambda: len(hook.requests) == 2, "the events")
        wait_until(lambda: api.get("/sinks/pager").json()["delivered_at"], "its state")
        assert hook.requests[0].json["alert"]["id"] == "gate:1000-2"
        changed = api.patch("/sinks/pager", {"events": ["end"]}).json()
        assert (changed["events"], changed["has_secret"]) == (["end"], True)
        wait_until(lambda: is_followed(running, ["end"]), "the change")
        write(store, *story(3))
        wait_until(lambda: len(hook.requests) == 3, "the end")
        assert hook.requests[2].json["event"] == "end"
        assert api.post("/sinks/pager/test", {}).status_code == 202
        wait_until(lambda: len(hook.requests) == 4, "the test")
        wait_until(lambda: api.get("/sinks/pager/letters").json() == {"items": []}, "no letter")
        assert 'lookout_sink_failing_seconds{sink="pager"} 0.0' in api.http.get("/metrics").text
        assert api.delete("/sinks/pager").status_code == 204
        assert api.get("/sinks").json() == {"items": []}


def is_followed(running: Deliveries, events: list[str]) -> bool:
    found = running.followed.get("pager")
    return found is not None and found.events == events


def test_a_name_is_resolved_once_and_stays_in_the_request(
    settings: Settings, bus: Bus, store: Store, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved: list[Any] = []
    ask = socket.getaddrinfo

    def answer(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "hooks.example":
            resolved.append(host)
            return ask("127.0.0.1", *args, **kwargs)
        return ask(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    url = f"http://hooks.example:{hook.port}/x"
    one = delivery(record(url), settings, bus, store)
    one.step()
    write(store, *story(1)[:1])
    one.step()
    assert [request.headers["Host"] for request in hook.requests] == [f"hooks.example:{hook.port}"]
    assert resolved == ["hooks.example"]


def test_the_command_line_says_whether_an_alert_arrives(
    api: Api,
    settings: Settings,
    bus: Bus,
    store: Store,
    hook: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alert_trial, "WAIT_S", 5.0)
    address = f"http://127.0.0.1:{api.port}"
    store.add_camera(camera("gate"))
    assert "there is no sink" in lookout("test-alert", "gate", "--url", address, expect=1).err
    assert "no camera" in lookout("test-alert", "yard", "--url", address, expect=1).err
    with Deliveries(settings, bus, store):
        api.post("/sinks", {"id": "pager", "url": hook.url})
        said = lookout("test-alert", "gate", "--url", address)
        assert said.out == "pager: the alert arrived\n"
        assert hook.requests[-1].json["alert"]["camera"] == "gate"
        hook.statuses = [410]
        refused = lookout("test-alert", "gate", "--url", address, expect=1).one_line()
        assert refused == "lookout: pager: the receiver answers 410"
    nowhere = lookout("test-alert", "gate", "--url", "http://127.0.0.1:1", expect=1).one_line()
    assert "there is no API at http://127.0.0.1:1" in nowhere


def test_a_letter_does_not_wait_for_an_event_that_fails(
    settings: Settings, bus: Bus, store: Store, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "wait_after", lambda _attempt: 60.0)
    monkeypatch.setattr(deliveries, "LOOK_EVERY_S", 0.02)
    sink = record(hook.url)
    store.add_sink(sink)
    store.begin_delivery("pager")
    hook.statuses = [503]
    with delivery(sink, settings, bus, store, retry_for_s=3600.0):
        write(store, *story(1)[:1])
        wait_until(lambda: len(hook.requests) == 1, "the attempt")
        hook.statuses = [200]
        event = replace(story(2)[0], id="gate:1-0")
        store.add_letter("pager", Letter("gate:1-0", event, "", 1.0))
        store.send_letters_again("pager")
        wait_until(lambda: hook.ids[-1] == "gate:1-0", "the letter")


def test_letters_are_listed_sent_again_and_dropped(
    api: Api, settings: Settings, bus: Bus, store: Store, hook: Receiver
) -> None:
    api.post("/sinks", {"id": "pager", "url": hook.url})
    hook.statuses = [410]
    one = delivery(store.sink("pager"), settings, bus, store)
    one.step()
    write(store, *story(1))
    one.step()
    items = api.get("/sinks/pager/letters").json()["items"]
    assert [item["event"] for item in items] == ["end", "new"]
    assert api.get("/sinks/pager").json()["letters"] == 2
    assert 'lookout_dead_letters{sink="pager"} 2.0' in api.http.get("/metrics").text
    path = f"/sinks/pager/letters/{items[0]['id']}"
    assert api.post(f"{path}/send", {}).json() == {"count": 1}
    assert api.get("/sinks/pager/letters").json()["items"][0]["again"]
    assert api.post("/sinks/pager/resend", {}).json() == {"count": 2}
    assert api.delete(path).status_code == 204
    assert is_problem(api.delete(path), 404)
    assert is_problem(api.post("/sinks/other/resend", {}), 404)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"url": "http://169.254.169.254/latest"}, "metadata address"),
        ({"url": "http://[fd00:ec2::254]/"}, "metadata address"),
        ({"url": "ftp://example.org/"}, "https://"),
        ({"url": "https://user:s3cr3t@example.org/"}, "secret"),
        ({"url": "https://example.org/#x"}, "#"),
        ({"url": "https://example.org:99999/"}, "ort"),
        ({"url": "https://exa mple.org/"}, "spaces"),
        ({"url": "https://example.org/", "secret": "short"}, "16"),
        ({"url": "https://example.org/", "quiet_hours": {"begin": "25:00", "end": "1"}}, "22:00"),
        ({"url": "https://example.org/", "min_peak": 2}, "1"),
        ({"url": "https://example.org/", "events": []}, "1"),
    ],
)
def test_what_is_wrong_is_said(api: Api, body: dict[str, Any], reason: str) -> None:
    answer = api.post("/sinks", body)
    assert is_problem(answer, 422)
    assert reason in answer.json()["detail"]
    assert "s3cr3t" not in answer.text
    assert is_problem(api.post("/sinks", {"id": "log", "url": "https://example.org/"}), 409)


def test_address_and_secret_are_encrypted_in_the_store(urls: Urls) -> None:
    with closing(connect(urls.store)) as client:
        store = Store(client, secrets=CameraSecrets("11" * 32))
        store.add_sink(record("https://hooks.example/T0/s3cr3t", secret=SECRET))
        text = client.hget(keys.SINKS, "pager") or b""
        assert b"s3cr3t" not in text
        assert SECRET.encode() not in text
        assert store.sink("pager").url == "https://hooks.example/T0/s3cr3t"
        assert store.sink("pager").secret == SECRET
        other = Store(client, secrets=CameraSecrets("22" * 32))
        assert "another key" in (other.sinks()["pager"].unreadable or "")
        client.hset(keys.SINKS, "bad", "{")
        assert list(store.sinks()) == ["pager"]
