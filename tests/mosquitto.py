"""A real MQTT broker (Debian's mosquitto) on loopback, and a receiver that counts what it tells."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import ssl
import subprocess
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.service.api_server import free_port
from tests.waiting import wait_until

USER = "lookout"
PASSWORD = "correct horse: battery"  # noqa: S105
CONFIG = """
user root
listener {port} 127.0.0.1
allow_anonymous {anonymous}
persistence true
persistence_location {folder}/
autosave_interval 1
autosave_on_changes true
max_queued_messages 0
"""


@dataclass(slots=True)
class Mosquitto:
    """A broker that a test starts, kills and starts again on the same port."""

    folder: Path
    port: int
    more: str = ""  # lines of its configuration
    anonymous: bool = True
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        config = self.folder / "mosquitto.conf"
        anonymous = str(self.anonymous).lower()
        text = CONFIG.format(port=self.port, folder=self.folder, anonymous=anonymous)
        config.write_text(text + self.more)
        log = (self.folder / "mosquitto.log").open("ab")
        with log:
            self._process = subprocess.Popen(["mosquitto", "-c", config], stdout=log, stderr=log)
        wait_until(self.listens, f"the broker listens, see {log.name}")

    def listens(self) -> bool:
        """Tell whether it takes connections."""
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "mosquitto.log").read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def freeze(self) -> None:
        """Have it stand still: its connections stay, and it says nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def mosquitto(folder: Path, more: str = "", *, anonymous: bool = True) -> Iterator[Mosquitto]:
    """Run a broker until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    found = Mosquitto(folder, free_port(), more, anonymous)
    found.start()
    try:
        yield found
    finally:
        found.kill()


def with_password(folder: Path) -> str:
    """Return the lines of a configuration by which USER needs PASSWORD."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", path, USER, PASSWORD], check=True)
    return f"password_file {path}\n"


def with_tls(folder: Path) -> tuple[str, str]:
    """Return the lines of a configuration with TLS for `localhost`, and the certificate (PEM)."""
    folder.mkdir(parents=True, exist_ok=True)
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return f"certfile {certificate}\nkeyfile {key}\n", certificate.read_text()


@dataclass(slots=True)
class Counter:
    """Messages that came, in order, without those that the broker had kept; and what it keeps."""

    messages: list[tuple[str, Any]] = field(default_factory=list)
    kept: dict[str, bytes] = field(default_factory=dict)
    subscribed: threading.Event = field(default_factory=threading.Event)
    client: mqtt.Client | None = None

    def alerts(self, camera: str = "gate") -> list[Any]:
        """The events of a camera's alerts."""
        return [body for topic, body in self.messages if topic == f"lookout/{camera}/alert"]

    @property
    def ids(self) -> list[str]:
        """The ids of all events."""
        return [body["id"] for topic, body in self.messages if topic.endswith("/alert")]

    def shown(self, topic: str) -> Any:
        """What the broker keeps under a topic: JSON, or the text."""
        text = self.kept.get(topic, b"").decode(errors="replace")
        with contextlib.suppress(ValueError):
            return json.loads(text)
        return text


@contextlib.contextmanager
def counting(broker: Mosquitto, context: ssl.SSLContext | None = None) -> Iterator[Counter]:
    """Subscribe to everything with QoS 1 until the block ends.

    The session stays while the broker is away: what comes meanwhile is told afterwards.
    """
    found = Counter()

    def message(_c: Any, _d: Any, one: mqtt.MQTTMessage) -> None:
        found.kept[one.topic] = bytes(one.payload)
        if not one.retain and one.topic.endswith("/alert"):
            found.messages.append((one.topic, json.loads(one.payload)))

    def connected(client: mqtt.Client, *_: Any) -> None:
        client.subscribe("#", qos=1)

    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, f"counter-{uuid.uuid4().hex[:8]}", clean_session=False
    )
    client.reconnect_delay_set(1, 1)
    client.username_pw_set(USER, PASSWORD)
    if context is not None:
        client.tls_set_context(context)
    found.client = client
    client.on_message = message
    client.on_connect = connected
    client.on_subscribe = lambda *_: found.subscribed.set()
    client.connect("localhost" if context else "127.0.0.1", broker.port, keepalive=5)
    client.loop_start()
    try:
        assert found.subscribed.wait(10)
        yield found
    finally:
        client.disconnect()
        client.loop_stop()
