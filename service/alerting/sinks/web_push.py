"""Alerts as notifications of a browser: one sink is one browser's subscription."""

from __future__ import annotations

import json
from collections.abc import Sequence

from lookout.service.alerting.sinks.payloads import message
from lookout.service.alerting.sinks.webhook import EVENT_ID, check_status, send
from lookout.service.core.addresses import IpNetwork
from lookout.service.core.errors import GoneReceiverError
from lookout.service.core.messages import AlertEvent
from lookout.service.core.sinks import SinkRecord
from lookout.service.core.web_push import push_request
from lookout.service.storage.store.store import Store

GONE = frozenset({404, 410})
"""Statuses by which a push service says that there is no such subscription any more."""

TITLE_CHARACTERS = 120
TEXT_CHARACTERS = 400
"""Together at most 2,080 bytes, of the 3,993 that a message may have."""


class WebPushSink:
    """Sends each event to a browser's push service, encrypted for the browser.

    Raises GoneReceiverError where the subscription has ended, RefusedDeliveryError where no attempt
    will help.
    """

    def __init__(
        self, record: SinkRecord, allowed: Sequence[IpNetwork], store: Store, contact: str
    ) -> None:
        """allowed: networks that may be sent to beside public addresses; store: has the service's
        key; contact: for the push service's operator."""
        self.name = record.id
        self._record = record
        self._allowed = allowed
        self._store = store
        self._contact = contact

    def deliver(self, event: AlertEvent) -> None:
        """Send one event; raise any exception to have it tried again."""
        record = self._record
        if record.unreadable is not None or record.push_keys is None:
            raise ConnectionError(f"its address cannot be read: {record.unreadable}")
        title, text = message(event)
        shown = {
            "title": title[:TITLE_CHARACTERS],
            "text": text[:TEXT_CHARACTERS],
            "alert": event.alert.id,
        }
        try:
            request = push_request(
                record.url,
                record.push_keys,
                self._store.push_key(),
                self._contact,
                json.dumps(shown, ensure_ascii=False).encode(),
                event.alert.id,
            )
        except ImportError:
            raise ConnectionError("`pip install 'lookout[webpush]'` is needed for it") from None
        headers = {**request.headers, "User-Agent": "Lookout", EVENT_ID: event.id}
        status = send(record.url, self._allowed, request.body, headers)
        if status in GONE:
            raise GoneReceiverError(f"the push service answers {status}: the browser has gone")
        check_status(status)
