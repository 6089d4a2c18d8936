"""/audit: who changed what, from where and when."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from lookout.service.core.accounts import AuditLine, Identity, Role
from lookout.service.core.throttle import Throttle
from lookout.service.core.urls import mask
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.store.store import Store

log = logging.getLogger(__name__)

LOG_EVERY_S = 60.0
LONGEST_TARGET = 200  # characters
MOST_FIELDS = 32
LINE_EXAMPLE: dict[str, JsonValue] = {
    "id": "1767225600000-0",
    "at": 1767225600.0,
    "who": "anna",
    "role": "operator",
    "action": "PATCH /cameras/{camera}",
    "target": "/api/v1/cameras/gate",
    "fields": ["enabled"],
    "address": "10.0.0.9",
}


class AuditTrail:
    """Writes a line for each change, before it is answered."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._throttle = Throttle(LOG_EVERY_S)
        self.lost = 0  # lines that the store did not take

    async def write(
        self,
        connection: HTTPConnection,
        sender: Identity,
        action: str,
        target: str,
        fields: Iterable[str] = (),
    ) -> None:
        """Write a line; where the store does not take it, count and log that.

        The change has been made by then, and stays.
        """
        address = connection.client.host if connection.client is not None else "a socket"
        line = AuditLine(
            time.time(),
            sender.name,
            sender.role,
            action,
            mask(target)[:LONGEST_TARGET],
            tuple(mask(name)[:64] for name in sorted(fields)[:MOST_FIELDS]),
            address[:64],
        )
        try:
            await run_in_threadpool(self._store.add_audit_line, line)
        except UNAVAILABLE as error:
            self.lost += 1
            self._throttle.note()
            unlogged = self._throttle.due()
            if unlogged is not None:
                log.warning("a line of the audit is lost: %s%s", error, unlogged)


class AuditLineView(BaseModel):
    """A change, and who made it. What was sent is not kept."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [LINE_EXAMPLE]})

    id: str
    at: float
    who: str = Field(description="as `acknowledged_by` of an alert")
    role: Role
    action: str = Field(description="the method and the form of the path")
    target: str = Field(description="the path, or the one of what was added")
    fields: list[str] = Field(description="names of the fields that were sent")
    address: str = Field(description="of the client, as far as proxies are trusted")


class AuditList(BaseModel):
    items: list[AuditLineView]
    next: str | None = Field(description="`cursor` of the next page; null on the last")
