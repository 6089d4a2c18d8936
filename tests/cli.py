"""Run the command line as a user does, on small sets."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookout.service.cli.main import main
from tests.clips import write_clip

TRAIN = ["--width", "4", "--items", "4", "--size", "32", "--epochs", "2", "--seed", "3"]


@dataclass(frozen=True)
class Said:
    out: str
    err: str

    def one_line(self) -> str:
        """Return the only line on standard error."""
        (line,) = self.err.strip().splitlines()
        assert line.startswith("lookout: ")
        return line


def call(main: Callable[[], None], *args: object, expect: int = 0) -> Said:
    """Call a command line in this process: importing torch again each time would take longer.

    `expect` is the exit code that it must end with.
    """
    out = io.StringIO()
    err = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["lookout", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            main()
    assert (ended.value.code or 0) == expect, err.getvalue()
    return Said(out.getvalue(), err.getvalue())


def lookout(*args: object, expect: int = 0) -> Said:
    """`lookout` in this process."""
    return call(main, *args, expect=expect)


def evaluated(
    checkpoint: Path, data: Path, folder: Path, *more: object
) -> tuple[dict[str, Any], Any]:
    out, scores = folder / "out.json", folder / "out.npz"
    lookout(
        "evaluate",
        "--checkpoint",
        checkpoint,
        "--data",
        data,
        "--json",
        out,
        "--scores",
        scores,
        *more,
    )
    with np.load(scores) as columns:
        return json.loads(out.read_text()), dict(columns)


def write_set(folder: Path) -> Path:
    """Write a folder like Ped2's, with a clip whose second half is another scene."""
    (folder / "train").mkdir()
    (folder / "test").mkdir()
    for name in ("01", "02"):
        write_clip(folder / "train" / f"{name}.mp4", range(30), size_px=(64, 48))
    write_clip(folder / "test" / "01.mp4", [*range(15), *range(700, 715)], size_px=(64, 48))
    write_clip(folder / "test" / "02.mp4", range(20), size_px=(64, 48))
    labels = {
        "01": {"frames": 30, "anomalous_first_last_0based_inclusive": [[15, 29]]},
        "02": {"frames": 20, "anomalous_first_last_0based_inclusive": []},
    }
    (folder / "labels.json").write_text(json.dumps({"test": labels}))
    return folder
