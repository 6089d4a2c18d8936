"""Addresses of sinks: which ones each kind takes, and how they are shown without their secrets."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

SinkKind = Literal["webhook", "mqtt", "apprise", "webpush"]

PORTS = {"http": 80, "https": 443, "mqtt": 1883, "mqtts": 8883}
LOCAL_SERVICES = frozenset(
    {"dbus", "deltachat", "gio", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows"}
)
"""Services of Apprise that speak to programs of the machine itself."""


class SinkServer(NamedTuple):
    """The server that an address names."""

    host: str
    port: int


def check_sink_url(kind: SinkKind, url: str) -> str:
    """Return the url. Raises ValueError where it is no address of a sink of this kind."""
    if re.search(r"[\s\x00-\x1f\x7f\\]", url):
        raise ValueError("an address without spaces and control characters is needed")
    if kind in ("webhook", "webpush"):
        check_webhook_url(url)
    elif kind == "mqtt":
        check_mqtt_url(url)
    else:
        check_apprise_url(url)
    return url


def check_webhook_url(url: str) -> None:
    """Raise ValueError where it is no address of a webhook, or of a push service."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("https:// or http:// and a host are needed")
    if parts.username is not None or parts.password is not None:
        raise ValueError("user and password are not sent: use `secret`, which signs each request")
    if parts.fragment:
        raise ValueError("a part behind # is not sent")
    _ = parts.port  # raises ValueError where it is none


def check_mqtt_url(url: str) -> None:
    """Raise ValueError where it is no address of a broker."""
    parts = urlsplit(url)
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
        raise ValueError("mqtt:// or mqtts:// and a host are needed")
    if parts.username is not None or parts.password is not None:
        raise ValueError("user and password do not stand in it: use `username` and `password`")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("nothing stands behind host and port: the topic is `topic`")
    if parts.port == 0:
        raise ValueError("Port 0 cannot be connected to")


def check_apprise_url(url: str) -> None:
    """Raise ValueError where it has not the form of Apprise's addresses."""
    found = re.match(r"(?i)([a-z][a-z0-9+.-]*)://\S", url)
    if not found:
        raise ValueError("an address of Apprise is needed, such as ntfys://host/topic")
    if found[1].lower() in LOCAL_SERVICES:
        raise ValueError(f"{found[1]}:// speaks to programs of Lookout's own machine")


def shown_url(kind: SinkKind, url: str) -> str:
    """Return an address as it is shown: what stands in it but a server may be a secret.

    With Apprise even a host may be one, such as a bot's token.
    """
    scheme, _, _ = url.partition("://")
    if kind == "apprise":
        return f"{scheme}://…"
    netloc = urlsplit(url).netloc
    if kind == "mqtt":
        return f"{scheme}://{netloc}"
    return f"{scheme}://{netloc}/…"


def server_of(url: str) -> SinkServer:
    """Return the server of a webhook, push service or broker."""
    parts = urlsplit(url)
    return SinkServer(parts.hostname or "", parts.port or PORTS[parts.scheme])
