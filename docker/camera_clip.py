"""What the demo's camera plays: the generated scene, a file a picture. `python camera_clip.py FOLDER [SECONDS]`

H.264 as cameras send it: no picture refers to a later one, and every keyframe carries the parameter sets.
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
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else DEMO_S
    folder.mkdir(parents=True)
    scene = demo_scene(seconds)
    for number, picture in enumerate(encoded(scene, round(seconds * scene.fps))):
        (folder / f"{number:06}.h264").write_bytes(bytes(picture))


def encoded(scene: Scene, count: int) -> Iterator[Packet]:
    """One packet a picture."""
    encoder = av.VideoCodecContext.create("libx264", "w")
    encoder.width, encoder.height = scene.size
    encoder.pix_fmt, encoder.gop_size, encoder.max_b_frames = "yuv420p", KEYFRAME_EVERY, 0
    encoder.time_base = Fraction(1, scene.fps)
    # One thread, one slice a picture: before each slice of a keyframe the server would send the parameter sets.
    encoder.options = {"crf": "18", "preset": "veryfast", "threads": "1"}
    for frame in video_frames(scene, count):
        yield from encoder.encode(frame)
    yield from encoder.encode(None)


if __name__ == "__main__":
    main()
