"""Failures of a receiver, the same for each kind of sink: tried again, or a letter."""

from __future__ import annotations

import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lookout.service.alerting.sinks import open_sink, webhook
from lookout.service.core import notifications
from lookout.service.core.addresses import NoSuchHostError
from lookout.service.core.messages import Alert, AlertEvent
from lookout.service.core.settings import Settings
from lookout.service.core.sinks import SinkRecord
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests.conftest import Urls
from tests.mosquitto import with_tls
from tests.receiver import Receiver, receiver
from tests.service.api_server import Api, api, free_port, is_problem, one_api, settings_for
from tests.service.test_web_push import Browser

__all__ = ["api", "one_api"]

EVENT = AlertEvent("new", Alert("gate:1000-1", "gate", "open", 1000.0, None, 0.5, 0.93, 1000.0))
BY_HTTP = ("webhook", "apprise", "webpush")
SCHEMES = {"apprise": "json", "mqtt": "mqtt"}
LIBRARIES = {
    "apprise": ["apprise"],
    "mqtt": ["paho.mqtt", "paho.mqtt.client"],
    "webpush": ["pywebpush"],
}
BROWSER = Browser(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
def settings(urls: Urls, tmp_path: Path) -> Settings:
    return settings_for(urls, tmp_path, webhook_networks="127.0.0.0/8")


@pytest.fixture(scope="module")
def silent() -> Iterator[Receiver]:
    """A receiver that takes a request and does not answer."""
    with receiver() as found:
        found.hold = threading.Event()
        yield found


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """A receiver whose certificate is of no public authority."""
    folder = tmp_path_factory.mktemp("tls")
    with_tls(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    with receiver(context) as found:
        yield found


def sink_of(kind: str, server: str, *, tls: bool = False) -> SinkRecord:
    """A sink of a kind at a server, HOST:PORT."""
    scheme = SCHEMES.get(kind, "http") + ("s" if tls else "")
    keys = BROWSER.push_keys if kind == "webpush" else None
    url = f"{scheme}://{server}"
    fields = {"id": "one", "kind": kind, "url": url, "push_keys": keys, "created_at": 1.0}
    return SinkRecord.model_validate(fields)


@pytest.mark.parametrize("kind", BY_HTTP)
@pytest.mark.parametrize("host", ["127.0.0.1", "receiver.invalid"])
def test_a_receiver_that_is_away_is_tried_again(
    settings: Settings, bus: Bus, store: Store, kind: str, host: str
) -> None:
    sink = open_sink(sink_of(kind, f"{host}:{free_port()}"), settings, bus, store)
    with pytest.raises((ConnectionError, NoSuchHostError)):
        sink.deliver(EVENT)


@pytest.mark.parametrize("kind", BY_HTTP)
def test_a_receiver_that_does_not_answer_is_left_in_time_and_tried_again(
    settings: Settings,
    bus: Bus,
    store: Store,
    silent: Receiver,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT_S", 0.1)
    monkeypatch.setattr(notifications, "ANSWER_S", 0.1)
    record = sink_of(kind, f"127.0.0.1:{silent.port}")
    reason = "Connection error" if kind == "apprise" else r"no answer within 0\.1 s"
    with pytest.raises(ConnectionError, match=reason):
        open_sink(record, settings, bus, store).deliver(EVENT)


@pytest.mark.parametrize("kind", BY_HTTP)
def test_a_certificate_that_is_not_accepted_is_tried_again(
    settings: Settings, bus: Bus, store: Store, tls: Receiver, kind: str
) -> None:
    record = sink_of(kind, f"localhost:{tls.port}", tls=True)
    with pytest.raises(ConnectionError, match=r"(?i)certificate|connection"):
        open_sink(record, settings, bus, store).deliver(EVENT)
    assert tls.requests == []


@pytest.mark.parametrize("kind", [*BY_HTTP, "mqtt"])
def test_an_address_under_a_lost_key_waits_for_the_key(
    settings: Settings, bus: Bus, store: Store, kind: str
) -> None:
    lost = sink_of(kind, "127.0.0.1:1").model_copy(update={"unreadable": "it has another key"})
    with pytest.raises(ConnectionError, match="its address cannot be read: it has another key"):
        open_sink(lost, settings, bus, store).deliver(EVENT)


@pytest.fixture(params=sorted(LIBRARIES))
def without_extra(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A kind of sink whose libraries are not there."""
    kind: str = request.param
    for library in LIBRARIES[kind]:
        monkeypatch.setitem(sys.modules, library, None)
    return kind


def test_a_sink_without_its_extra_waits_for_it(
    settings: Settings, bus: Bus, store: Store, without_extra: str
) -> None:
    sink = open_sink(sink_of(without_extra, "127.0.0.1:1"), settings, bus, store)
    with pytest.raises(ConnectionError, match=rf"pip install 'lookout\[{without_extra}\]'"):
        sink.deliver(EVENT)


def test_a_sink_without_its_extra_is_not_set_up(api: Api, without_extra: str) -> None:
    record = sink_of(without_extra, "receiver.example:1", tls=True)
    asked = record.model_dump(include={"id", "kind", "url", "push_keys"}, exclude_none=True)
    refused = is_problem(api.post("/sinks", asked), 422)
    assert f"pip install 'lookout[{without_extra}]'" in refused
