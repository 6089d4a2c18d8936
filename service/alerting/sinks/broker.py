"""One connection to an MQTT broker (version 5), by paho-mqtt, which an extra installs."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lookout.service.core.addresses import IpNetwork
from lookout.service.core.confinement import confined
from lookout.service.core.errors import RefusedDeliveryError
from lookout.service.core.sink_addresses import server_of
from lookout.service.core.sinks import SinkRecord

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode

CONNECT_S = 5.0
ANSWER_S = 10.0
LEAVE_S = 1.0
KEEPALIVE_S = 15
"""A broker that has heard nothing for one and a half of it tells the last will."""

MOST_WAITING = 500
"""Messages that wait for the broker's answer; no more are taken meanwhile."""


class Broker:
    """A connection, from `connect` to its first failure; then another object is needed.

    So nothing waits in it that would be sent a second time.
    """

    def __init__(self, record: SinkRecord, networks: Sequence[IpNetwork]) -> None:
        """networks: that may be sent to beside public addresses."""
        self.availability = f"{record.topic}/availability"
        self.retained: set[str] = set()
        """Topics of `watch_retained` that the broker held a message of."""
        self.denied = ""
        """The topic of the last message that the broker did not take, and why."""
        self._record = record
        self._networks = networks
        self._client: Client | None = None
        self._settled = threading.Event()  # it is connected, or it never will be
        self._ended = threading.Event()
        self._refusal = ""
        self._topics: dict[int, str] = {}  # of messages without an answer yet
        self._shown: dict[str, bytes] = {}  # what the broker holds by this connection, by topic

    def connect(self) -> None:
        """Connect, with a last will.

        Raises ImportError, ConnectionError where a later attempt may work, and
        RefusedDeliveryError for an address that is not sent to.
        """
        from paho.mqtt import client as mqtt  # noqa: PLC0415
        from paho.mqtt.enums import CallbackAPIVersion  # noqa: PLC0415

        record = self._record
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id(record),
            protocol=mqtt.MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_S
        client.max_queued_messages_set(MOST_WAITING)
        client.will_set(self.availability, "offline", qos=1, retain=True)
        if record.password is not None:
            client.username_pw_set(record.username, record.password.get_secret_value())
        elif record.username is not None:
            client.username_pw_set(record.username)
        tls = None
        if record.url.startswith("mqtts://"):
            tls = RememberingContext(ssl.PROTOCOL_TLS_CLIENT)
            if record.ca is None:
                tls.load_default_certs()
            else:
                tls.load_verify_locations(cadata=record.ca)
            client.tls_set_context(tls)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_publish = self._published
        client.on_message = self._message
        host, port = server_of(record.url)
        try:
            with confined(self._networks) as limits:
                client.connect(host, port, keepalive=KEEPALIVE_S)
        except OSError as error:
            if tls is not None and tls.opened is not None:
                tls.opened.close()
            if limits.refused is not None:
                raise RefusedDeliveryError(limits.refused) from None
            raise ConnectionError(reason_of(error, host, is_tls=tls is not None)) from None
        self._client = client
        client.loop_start()
        if not self._settled.wait(CONNECT_S) or not client.is_connected():
            self.close()
            raise ConnectionError(
                self._refusal or f"no answer of the broker within {CONNECT_S:g} s"
            )

    @property
    def is_connected(self) -> bool:
        """Whether the broker can be sent to."""
        return self._client is not None and self._client.is_connected()

    def send(self, topic: str, payload: str) -> None:
        """Publish a message and wait until the broker has taken it. Raises ConnectionError.

        After a failure the connection is closed, unless the broker refuses this topic alone.
        """
        if self._client is None:
            raise ConnectionError("the broker is not connected")
        self.denied = ""
        info = self._client.publish(topic, payload, qos=1)
        self._topics[info.mid] = topic
        until = time.monotonic() + ANSWER_S
        while not (info.rc == 0 and info.is_published()):
            reason = ""
            if self.denied:  # some brokers end the connection then
                reason = f"the broker does not take {self.denied}"
            elif not self.is_connected or info.rc != 0:
                reason = "the connection to the broker broke off"
            elif time.monotonic() > until:
                reason = f"no answer of the broker within {ANSWER_S:g} s"
            if reason:
                self.close()
                raise ConnectionError(reason)
            with contextlib.suppress(RuntimeError):  # the next turn says why
                info.wait_for_publish(0.5)
        if self.denied.startswith(f"{topic}: "):
            raise ConnectionError(f"the broker does not take {self.denied}")

    def show(self, topic: str, payload: bytes) -> bool:
        """Have the broker keep a message, unless it holds it; return False where it is too busy.

        An empty message removes what it holds.
        """
        if self._shown.get(topic) == payload:
            return True
        if self._client is None:
            return False
        info = self._client.publish(topic, payload, qos=1, retain=True)
        if info.rc != 0:
            return False
        self._topics[info.mid] = topic
        self._shown[topic] = payload
        return True

    def watch_retained(self, pattern: str) -> None:
        """Note in `retained` the topics of a pattern that the broker holds a message of."""
        if self._client is not None:
            self._client.subscribe(pattern, qos=0)

    def close(self, last: bytes | None = None) -> None:
        """End the connection; last: the availability that the broker keeps, None: the last will."""
        client = self._client
        self._client = None
        if client is None:
            return
        opened = client.socket()
        if last is not None and client.is_connected():
            info = client.publish(self.availability, last, qos=1, retain=True)
            with contextlib.suppress(RuntimeError, ValueError):  # it broke off meanwhile
                info.wait_for_publish(LEAVE_S)
            client.disconnect()
            self._ended.wait(LEAVE_S)
        if isinstance(opened, socket.socket):  # its thread may wait for a broker that says nothing
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
        client.loop_stop()

    def _connected(self, _c: Any, _d: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:
        if reason.is_failure:
            self._refusal = f"the broker refuses: {reason}"
            if reason.value in WRONG_LOGIN:
                self._refusal = f"the broker refuses user and password: {reason}"
        self._settled.set()

    def _disconnected(self, _c: Any, _d: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:
        self._refusal = self._refusal or f"the broker ends the connection: {reason}"
        self._settled.set()
        self._ended.set()

    def _published(self, _c: Any, _d: Any, message: int, reason: ReasonCode, _p: Any) -> None:
        topic = self._topics.pop(message, "a topic")
        if reason.is_failure:
            self.denied = f"{topic}: {reason}"

    def _message(self, _c: Any, _d: Any, message: MQTTMessage) -> None:
        if message.retain and message.payload:
            self.retained.add(message.topic)


WRONG_LOGIN = frozenset({134, 135})
"""Codes of MQTT 5: bad user name or password, not authorized."""


class RememberingContext(ssl.SSLContext):
    """TLS that knows its socket: paho forgets to close one whose handshake has failed."""

    opened: ssl.SSLSocket | None = None

    def wrap_socket(self, *words: Any, **named: Any) -> ssl.SSLSocket:
        """Return the socket with TLS."""
        self.opened = super().wrap_socket(*words, **named)
        return self.opened


def client_id(record: SinkRecord) -> str:
    """Return the name by which a broker knows the sink: whichever worker has it, one at a time."""
    digest = hashlib.sha256(f"{record.id} {record.created_at}".encode()).hexdigest()
    return f"lookout{digest[:15]}"


def reason_of(error: OSError, host: str, *, is_tls: bool) -> str:
    """Return why a broker cannot be connected to."""
    if isinstance(error, socket.gaierror):
        return f"the name {host!r} has no address"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the broker's certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError) or (is_tls and isinstance(error, ConnectionResetError)):
        return f"no TLS with the broker: {error.strerror or error}"
    if isinstance(error, TimeoutError):
        return f"the broker does not answer within {CONNECT_S:g} s"
    return f"the broker is away: {error.strerror or error}"
