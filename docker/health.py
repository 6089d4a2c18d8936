"""For health checks: `python health.py STAGE` ends with 0 where that stage is at work, with 1 where it is not.

The API answers for the whole line (/readyz); each other stage by its heartbeat on the bus.
"""

from __future__ import annotations

import sys

from service.bus import UNAVAILABLE
from service.connections import open_bus
from service.serve import is_ready
from service.settings import load_settings

BEATS = {"ingest": "ingest", "infer": "inference", "alert": "alerting"}


def healthy(stage: str) -> bool:
    """Raises KeyError for a stage that does not exist."""
    settings = load_settings()
    if stage == "api":
        return is_ready(settings)
    try:
        return open_bus(settings).beats(BEATS[stage])
    except UNAVAILABLE:
        return False


if __name__ == "__main__":
    sys.exit(0 if healthy(sys.argv[1]) else 1)
