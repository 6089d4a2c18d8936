"""Health check of a container: `python health.py STAGE` exits with 0 if the stage works, else 1.

The API answers for all stages (/readyz); every other stage is judged by this container's heartbeat
on the bus.
"""

from __future__ import annotations

import socket
import sys

from lookout.service.core.settings import load_settings
from lookout.service.core.stages import STAGES
from lookout.service.storage.connections import open_bus
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.supervisor.supervisor import is_ready


def healthy(name: str) -> bool:
    """Return whether the stage works here. Raises StopIteration for a name that no stage has."""
    stage = next(stage for stage in STAGES if stage.name == name)
    settings = load_settings()
    if not stage.reports_on_bus:
        return is_ready(settings)
    try:
        at_work = open_bus(settings).present(stage.name)
    except UNAVAILABLE:
        return False
    return any(worker.startswith(f"{socket.gethostname()}-") for worker in at_work)


if __name__ == "__main__":
    sys.exit(0 if healthy(sys.argv[1]) else 1)
