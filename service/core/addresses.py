"""Addresses that Lookout may send to: what a sink names is resolved once, and then looked at."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

from lookout.service.core.errors import LookoutError, RequestError

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

METADATA = frozenset({ipaddress.ip_address("168.63.129.16")})
"""Addresses of clouds' own services that look public."""

NAT64 = ipaddress.ip_network("64:ff9b::/96")


class NoSuchHostError(LookoutError):
    """A name that has no address now."""


def networks_of(text: str) -> list[IpNetwork]:
    """Return the networks of a list that is separated by commas."""
    return [ipaddress.ip_network(part) for part in text.split(",") if part]


def resolve_allowed(host: str, port: int, allowed: Sequence[IpNetwork]) -> str:
    """Return the first address of a host that may be sent to.

    allowed: networks that may be sent to beside public addresses.
    Raises NoSuchHostError, and RequestError where the host has no other address than refused ones.
    """
    try:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NoSuchHostError(f"the name {host!r} has no address") from None
    found = [ipaddress.ip_address(str(row[4][0]).partition("%")[0]) for row in rows]
    good = next((one for one in found if is_allowed(one, allowed)), None)
    if good is None:
        raise RequestError(refusal(f"{host} is {found[0]},"), code="address_private", host=host)
    return str(good)


def refusal(subject: str) -> str:
    """Return why an address is refused, behind the words that name it."""
    return (
        f"{subject} a private, local or metadata address: only those of "
        "LOOKOUT_WEBHOOK_NETWORKS are sent to"
    )


def is_allowed(address: IpAddress, allowed: Sequence[IpNetwork]) -> bool:
    """Tell whether an address is public, or in one of these networks."""
    carried = carried_address(address)
    if carried is not None:
        return is_allowed(carried, allowed)
    if any(address in network for network in allowed):
        return True
    if address in METADATA or address.is_multicast:
        return False
    return address.is_global


def carried_address(address: IpAddress) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 one stands for: mapped, 6to4, Teredo or NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour
