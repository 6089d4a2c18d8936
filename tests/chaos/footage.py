"""The footage of the cameras: a still, textured wall with a large, bright visitor now and then.

The wall stays, so the scene never changes. The tiny model has learned nothing and predicts about
gray: a bright visitor raises its error, and an alert opens.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from lookout.models.arrays import Pixels
from lookout.models.checkpoint.file import save_checkpoint
from lookout.models.scoring.calibration import Bounds
from tests.tiny import tiny_checkpoint

Gray = npt.NDArray[np.float32]

MODEL = "tiny"
BOUNDS = Bounds(
    psnr_low_db=19.3, psnr_high_db=22.0, distance_low=0.0, distance_high=10.0, frames=100
)
"""The wall alone has a value of about 0.3, with a visitor 0.6."""
GATE = 0.035
"""The wall alone teaches the memory, a visitor does not: a frame that is scored twice or left out
shows in all later scores.
"""

SIZE_PX = (64, 48)  # width, height
GRAY, TEXTURE = 118.0, 45.0  # of 255: level and contrast of the wall
VISIT_EVERY_S, VISIT_S = 12.0, 4.0
VISITOR = slice(10, 44), slice(20, 44)  # rows, columns


def write_model(folder: Path) -> Path:
    path = folder / f"{MODEL}.safetensors"
    save_checkpoint(path, tiny_checkpoint(calibration=BOUNDS, gamma=GATE))
    return path


def wall(seed: int) -> Gray:
    """(H, W): blotches of a few pixels."""
    width_px, height_px = SIZE_PX
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(-TEXTURE, TEXTURE, (height_px // 4, width_px // 4)).astype(np.float32)
    return np.asarray(GRAY + cv2.resize(coarse, SIZE_PX, interpolation=cv2.INTER_CUBIC), np.float32)


def picture(background: Gray, index: int, fps: int) -> Pixels:
    """(H, W, 3) RGB, frame `index`; hardly two are alike."""
    time_s = index / fps
    gray = background + 6 * np.sin(time_s)
    gray[:3, index % SIZE_PX[0]] += 60
    if time_s % VISIT_EVERY_S >= VISIT_EVERY_S - VISIT_S:
        gray[VISITOR] = 0.4 * gray[VISITOR] + 150 + 4 * np.sin(5 * time_s)
    return np.repeat(gray.clip(0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def write_footage(path: Path, frames: int, fps: int, seed: int) -> Path:
    """An H.264 clip of the wall of this seed."""
    background = wall(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=fps, options={"preset": "ultrafast", "g": str(2 * fps)}
        )
        stream.width, stream.height = SIZE_PX
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(background, index, fps), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
