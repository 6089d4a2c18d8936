"""The audit: who changed what, from where and when; a bounded stream."""

from __future__ import annotations

import logging
from typing import cast

from lookout.service.core.accounts import AuditLine
from lookout.service.core.errors import BrokenMessageError
from lookout.service.storage.redis import codec, keys
from lookout.service.storage.redis.streams import StreamEntry
from lookout.service.storage.store.mending import SettingAside

log = logging.getLogger(__name__)

LINES_KEPT = 10_000
FIELD = "line"
OLDEST_ID = "0-0"


class Audit(SettingAside):
    """One stream for all of Lookout: it orders changes over cameras and API processes."""

    def add_audit_line(self, line: AuditLine) -> None:
        """Append a line; the oldest drops where there are LINES_KEPT."""
        self._redis.xadd(
            keys.AUDIT, {FIELD: codec.dump(line)}, maxlen=LINES_KEPT, approximate=False
        )

    def audit_lines(self, limit: int, before: str | None = None) -> dict[str, AuditLine]:
        """Return the newest `limit` lines by their ids, newest first.

        before: an id; only older ones. A line that cannot be read is left out.
        """
        if before == OLDEST_ID:  # nothing is older, and Redis refuses the interval
            return {}
        newest = f"({before}" if before is not None else "+"
        entries = cast(
            list[StreamEntry], self._redis.xrevrange(keys.AUDIT, max=newest, count=limit)
        )
        found = {}
        for entry_id, row in entries:
            name = entry_id.decode()
            try:
                found[name] = codec.load(AuditLine, row.get(FIELD.encode(), b""))
            except BrokenMessageError as error:
                if self._logged_marks.is_new(f"audit {name}"):
                    log.warning("line %s of the audit is left out: %s", name, error)
        return found
