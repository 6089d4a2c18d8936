"""/models: the checkpoints that a camera can use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fastapi import APIRouter

from lookout.models.checkpoint.foreign import find_foreign
from lookout.models.checkpoint.header import Header, find_checkpoints, read_header
from lookout.models.errors import CheckpointError
from lookout.models.scoring.normalizer import PLACE_SCHEMES
from lookout.service.api.auth.access import IdentityDep
from lookout.service.api.dependencies import ServicesDep
from lookout.service.api.views import ModelList, ModelView
from lookout.service.core.camera import MAX_CAMERA_FPS, Calibration, ScoreScheme
from lookout.service.core.errors import RequestError

PLACES = "places"
"""The model that needs no training, and the shipped checkpoint of that name."""

SQUARE = "square"
"""The shipped checkpoint with bounds of its own that a camera gets when it names none."""

router = APIRouter(prefix="/models", tags=["models"])


@router.get("")
def list_models(services: ServicesDep, sender: IdentityDep) -> ModelList:
    """Every checkpoint of the models folders; a damaged one says why it cannot be used.

    Those that a camera has learned are shown to whoever sees the camera.
    """
    folders = services.settings.model_folders
    usable = [
        model_view(name, path)
        for name, path in find_checkpoints(*folders).items()
        if (camera := learned_camera(path)) is None or sender.sees(camera)
    ]
    foreign = [ModelView(name=name, error=error) for name, error in find_foreign(*folders).items()]
    return ModelList(items=usable + foreign)


def choose_model(
    folders: Sequence[Path],
    name: str | None,
    calibration: Calibration,
    score: ScoreScheme | None,
) -> str:
    """Return the checkpoint's name: the one asked for, or that of a camera that names none.

    The latter is PLACES where the camera learns, SQUARE where it takes a checkpoint's own bounds,
    or the only one that there is; those that a camera has learned are for that camera, and those of
    subfolders for who names them: they do not count.
    Raises RequestError, with what is available, where it cannot be used.
    """
    known = find_checkpoints(*folders)
    names = ", ".join(known) or "none"
    usual = PLACES if calibration == "learn" else SQUARE
    if name is None and usual in known:
        name = usual
    if name is None:
        general = {
            one: path
            for one, path in known.items()
            if one != PLACES and path.parent in folders and learned_camera(path) is None
        }
        if len(general) != 1:
            raise RequestError(f"name a model; available: {names}", code="model_open", names=names)
        (name,) = general
    if name not in known:
        raise RequestError(
            f"there is no model {name!r}; available: {names}",
            code="no_model",
            model=name,
            names=names,
        )
    try:
        header = read_header(known[name])
    except CheckpointError as error:
        raise RequestError(
            f"model {name!r} cannot be used: {error}", code="model_broken", model=name
        ) from error
    if calibration == "model" and header.calibration is None:
        raise RequestError(
            f'model {name!r} has no calibration of its own; use "calibration": "learn"',
            code="model_uncalibrated",
            model=name,
        )
    if score in PLACE_SCHEMES and calibration == "model":
        raise RequestError(
            f'"score": "{score}" learns what is normal from the camera itself; '
            'use "calibration": "learn"',
            code="score_learns",
            score=score,
        )
    if score in PLACE_SCHEMES and header.input_spec and header.input_spec.scored == 0:
        raise RequestError(
            f'model {name!r} takes one frame; "score": "{score}" needs the frame before',
            code="model_one_frame",
            model=name,
            score=score,
        )
    if (
        calibration == "model"
        and score == "local"
        and header.calibration
        and header.calibration.local_db is None
    ):
        raise RequestError(
            f"model {name!r} was calibrated without the local score; "
            'use "calibration": "learn", or calibrate it again',
            code="model_no_local",
            model=name,
        )
    return name


def learned_camera(path: Path) -> str | None:
    """Return the camera whose own a checkpoint is; None for others, and for a damaged one."""
    try:
        return read_header(path).learned_camera
    except CheckpointError:
        return None


def usual_score(folders: Sequence[Path], name: str, calibration: Calibration) -> ScoreScheme:
    """Return the score of a camera that names none, by its checkpoint."""
    if calibration == "learn" and read_header(find_checkpoints(*folders)[name]).model == PLACES:
        return "places"
    return "paper"


def trained_fps(folders: Sequence[Path], name: str) -> float | None:
    """Return the frame rate that a checkpoint was trained on, up to a camera's bound; or None."""
    fps = read_header(find_checkpoints(*folders)[name]).fps
    return fps if fps is not None and fps <= MAX_CAMERA_FPS else None


def model_view(name: str, path: Path) -> ModelView:
    try:
        header: Header = read_header(path)
    except CheckpointError as error:
        return ModelView(name=name, error=str(error))
    size = header.preprocess
    view = ModelView(
        name=name,
        model=header.model,
        width_px=size.width_px,
        height_px=size.height_px,
        calibrated=header.calibration is not None,
        fps=header.fps,
    )
    if header.input_spec is not None:
        view.frames = header.input_spec.frames
        view.scored_frame = header.input_spec.scored
        view.memory = header.input_spec.memory
    return view
