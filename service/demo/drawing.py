"""Draw the demo's scene in a process of its own: the service starts meanwhile.

    python -m lookout.service.demo.drawing FILE SECONDS

Prints the number of each frame that it draws.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from lookout.service.core.errors import LookoutError
from lookout.service.demo.scene import DEMO_S, demo_scene, write_demo_video

STOP_LIMIT_S = 5.0


class SceneDrawing:
    """The process that draws, for as long as the block lasts."""

    def __init__(self, path: Path, seconds: float = DEMO_S) -> None:
        """path: where the scene is, once it is whole."""
        self.frames = round(seconds * demo_scene().fps)
        self._arguments = [str(path), str(seconds)]

    def __enter__(self) -> Self:
        words = [sys.executable, "-P", "-m", __name__, *self._arguments]
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,  # Ctrl-C reaches the command alone, which ends the drawing
        )
        self._numbers = pipe(self._process.stdout)
        self._words = pipe(self._process.stderr)
        os.set_blocking(self._numbers.fileno(), False)
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """End the process where it still draws: nothing half drawn is left."""
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._numbers.close()
        self._words.close()

    def drawn(self) -> int | None:
        """Return the number of the newest frame drawn, if any since the last call."""
        lines = (self._numbers.read() or b"").split()
        return int(lines[-1]) if lines else None

    def is_over(self) -> bool:
        """Return whether the scene is there. Raises LookoutError where it could not be drawn."""
        code = self._process.poll()
        if code:
            said = self._words.read().decode(errors="replace").strip() or f"it ended with {code}"
            raise LookoutError(f"the scene cannot be drawn: {said.splitlines()[-1]}")
        return code == 0


def pipe(stream: IO[bytes] | None) -> IO[bytes]:
    """Return a stream of a process that was started with pipes."""
    assert stream is not None  # noqa: S101
    return stream


def main() -> None:
    """Draw the scene. SIGTERM removes the rest."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    count = itertools.count(1)
    write_demo_video(
        Path(sys.argv[1]),
        float(sys.argv[2]),
        on_frame=lambda: print(next(count), flush=True),
    )


if __name__ == "__main__":
    main()
