"""Add the demo's camera once the service is ready: `python demo.py`. An existing one is kept."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request

from lookout.service.core.settings import load_settings

API = "http://api:8000"
CAMERAS = f"{API}/api/v1/cameras"
CAMERA = {
    "id": "demo",
    "url": "rtsp://camera:8554/square",
    "model": "square",
    "calibration": "model",
}
WAIT_S = 300.0  # until all stages have reported
ASK_EVERY_S = 2.0


def main() -> int:
    """Add the camera; return the exit code."""
    token = load_settings().token
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token.get_secret_value()}"
    if not wait_until_ready():
        print(
            f"the service is not ready after {WAIT_S:.0f} s: {API}/readyz says what is missing",
            file=sys.stderr,
        )
        return 1
    body = json.dumps(CAMERA).encode()
    request = urllib.request.Request(CAMERAS, body, headers)  # noqa: S310  our own http address
    try:
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
        print(f"camera {CAMERA['id']} added: {CAMERA['url']}")
    except urllib.error.HTTPError as error:
        if error.code != 409:  # it is there
            print(f"the camera was refused: {error.read().decode()}", file=sys.stderr)
            return 1
        print(f"camera {CAMERA['id']} is there already")
    return 0


def wait_until_ready() -> bool:
    """Wait for the service; return False if it is not ready after WAIT_S."""
    ends_at = time.monotonic() + WAIT_S
    while time.monotonic() < ends_at:
        try:
            urllib.request.urlopen(f"{API}/readyz", timeout=5).close()  # noqa: S310
        except OSError:  # not there yet, or 503 (an HTTPError is one)
            time.sleep(ASK_EVERY_S)
        else:
            return True
    return False


if __name__ == "__main__":
    sys.exit(main())
