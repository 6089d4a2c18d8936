"""Wrong tokens, passwords and forged cookies, bounded for each client's address."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import HTTPConnection

AT_ONCE = 20
ONE_EVERY_S = 2.0
MAX_ADDRESSES = 4096


@dataclass(slots=True)
class Bucket:
    """The guesses left to an address, and whether it has shown the right token before."""

    room: float
    filled_at: float
    is_proven: bool = False


class Guesses:
    """A bucket of AT_ONCE guesses for each address, which refills by one in ONE_EVERY_S.

    With an empty bucket, a token is not even looked at: there is no telling whether it was right.
    An address that has shown the right one before is never locked out by another program there.
    The addresses that were heard longest ago are forgotten.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self.limited = 0  # requests that were refused for their number

    def may_try(self, address: str) -> bool:
        """Return whether a token from `address` is to be looked at."""
        bucket = self._bucket(address)
        if bucket.is_proven or bucket.room >= 1:
            return True
        self.limited += 1
        return False

    def failed(self, address: str) -> bool:
        """Note a wrong guess. Return whether it was one of those that an address has."""
        bucket = self._bucket(address)
        if bucket.room >= 1:
            bucket.room -= 1
            return True
        self.limited += 1
        return False

    def was_right(self, address: str) -> None:
        """Give a guess back that was counted before it was looked at."""
        bucket = self._bucket(address)
        bucket.room = min(AT_ONCE, bucket.room + 1)

    def proved(self, address: str) -> None:
        """Note that the right token came from `address`."""
        self._bucket(address).is_proven = True

    def _bucket(self, address: str) -> Bucket:
        now = self._clock()
        bucket = self._buckets.setdefault(address, Bucket(AT_ONCE, now))
        self._buckets.move_to_end(address)
        if len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        bucket.room = min(AT_ONCE, bucket.room + (now - bucket.filled_at) / ONE_EVERY_S)
        bucket.filled_at = now
        return bucket


def client_address(connection: HTTPConnection) -> str:
    """Return who asks: an IPv4 address, or the /64 network of an IPv6 one, which one host fills."""
    if connection.client is None:
        return "a socket"
    try:
        address = ipaddress.ip_address(connection.client.host)
    except ValueError:  # what a proxy forwards
        return connection.client.host[:64]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
