"""Events of alerts as other programs and people read them."""

from __future__ import annotations

import datetime
import hashlib
from typing import Any
from urllib.parse import quote

import msgspec

from lookout.service.core.messages import Alert, AlertEvent
from lookout.service.core.sinks import SinkRecord


def payload(sink: SinkRecord, event: AlertEvent) -> dict[str, Any]:
    """Return the body of an event in the sink's format."""
    if sink.format == "alertmanager":
        return alertmanager_payload(sink, event)
    path = f"/api/v1/alerts/{quote(event.alert.id, safe=':')}"
    return {
        "version": 1,
        "id": event.id,
        "event": event.event,
        "alert": msgspec.to_builtins(event.alert),
        "evidence": {
            "picture": f"{path}/picture?which=open",
            "peak": f"{path}/picture?which=peak",
            "clip": f"{path}/clip",
        },
    }


def alertmanager_payload(sink: SinkRecord, event: AlertEvent) -> dict[str, Any]:
    """Return the body that Alertmanager's webhook receivers take, version 4."""
    alert = event.alert
    labels = {"alertname": "LookoutAlert", "camera": alert.camera, "kind": alert.kind}
    if alert.zone is not None:
        labels["zone"] = alert.zone
    annotations = {"summary": summary(alert), "alert_id": alert.id}
    status = "firing" if alert.state == "open" else "resolved"
    return {
        "version": "4",
        "groupKey": f"lookout:{alert.id}",
        "truncatedAlerts": 0,
        "status": status,
        "receiver": sink.id,
        "groupLabels": labels,
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "",
        "alerts": [
            {
                "status": status,
                "labels": labels,
                "annotations": annotations,
                "startsAt": rfc3339(alert.opened_at),
                "endsAt": rfc3339(alert.closed_at),
                "generatorURL": "",
                "fingerprint": hashlib.sha256(alert.id.encode()).hexdigest()[:16],
            }
        ],
    }


def rfc3339(at: float | None) -> str:
    """Return a time (s, UTC) as text; the year 1 for none, as Alertmanager writes it."""
    if at is None:
        return "0001-01-01T00:00:00Z"
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat().replace("+00:00", "Z")


def summary(alert: Alert) -> str:
    """Return an alert in one line."""
    place = f"Camera {alert.camera}"
    if alert.zone is not None:
        place += f", zone {alert.zone}"
    return f"{place}: {alert.kind}, peak {alert.peak_value:.2f}"


def message(event: AlertEvent) -> tuple[str, str]:
    """Return title and text of an event for a person; the text ends with the event's id."""
    alert = event.alert
    lines = [f"Opened at {rfc3339(alert.opened_at)}"]
    if alert.closed_at is not None:
        lines = [f"From {rfc3339(alert.opened_at)} to {rfc3339(alert.closed_at)}"]
    if alert.detail:
        lines.append(alert.detail)
    lines.append(f"{event.event} {event.id}")
    title = summary(alert)
    if event.event == "end":
        title += ", over"
    return title, "\n".join(lines)
