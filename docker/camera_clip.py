"""Write the clip that the demo's camera plays: `python camera_clip.py FOLDER [SECONDS]`.

The generated scene as H.264, one file for each picture. As in a camera's stream, no picture refers
to a later one, and every keyframe carries the parameter sets.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.packet import Packet

from lookout.service.demo.scene import DEMO_S, Scene, demo_scene, video_frames

KEYFRAME_EVERY = 20


def main() -> None:
    """Encode the scene into a new folder."""
    folder = Path(sys.argv[1])
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else DEMO_S
    folder.mkdir(parents=True)
    scene = demo_scene(seconds)
    for number, picture in enumerate(encoded(scene, round(seconds * scene.fps))):
        (folder / f"{number:06}.h264").write_bytes(bytes(picture))


def encoded(scene: Scene, count: int) -> Iterator[Packet]:
    """Yield one packet for each of the first `count` pictures."""
    encoder = av.VideoCodecContext.create("libx264", "w")
    encoder.width, encoder.height = scene.size
    encoder.pix_fmt = "yuv420p"
    encoder.gop_size = KEYFRAME_EVERY
    encoder.max_b_frames = 0
    encoder.time_base = Fraction(1, scene.fps)
    # One thread makes one slice of each picture: the server sends the parameter sets before each
    # slice of a keyframe.
    encoder.options = {"crf": "18", "preset": "veryfast", "threads": "1"}
    for frame in video_frames(scene, count):
        yield from encoder.encode(frame)
    yield from encoder.encode(None)


if __name__ == "__main__":
    main()
