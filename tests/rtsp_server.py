"""An RTSP server for tests: gives a clip to each client from its first frame, without encoding it
anew: H.264 or H.265 in an mp4, MJPEG in an avi.

Run by Debian's own Python, which alone has GStreamer's bindings (see tests/rtsp.py):
`/usr/bin/python3 tests/rtsp_server.py CLIP.mp4 [PORT]`; user and password come as one JSON line on
standard input (`null`: everybody may look). Prints its port, and ends with its parent.
"""

from __future__ import annotations

import ctypes
import json
import signal
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

PR_SET_PDEATHSIG = 1


def main() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    clip, port = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "0"
    login = json.loads(sys.stdin.readline() or "null")
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = factory_for(clip)
    if login:
        demand(server, factory, **login)
    server.get_mount_points().add_factory("/clip", factory)
    server.attach(None)
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


def factory_for(clip: str) -> GstRtspServer.RTSPMediaFactory:
    """Every client gets a pipeline of its own, which starts with the clip's first frame."""
    factory = GstRtspServer.RTSPMediaFactory()
    # Whole pictures (au): cut by slice, the payloader repeats the parameter sets between two slices
    # of one picture.
    source = f'filesrc location="{clip}"'
    if clip.endswith(".avi"):
        chain = f"{source} ! avidemux ! jpegparse ! rtpjpegpay name=pay0"
    else:
        codec = "h265" if clip.endswith(".hevc.mp4") else "h264"
        form = f"video/x-{codec},stream-format=byte-stream,alignment=au"
        parsed = f"{codec}parse config-interval=-1 ! {form}"
        chain = f"{source} ! qtdemux ! {parsed} ! rtp{codec}pay name=pay0"
    factory.set_launch(f"( {chain} )")
    factory.set_shared(False)
    return factory


def demand(
    server: GstRtspServer.RTSPServer,
    factory: GstRtspServer.RTSPMediaFactory,
    user: str,
    password: str,
    digest: bool,
) -> None:
    """Let only this user in, by digest or basic authentication."""
    role = Gst.Structure.new_empty("viewer")
    for permission in ("media.factory.access", "media.factory.construct"):
        role.set_value(permission, True)
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    if digest:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
    else:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    factory.add_role_from_structure(role)


if __name__ == "__main__":
    main()
