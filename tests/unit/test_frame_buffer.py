"""A clip is put together in the memory that it takes, and little more."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from lookout.models.arrays import Pixels
from lookout.models.media import preprocess as pile
from lookout.models.media.preprocess import FrameBuffer


def frames(count: int) -> list[Pixels]:
    return list(np.random.default_rng(1).integers(0, 256, (count, 4, 6, 3), np.uint8))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_it_is_the_frames_stacked(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pile, "BLOCK_BYTES", 3 * 4 * 6 * 3)  # three frames
    made = FrameBuffer()
    for frame in frames(count):
        made.add(frame)
    found = made.take()
    assert np.array_equal(found, np.stack(frames(count)))
    made.add(found[0])
    assert np.array_equal(made.take(), found[:1])  # it was empty again


PEAK = r"""
import re
from pathlib import Path
import numpy as np
from lookout.models.media.preprocess import FrameBuffer

def peak_bytes():
    return 1024 * int(re.search(r"VmHWM:\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1])

before, made = peak_bytes(), FrameBuffer()
for number in range(2000):
    made.add(np.full((256, 256, 3), number % 256, np.uint8))
clip = made.take()
print((peak_bytes() - before) / clip.nbytes)
"""


def test_it_never_lies_there_twice() -> None:
    said = subprocess.run([sys.executable, "-c", PEAK], check=True, capture_output=True, text=True)
    assert 0.9 < float(said.stdout) < 1.5
