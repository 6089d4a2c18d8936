"""Live pictures of what the decoder decodes anyway, while somebody looks.

The decoder's loop hands over a reference to a picture, ten times a second at most. A thread with a
low priority asks the bus whether anybody looks, makes the picture smaller, and encodes it: a bus
that is away or a large picture never holds up a frame. Of two pictures that wait the older drops.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from lookout.models.arrays import Pixels
from lookout.models.media.decode import Picture
from lookout.models.vision.overlay import jpeg
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis.connect import UNAVAILABLE

MOST_FPS = 10
MOST_HEIGHT_PX = 720
MOST_WIDTH_PX = 1280
QUALITY = 80
ASK_EVERY_S = 0.5
NICE = 10


class LivePictureMaker:
    """The live pictures of one camera. Use as a context manager."""

    def __init__(self, camera: str, bus: Bus, clock: Callable[[], float] = time.monotonic) -> None:
        self._camera = camera
        self._bus = bus
        self._clock = clock
        self._is_asked = False
        self._waiting: Pixels | None = None  # the newest picture that is not encoded yet
        self._due_s = 0.0  # by the clock: when the next picture is taken
        self._wake = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self.work, name="live picture", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the thread; one that a hanging bus holds dies with the process."""
        self._ended = True
        self._wake.set()
        self._thread.join(ASK_EVERY_S)

    def passed_on(self, pictures: Iterator[Picture]) -> Iterator[Picture]:
        """Yield each picture; of those that are due, keep the newest for the thread."""
        for picture in pictures:
            if self._is_asked and (now := self._clock()) >= self._due_s:
                self._due_s = now + 1 / MOST_FPS
                self._waiting = picture.rgb
                self._wake.set()
            yield picture

    def work(self) -> None:
        """Make pictures while they are asked for, until the source has ended."""
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        ask_s = 0.0  # by the clock
        while not self._ended:
            with contextlib.suppress(*UNAVAILABLE):
                if self._clock() >= ask_s:
                    ask_s = self._clock() + ASK_EVERY_S
                    self._is_asked = self._bus.pictures_asked(self._camera)
                self.show_waiting()
            self._wake.wait(ASK_EVERY_S)
            self._wake.clear()

    def show_waiting(self) -> None:
        """Encode the picture that waits, if any, and show it. Raises one of UNAVAILABLE."""
        pixels = self._waiting
        self._waiting = None
        if pixels is not None:
            self._bus.show_picture(self._camera, jpeg(fitted(pixels), QUALITY))


def fitted(pixels: Pixels) -> Pixels:
    """Return a picture, (H, W, 3) uint8 RGB, as it is or smaller, at its own aspect.

    It is MOST_WIDTH_PX by MOST_HEIGHT_PX at most.
    """
    height, width = pixels.shape[:2]
    scale = min(1.0, MOST_HEIGHT_PX / height, MOST_WIDTH_PX / width)
    if scale == 1.0:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
