"""Messages to people by the services of Apprise: mail, Telegram, ntfy and others.

Apprise is imported where it is needed: an extra installs it. Its log lines, and those of what it
sends with, may show addresses, which are secrets: they are kept from Lookout's log.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from lookout.service.core.addresses import IpNetwork, NoSuchHostError, resolve_allowed
from lookout.service.core.confinement import confined
from lookout.service.core.errors import RefusedDeliveryError, RequestError

if TYPE_CHECKING:
    from apprise.plugins.base import NotifyBase

CONNECT_S = 4.0
ANSWER_S = 10.0
MOST_S = 30.0  # for all that a service does for one message
LEAST_SECRET = 4  # characters of a part of an address that is kept from reasons
TALKATIVE = ("apprise", "oauthlib", "requests_oauthlib", "urllib3")
"""Loggers that write addresses."""


def open_service(url: str) -> NotifyBase | None:
    """Return the service that an address names; None where Apprise knows none. Raises ImportError.

    Redirects are not followed, nothing is stored, and the limits on time are Lookout's.
    """
    import apprise  # noqa: PLC0415

    for name in TALKATIVE:
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.propagate = False
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
    asset = apprise.AppriseAsset(http_redirects=False, storage_mode="memory", app_id="Lookout")
    asset._service_timeout = MOST_S
    service = apprise.Apprise.instantiate(url, asset=asset)
    if service is None:
        return None
    service.redirects = False
    service.socket_connect_timeout = CONNECT_S
    service.socket_read_timeout = ANSWER_S
    return service


def check_service(url: str, networks: Sequence[IpNetwork]) -> None:
    """Raise RequestError where Apprise does not take an address, or where its host is refused.

    networks: that may be sent to beside public addresses. Raises ImportError.
    """
    with confined(networks) as limits:
        service = open_service(url)
    if service is None:
        reason = limits.refused or "Apprise knows no such address, or it lacks a part"
        raise RequestError(reason, code="address_apprise")
    host = getattr(service, "smtp_host", None) or service.host
    if names_a_host(service) and host:
        try:
            resolve_allowed(str(host), 443, networks)
        except NoSuchHostError:  # it may have an address later
            return


def names_a_host(service: NotifyBase) -> bool:
    """Tell whether a service's addresses name its server; others have one that is known."""
    return "{host}" in " ".join(map(str, service.templates))


def notify(
    url: str, networks: Sequence[IpNetwork], title: str, text: str, picture: Path | None
) -> None:
    """Send a message by a service of Apprise; a picture goes along where the service takes one.

    Raises RefusedDeliveryError where no attempt will help, ConnectionError where a later one may,
    and ImportError.
    """
    import apprise  # noqa: PLC0415

    files = [picture] if picture is not None else []
    with confined(networks, files) as limits:
        service = open_service(url)
        if service is None:
            raise RefusedDeliveryError(limits.refused or "Apprise knows no such address")
        sender = apprise.Apprise(service)
        with_picture = [str(path) for path in files if service.attachment_support]
        result = sender.notify(text, title, attach=with_picture or None)
    if limits.refused is not None and not result:
        raise RefusedDeliveryError(limits.refused)
    if not result:
        reasons = [entry.message for entry in result.logs()]
        raise ConnectionError(without_secrets(reasons[-1] if reasons else "it failed", url)[:200])


def without_secrets(text: str, url: str) -> str:
    """Return a text without the parts of an address."""
    parts = re.split(r"[/?&@:=]", url.partition("://")[2])
    words = {*parts, *map(unquote, parts)}
    for word in sorted(words, key=len, reverse=True):
        if len(word) >= LEAST_SECRET:
            text = text.replace(word, "…")
    return text
