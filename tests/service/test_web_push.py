"""Web push: each alert event is a message that the browser alone can read, from a key it knows."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import http_ece
import pytest
import redis
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from lookout.service.alerting import deliveries
from lookout.service.alerting.deliveries import SINK_LEASES, Delivery
from lookout.service.alerting.sinks import open_sink
from lookout.service.core.messages import Alert, AlertEvent
from lookout.service.core.settings import Settings
from lookout.service.core.sinks import SinkRecord
from lookout.service.core.web_push import public_key, unpadded
from lookout.service.ownership.leases import open_leases
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis import keys
from lookout.service.storage.store.store import Store
from tests.conftest import Urls
from tests.receiver import Received, Receiver, receiver
from tests.service.api_server import Api, api, is_problem, one_api, settings_for

__all__ = ["api", "one_api"]


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(frozen=True)
class Browser:
    """The keys and the endpoint that a browser keeps of its subscription."""

    key: ec.EllipticCurvePrivateKey
    secret: bytes = b"sixteen bytes 00"

    @property
    def push_keys(self) -> dict[str, str]:
        form = serialization.PublicFormat.UncompressedPoint
        point = self.key.public_key().public_bytes(serialization.Encoding.X962, form)
        return {"p256dh": base64url(point), "auth": base64url(self.secret)}

    def read(self, request: Received) -> Any:
        """Decrypt a message, as RFC 8291 has it."""
        assert request.headers["Content-Encoding"] == "aes128gcm"
        text = http_ece.decrypt(request.body, private_key=self.key, auth_secret=self.secret)
        return json.loads(text)


def claims_of(request: Received, key: str) -> Any:
    """Return what the service says of itself, once its signature fits the key (RFC 8292)."""
    scheme, _, fields = request.headers["Authorization"].partition(" ")
    parts = dict(field.split("=", 1) for field in fields.split(","))
    assert (scheme, parts["k"]) == ("vapid", key)
    signed, _, signature = parts["t"].rpartition(".")
    raw = unpadded(signature)
    numbers = (int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unpadded(key))
    point.verify(encode_dss_signature(*numbers), signed.encode(), ec.ECDSA(hashes.SHA256()))
    return json.loads(unpadded(signed.split(".")[1]))


@pytest.fixture(scope="module")
def browser() -> Browser:
    return Browser(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
def settings(urls: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(deliveries, "RETRY_AFTER_S", (0.0, 0.0))
    return settings_for(urls, tmp_path, webhook_networks="127.0.0.0/8", lease_s=0.5)


@pytest.fixture
def service() -> Iterator[Receiver]:
    """A push service on loopback."""
    with receiver() as found:
        found.statuses = [201]
        yield found


def subscribe(
    browser: Browser, service: Receiver, settings: Settings, bus: Bus, store: Store, **changes: Any
) -> Delivery:
    """The delivery to a browser, ready for what comes."""
    url = f"http://127.0.0.1:{service.port}/push/s3cr3t"
    sink = SinkRecord.model_validate(
        {
            "id": "phone",
            "kind": "webpush",
            "url": url,
            "push_keys": browser.push_keys,
            "created_at": 1.0,
        }
    )
    store.add_sink(sink)
    stored = store.sink("phone")
    assert stored == sink
    one = open_sink(stored, settings.model_copy(update=changes), bus, store)
    found = Delivery(one, bus, store, open_leases(settings, SINK_LEASES), stored)
    found.step()
    return found


def write(store: Store) -> None:
    alert = Alert("gate:1000-1", "gate", "open", 1000.0, None, 0.5, 0.93, 1000.0, zone="door")
    store.save_alerting("gate", 0, {}, [AlertEvent("new", alert)])


def test_a_browser_reads_an_alert_from_a_service_that_it_knows(
    browser: Browser, service: Receiver, settings: Settings, bus: Bus, store: Store
) -> None:
    one = subscribe(browser, service, settings, bus, store)
    write(store)
    one.step()
    (request,) = service.requests
    shown = browser.read(request)
    assert shown["title"] == "Camera gate, zone door: anomaly, peak 0.93"
    assert shown["text"].startswith("Opened at 1970-01-01T00:16:40Z\nnew gate:")
    assert shown["alert"] == "gate:1000-1"
    assert b"gate" not in request.body
    claims = claims_of(request, public_key(store.push_key()))
    assert claims["aud"] == f"http://127.0.0.1:{service.port}"
    assert claims["sub"] == settings.push_contact
    assert 0 < claims["exp"] - time.time() < 24 * 3600
    assert request.headers["TTL"] == "86400"
    assert bus.stage_counters("alerting") == {"delivery_delivered_phone": 1}


def test_a_push_service_that_fails_is_asked_again(
    browser: Browser, service: Receiver, settings: Settings, bus: Bus, store: Store
) -> None:
    service.statuses = [503, 429, 201]
    one = subscribe(browser, service, settings, bus, store)
    write(store)
    one.step()
    assert len(service.requests) == 3
    assert bus.stage_counters("alerting") == {"delivery_delivered_phone": 1}


@pytest.mark.parametrize(
    ("status", "reason"),
    [(403, "answers 403"), (302, "answers 302: redirects are not followed, give the last address")],
)
def test_a_refused_message_is_a_letter(
    browser: Browser,
    service: Receiver,
    settings: Settings,
    bus: Bus,
    store: Store,
    status: int,
    reason: str,
) -> None:
    service.statuses = [status]
    one = subscribe(browser, service, settings, bus, store)
    write(store)
    one.step()
    assert [letter.reason for letter in store.letters("phone")] == [f"the receiver {reason}"]
    assert len(service.requests) == 1


@pytest.mark.parametrize("status", [404, 410])
def test_a_subscription_that_has_ended_is_removed(
    browser: Browser, service: Receiver, settings: Settings, bus: Bus, store: Store, status: int
) -> None:
    service.statuses = [status]
    one = subscribe(browser, service, settings, bus, store)
    write(store)
    one.step()
    assert len(service.requests) == 1
    assert store.sinks() == {}
    assert store.sink_states() == {}
    assert store.letters("phone") == []


def test_a_subscription_that_ends_while_the_store_is_away_is_removed_later(
    browser: Browser,
    service: Receiver,
    settings: Settings,
    bus: Bus,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service.statuses = [410]
    one = subscribe(browser, service, settings, bus, store)
    write(store)

    def is_away(_sink: str) -> None:
        raise redis.ConnectionError("away")

    with monkeypatch.context() as patch:
        patch.setattr(store, "remove_sink", is_away)
        with pytest.raises(redis.ConnectionError):
            one.step()
    assert list(store.sinks()) == ["phone"]
    one.step()
    assert store.sinks() == {}


def test_an_address_of_the_own_network_is_a_letter(
    browser: Browser, service: Receiver, settings: Settings, bus: Bus, store: Store
) -> None:
    one = subscribe(browser, service, settings, bus, store, webhook_networks="")
    write(store)
    one.step()
    assert service.requests == []
    assert "LOOKOUT_WEBHOOK_NETWORKS" in store.letters("phone")[0].reason


def test_the_key_is_made_once_and_shown_in_public_alone(api: Api, store: Store) -> None:
    shown = api.get("/push-key").json()
    private = store.push_key()
    assert shown == {"public_key": public_key(private)}
    assert store.push_key() == private
    stored = store._redis.get(keys.PUSH_KEY)
    assert isinstance(stored, bytes)
    assert (private.encode() in stored) == (not store.has_secret_key)


def test_a_subscription_is_a_sink_whose_secrets_are_not_shown(api: Api, browser: Browser) -> None:
    body = {"id": "mine", "kind": "webpush", "url": "https://push.example/s3cr3t"}
    made = api.post("/sinks", {**body, "push_keys": browser.push_keys})
    assert made.status_code == 201, made.text
    assert made.json()["url"] == "https://push.example/…"
    everything = made.text + api.get("/sinks").text
    assert "s3cr3t" not in everything
    assert browser.push_keys["auth"] not in everything


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"push_keys": None}, "kind webpush needs `push_keys`"),
        ({"push_keys": {"p256dh": "A" * 87, "auth": "A" * 22}}, "no point of the curve"),
        ({"push_keys": {"p256dh": "short", "auth": "A" * 22}}, "p256dh"),
        ({"url": "https://127.0.0.1/push"}, "a private, local or metadata address"),
        ({"secret": "a-secret-of-both-sides"}, "`secret` is of a sink of kind webhook"),
    ],
)
def test_a_wrong_subscription_is_refused(
    api: Api, browser: Browser, changes: dict[str, Any], reason: str
) -> None:
    body = {"kind": "webpush", "url": "https://push.example/x", "push_keys": browser.push_keys}
    assert reason in is_problem(api.post("/sinks", {**body, **changes}), 422)
