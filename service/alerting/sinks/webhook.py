"""Alerts as HTTP requests: Lookout's own JSON or Alertmanager's version 4, signed.

An event is delivered at least once: where a worker ends between the answer and the cursor, its
successor sends the event again under the same `id`, by which the receiver knows it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Sequence

import httpx

from lookout.service.alerting.sinks.payloads import payload
from lookout.service.core.addresses import IpNetwork, resolve_allowed
from lookout.service.core.errors import RefusedDeliveryError, RequestError
from lookout.service.core.messages import AlertEvent
from lookout.service.core.sink_addresses import server_of
from lookout.service.core.sinks import SinkRecord

TIMEOUT_S = 10.0  # for the whole of a request
SIGNATURE = "X-Lookout-Signature"
EVENT_ID = "X-Lookout-Event"
AGAIN = frozenset({408, 425, 429})
"""Statuses below 500 that ask for another attempt."""


class WebhookSink:
    """Posts each event to one address. Raises RefusedDeliveryError where no attempt will help."""

    def __init__(self, record: SinkRecord, allowed: Sequence[IpNetwork]) -> None:
        """allowed: networks that may be sent to beside public addresses."""
        self.name = record.id
        self._record = record
        self._allowed = allowed

    def deliver(self, event: AlertEvent) -> None:
        """Send one event; raise any exception to have it tried again."""
        if self._record.unreadable is not None:
            raise ConnectionError(f"its address cannot be read: {self._record.unreadable}")
        body = json.dumps(payload(self._record, event), separators=(",", ":")).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "Lookout", EVENT_ID: event.id}
        if self._record.secret is not None:
            headers[SIGNATURE] = signature(self._record.secret, body, int(time.time()))
        check_status(send(self._record.url, self._allowed, body, headers))


def send(url: str, allowed: Sequence[IpNetwork], body: bytes, headers: dict[str, str]) -> int:
    """Post to a url whose name is resolved once; return the status.

    Raises RefusedDeliveryError for an address that may not be sent to, NoSuchHostError, and
    ConnectionError where there is no answer.
    """
    try:
        address = resolve_allowed(*server_of(url), allowed)
    except RequestError as error:
        raise RefusedDeliveryError(str(error)) from None
    try:
        return asyncio.run(post(url, address, body, headers))
    except TimeoutError:
        raise ConnectionError(f"no answer within {TIMEOUT_S:g} s") from None
    except httpx.HTTPError as error:
        raise ConnectionError(f"{type(error).__name__}: {error}"[:200]) from None


async def post(url: str, address: str, body: bytes, headers: dict[str, str]) -> int:
    """Post to the address that a url's name was resolved to; return the status.

    Neither redirects nor proxies are followed, and the answer's body is not read.
    Raises TimeoutError, and httpx.HTTPError.
    """
    target = httpx.URL(url)
    async with (
        asyncio.timeout(TIMEOUT_S),
        httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False, follow_redirects=False) as client,
        client.stream(
            "POST",
            target.copy_with(host=address),
            content=body,
            headers={**headers, "Host": target.netloc.decode("ascii")},
            extensions={"sni_hostname": target.host},
        ) as answer,
    ):
        return answer.status_code


def check_status(status: int) -> None:
    """Raise ConnectionError for a status that asks for another attempt, RefusedDeliveryError for
    another one that is no success."""
    if 200 <= status < 300:
        return
    if status >= 500 or status in AGAIN:
        raise ConnectionError(f"the receiver answers {status}")
    if 300 <= status < 400:
        raise RefusedDeliveryError(
            f"the receiver answers {status}: redirects are not followed, give the last address"
        )
    raise RefusedDeliveryError(f"the receiver answers {status}")


def signature(secret: str, body: bytes, at: int) -> str:
    """Return `t=<time>,v1=<hex>`: HMAC-SHA-256 of the time (s, UTC), a full stop and the body."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"
