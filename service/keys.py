"""Every key in Redis.

`{camera}` is the hash tag, and no command spans two cameras' keys: they would spread over a Cluster as they are. The
client connects to a single server today.
"""

from __future__ import annotations

# On the bus (may be lost)


def frames(camera: str) -> str:
    """Stream of frames, id = `<session>-<seq>`."""
    return f"frames:{{{camera}}}"


def scores(camera: str) -> str:
    """Stream of scores, under the frames' ids."""
    return f"scores:{{{camera}}}"


def heat(camera: str) -> str:
    """Stream of heatmaps, under the frames' ids."""
    return f"heat:{{{camera}}}"


def cursor(camera: str) -> str:
    """String: the last frame that inference has dealt with, scored or not."""
    return f"cursor:{{{camera}}}"


def ingest_report(camera: str) -> str:
    return f"ingest:{{{camera}}}"


def infer_report(camera: str) -> str:
    return f"infer:{{{camera}}}"


def counters(camera: str) -> str:
    """Hash: what happened how often since the bus started."""
    return f"counters:{{{camera}}}"


def worker(stage: str) -> str:
    """String with a time to live: somebody works at this stage."""
    return f"worker:{stage}"


# In the store (never lost once acknowledged)
CAMERAS = "cameras"  # hash: id → camera


def session(camera: str) -> str:
    """String: the last session number given out."""
    return f"session:{{{camera}}}"


def bounds(camera: str) -> str:
    """String: the bounds of PSNR and distance that the camera has learned."""
    return f"bounds:{{{camera}}}"


def alerts(camera: str) -> str:
    """Hash: alert id → alert."""
    return f"alerts:{{{camera}}}"


def alerts_by_time(camera: str) -> str:
    """Sorted set: alert ids by opening time."""
    return f"alerts_by_time:{{{camera}}}"


def open_alerts(camera: str) -> str:
    """Set: ids of the alerts that are open, so that nobody searches the closed ones for them."""
    return f"open_alerts:{{{camera}}}"


def alert_log(camera: str) -> str:
    """Stream of alert events, written in the transaction that changes the alert."""
    return f"alert_log:{{{camera}}}"


def alerting(camera: str) -> str:
    """String: the alerting cursor and the rule's state."""
    return f"alerting:{{{camera}}}"


ALERTED = "alerted"  # set: cameras that ever had an alert
