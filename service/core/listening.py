"""What may be listened on: loopback as it is, anything else only behind a token."""

from __future__ import annotations

import ipaddress
import socket

from lookout.service.core.errors import UnprotectedError
from lookout.service.core.settings import Settings


def check_protected(settings: Settings) -> None:
    """Raise UnprotectedError where others than this machine could reach a Lookout that asks nobody for anything."""
    if settings.token is None and not _is_loopback(settings.host):
        raise UnprotectedError(
            f"{settings.host or 'every address'} is open to other machines, and there is no token: set LOOKOUT_TOKEN "
            "(`openssl rand -hex 32` makes one) or LOOKOUT_TOKEN_FILE, or listen on 127.0.0.1 (LOOKOUT_HOST, --host)"
        )


def _is_loopback(host: str) -> bool:
    """A name counts as what it resolves to; one that does not resolve cannot be listened on anyway."""
    if not host:
        return False
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return True
    return all(ipaddress.ip_address(address[0]).is_loopback for *_, address in found)
