"""The demo's camera: an RTSP server that plays one clip in a loop to all clients.

`/usr/bin/python3 camera.py FOLDER PORT [ADDRESS]`: only Debian's own Python has GStreamer's
bindings. FOLDER holds one file for each picture (camera_clip.py). Each is stamped with the time at
which it is sent, so that time stamps do not jump where the clip begins again.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

FRAME_US = 100_000  # 10 fps
WHOLE = "video/x-h264,stream-format=byte-stream,alignment=au"
"""One whole picture in each buffer."""


def main() -> None:
    """Serve the clip until SIGTERM."""
    folder = Path(sys.argv[1])
    port = sys.argv[2]
    address = "0.0.0.0"  # noqa: S104  a container's loopback cannot be reached from outside
    if len(sys.argv) > 3:
        address = sys.argv[3]
    Gst.init(None)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        f'( multifilesrc location="{folder}/%06d.h264" loop=true do-timestamp=true caps="{WHOLE}" '
        f"! identity sleep-time={FRAME_US} ! rtph264pay config-interval=-1 name=pay0 pt=96 )"
    )
    factory.set_shared(True)
    server = GstRtspServer.RTSPServer()
    server.set_address(address)
    server.set_service(port)
    server.get_mount_points().add_factory("/square", factory)
    server.attach(None)
    loop = GLib.MainLoop()
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGTERM, loop.quit)
    print(f"rtsp://{address}:{port}/square", flush=True)
    loop.run()


if __name__ == "__main__":
    main()
