"""The checkpoints that cameras have learned, in the models folder: `<camera>-<number>`."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Collection, Sequence
from itertools import count
from pathlib import Path

from lookout.models.checkpoint.header import SUFFIX, find_checkpoints, read_header
from lookout.models.errors import CheckpointError
from lookout.models.media.atomic_file import replacing
from lookout.models.media.preprocess import Preprocess
from lookout.service.core.jobs import LearningJob
from lookout.service.core.settings import Settings

UNTRAINED = frozenset({"places"})
"""Models without a network."""

USUAL_START = "square"
KEPT = 3
"""Learned checkpoints of a camera; older ones are removed, unless a camera needs them."""


def start_checkpoints(folders: Sequence[Path], model: str) -> dict[str, Path]:
    """Return the checkpoints that a camera's training may start from, by name.

    The camera's own one comes first, unless it is of a model without a network. The others are
    general ones of the same model and sizes: whatever lies in the folders themselves, not in
    subfolders. Raises CheckpointError where there is none.
    """
    known = find_checkpoints(*folders)
    if model not in known:
        raise CheckpointError(f"there is no model {model!r}")
    own = read_header(known[model])
    general = {
        name: path
        for name, path in known.items()
        if path.parent in folders and is_general(path, own.preprocess)
    }
    first = model
    if own.model in UNTRAINED:
        if not general:
            raise CheckpointError(
                f"{model!r} has no network, and no other checkpoint is of its size"
            )
        first = USUAL_START if USUAL_START in general else next(iter(general))
    wanted = read_header(known[first])
    alike = {
        name: path
        for name, path in general.items()
        if (header := read_header(path)).model == wanted.model
        and header.input_spec == wanted.input_spec
    }
    return {first: known[first]} | alike


def is_general(path: Path, size: Preprocess) -> bool:
    """Tell whether a checkpoint has a network for frames of a size, and is no camera's own."""
    try:
        header = read_header(path)
    except CheckpointError:
        return False
    is_network = header.model not in UNTRAINED and header.learned_camera is None
    return is_network and header.preprocess == size


def install(settings: Settings, path: Path, job: LearningJob, used: Collection[str]) -> str:
    """Copy a job's checkpoint into the models folder; return its name there.

    Done again it changes nothing. used: names of checkpoints that are not removed. Raises OSError
    where the folder cannot be written.
    """
    known = find_checkpoints(*settings.model_folders)
    for number in count(job.number):
        name = f"{job.camera}-{number}"
        if name not in known:
            with replacing(settings.model_folders[0] / f"{name}{SUFFIX}") as temporary:
                shutil.copyfile(path, temporary)
                temporary.chmod(0o644)  # as every checkpoint: another user's service reads it too
            break
        if known[name].read_bytes() == path.read_bytes():
            break
    drop_old(settings, job.camera, {*used, name})
    return name


def drop_old(settings: Settings, camera: str, used: Collection[str]) -> None:
    """Remove a camera's learned checkpoints but the newest KEPT and those in use."""
    learned = learned_checkpoints(settings, camera)
    for name in list(learned)[:-KEPT]:
        if name not in used:
            with contextlib.suppress(OSError):
                learned[name].unlink()


def learned_checkpoints(settings: Settings, camera: str) -> dict[str, Path]:
    """Return the checkpoints that a camera has learned, by name, the oldest first."""
    pattern = re.compile(re.escape(camera) + r"-(\d{1,9})")
    found = []
    for name, path in find_checkpoints(settings.model_folders[0]).items():
        match = pattern.fullmatch(name)
        is_here = path.parent == settings.model_folders[0]
        if match is not None and is_here and is_learned_by(path, camera):
            found.append((int(match[1]), name, path))
    return {name: path for _, name, path in sorted(found)}


def is_learned_by(path: Path, camera: str) -> bool:
    """Tell whether a checkpoint's provenance names the camera that it was learned from."""
    try:
        return read_header(path).learned_camera == camera
    except CheckpointError:
        return False
