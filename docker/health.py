"""For health checks: `python health.py STAGE` ends with 0 where that stage is at work, with 1 where it is not.

The API answers for the whole line (/readyz); each other stage by this container's heartbeat on the bus.
"""

from __future__ import annotations

import socket
import sys

from lookout.service.core.settings import load_settings
from lookout.service.storage.bus.bus import UNAVAILABLE
from lookout.service.storage.redis.connections import open_bus
from lookout.service.supervisor.supervisor import is_ready

BEATS = {"ingest": "ingest", "infer": "inference", "alert": "alerting"}


def healthy(stage: str) -> bool:
    """Raises KeyError for a stage that does not exist."""
    settings = load_settings()
    if stage == "api":
        return is_ready(settings)
    try:
        at_work = open_bus(settings).present(BEATS[stage])
    except UNAVAILABLE:
        return False
    return any(name.startswith(f"{socket.gethostname()}-") for name in at_work)


if __name__ == "__main__":
    sys.exit(0 if healthy(sys.argv[1]) else 1)
