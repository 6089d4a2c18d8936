"""Apprise: each alert event is a message to people, and no address of a service is shown."""

from __future__ import annotations

import logging
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

from lookout.service.alerting import deliveries
from lookout.service.alerting.deliveries import SINK_LEASES, Delivery
from lookout.service.alerting.sinks import open_sink
from lookout.service.core.addresses import networks_of
from lookout.service.core.confinement import confined
from lookout.service.core.messages import Alert, AlertEvent
from lookout.service.core.notifications import without_secrets
from lookout.service.core.settings import Settings
from lookout.service.core.sinks import SinkRecord
from lookout.service.ownership.leases import open_leases
from lookout.service.storage import pictures
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests.conftest import Urls
from tests.receiver import Receiver, receiver
from tests.service.api_server import Api, api, free_port, is_problem, one_api, settings_for

__all__ = ["api", "one_api"]


@pytest.fixture
def settings(urls: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(deliveries, "RETRY_AFTER_S", (0.0, 0.0))
    return settings_for(urls, tmp_path, webhook_networks="127.0.0.0/8", lease_s=0.5)


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def delivery(url: str, settings: Settings, bus: Bus, store: Store, **changes: Any) -> Delivery:
    fields = {"id": "phone", "kind": "apprise", "url": url, "created_at": 1.0}
    sink = SinkRecord.model_validate(fields)
    one = open_sink(sink, settings.model_copy(update=changes), bus, store)
    return Delivery(one, bus, store, open_leases(settings, SINK_LEASES), sink)


def write(store: Store) -> None:
    """Write an alert that opens and closes."""
    alert = Alert("gate:1000-1", "gate", "open", 1000.0, None, 0.5, 0.93, 1000.0, zone="door")
    closed = replaced(alert, state="closed", closed_at=1004.0)
    for event in (AlertEvent("new", alert), AlertEvent("end", closed)):
        store.save_alerting("gate", 0, {}, [event])


def test_an_event_is_a_message_with_a_picture(
    settings: Settings, bus: Bus, store: Store, hook: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    pictures.keep(pictures.picture_path(settings.data_dir, "gate:1000-1", "open"), b"\xff\xd8\xff")
    one = delivery(f"json://127.0.0.1:{hook.port}/s3cr3t", settings, bus, store)
    one.step()
    write(store)
    one.step()
    first, last = (request.json for request in hook.requests)
    assert first["title"] == "Camera gate, zone door: anomaly, peak 0.93"
    assert last["title"] == "Camera gate, zone door: anomaly, peak 0.93, over"
    assert first["message"].startswith("Opened at 1970-01-01T00:16:40Z\nnew gate:")
    assert "From 1970-01-01T00:16:40Z to 1970-01-01T00:16:44Z\nend gate:" in last["message"]
    assert [one["mimetype"] for one in first["attachments"]] == ["image/jpeg"]
    assert bus.stage_counters("alerting") == {"delivery_delivered_phone": 2}
    assert "s3cr3t" not in caplog.text


def test_a_service_that_fails_is_asked_again_and_its_letter_tells_no_secret(
    settings: Settings, bus: Bus, store: Store, hook: Receiver
) -> None:
    hook.statuses = [500, 500, 302, 200]
    one = delivery(f"json://user:s3cr3t@127.0.0.1:{hook.port}/t0ken", settings, bus, store)
    one.step()
    write(store)
    one.step()
    paths = [request.path for request in hook.requests]
    assert paths == ["/t0ken"] * 4  # no redirect is followed
    (letter,) = store.letters("phone")
    assert letter.reason.endswith("error=302.")
    assert bus.stage_counters("alerting") == {
        "delivery_delivered_phone": 1,
        "delivery_failed_phone": 1,
    }


def test_an_address_of_the_own_network_is_a_letter(
    settings: Settings, bus: Bus, store: Store, hook: Receiver
) -> None:
    url = f"json://localhost:{hook.port}/"
    one = delivery(url, settings, bus, store, webhook_networks="")
    one.step()
    write(store)
    one.step()
    assert hook.requests == []
    assert "LOOKOUT_WEBHOOK_NETWORKS" in store.letters("phone")[0].reason


@dataclass
class Mailbox:
    """A mail server's mails."""

    mails: list[Envelope] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        self.mails.append(envelope)
        return "250 OK"


def test_a_mail_comes_with_its_picture(settings: Settings, bus: Bus, store: Store) -> None:
    pictures.keep(pictures.picture_path(settings.data_dir, "gate:1000-1"), b"\xff\xd8\xff")
    mailbox = Mailbox()
    server = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    server.start()
    try:
        people = "from=lookout@example.org&to=guard@example.org"
        one = delivery(f"mailto://127.0.0.1:{server.port}?{people}", settings, bus, store)
        one.step()
        write(store)
        one.step()
    finally:
        server.stop()
    assert [mail.rcpt_tos for mail in mailbox.mails] == [["guard@example.org"]] * 2
    content = mailbox.mails[0].content
    assert isinstance(content, bytes)
    assert b"Subject: Camera gate, zone door: anomaly, peak 0.93" in content
    assert b"image/jpeg" in content


def test_a_service_is_set_up_and_shown_without_its_address(api: Api) -> None:
    made = api.post("/sinks", {"kind": "apprise", "url": "tgram://123456789:s3cr3t_abcdefgh/chat1"})
    assert made.status_code == 201, made.text
    assert made.json()["url"] == "tgram://…"
    everything = api.get("/sinks").text + made.text
    assert "s3cr3t" not in everything
    assert "123456789" not in everything


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"url": "tgram://s3cr3t"}, "Apprise knows no such address"),
        ({"url": "nonsense://s3cr3t/x"}, "Apprise knows no such address"),
        ({"url": "s3cr3t"}, "ntfys://"),
        ({"url": "syslog://s3cr3t"}, "own machine"),
        ({"url": "json://127.0.0.1/s3cr3t"}, "LOOKOUT_WEBHOOK_NETWORKS"),
        ({"url": "mailto://u:s3cr3t@example.org?smtp=169.254.169.254"}, "metadata address"),
        ({"url": "json://example.invalid/", "format": "alertmanager"}, "kind webhook"),
    ],
)
def test_what_is_wrong_is_said(api: Api, body: dict[str, Any], reason: str) -> None:
    answer = api.post("/sinks", {"kind": "apprise"} | body)
    assert is_problem(answer, 422)
    assert reason in answer.json()["detail"]
    assert "s3cr3t" not in answer.text


def test_a_library_that_is_confined_reaches_neither_files_nor_programs(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    with confined(networks_of("10.0.0.0/8")) as limits:
        with pytest.raises(PermissionError, match="reads a file"):
            secret.read_text()
        with pytest.raises(PermissionError, match="starts a program"):
            subprocess.run(["true"], check=True)
        with socket.socket(socket.AF_UNIX) as local, pytest.raises(PermissionError):
            local.connect(str(secret))
        with socket.socket() as metadata, pytest.raises(PermissionError, match="metadata"):
            metadata.connect(("169.254.169.254", 80))
        with socket.socket(type=socket.SOCK_DGRAM) as log, pytest.raises(PermissionError):
            log.sendto(b"x", ("127.0.0.1", 514))
    assert limits.refused == "it reads a file of Lookout's own machine"
    with confined([], [secret]):
        assert secret.read_text() == "x"
    assert secret.read_text() == "x"


def test_a_reason_tells_no_part_of_an_address() -> None:
    url = "json://user:pass%20word@host.example/t0ken?key=s3cr3t"
    text = "user pass%20word pass word host.example t0ken s3cr3t failed"
    assert without_secrets(text, url) == "… … … … … … failed"
