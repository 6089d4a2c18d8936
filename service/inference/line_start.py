"""A camera's line as it begins: from its snapshot, or from its trained memory.

The worker begins the lines of its cameras here, and a replay those of copies of them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from lookout.models.errors import CheckpointError
from lookout.models.media.preprocess import Preprocess
from lookout.models.memory_update import UpdateRule
from lookout.models.scorer import Scorer
from lookout.models.scoring.calibration import Bounds
from lookout.models.scoring.camera_state import CameraState
from lookout.models.scoring.normalizer import PLACE_SCHEMES, Normalizer
from lookout.models.scoring.place_state import PlaceState
from lookout.models.vision.zones import ZoneMask
from lookout.service.core.camera import Camera
from lookout.service.inference import snapshots
from lookout.service.inference.scene_watch import SceneWatch
from lookout.service.storage.store.snapshots import Snapshot

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LineStart:
    """The parts with which a camera's line begins."""

    state: CameraState
    watch: SceneWatch | None  # None: nothing was seen yet
    zones: ZoneMask | None
    snapshot: Snapshot | None  # that it goes on from; None: it begins anew


def line_start(
    camera: Camera,
    scorer: Scorer,
    snapshot: Snapshot | None,
    *,
    identity: str,
    view: str,
    learn_frames: int,
) -> LineStart:
    """Return the state after the snapshot, where that belongs to this camera and checkpoint.

    Of another network's snapshot of the same view, the memory of places is kept.

    identity, view: as `camera_identity` and `view_identity` have them. learn_frames: of bounds.
    Raises CheckpointError where the camera cannot be scored with the checkpoint.
    """
    ours = None
    if snapshot is not None and snapshot.state.get("of") == identity:
        ours = snapshot
    zones = zone_mask(camera, scorer.checkpoint.preprocess)
    state = fresh_state(camera, scorer, zones, learn_frames)
    if snapshot is not None and ours is None and snapshot.state.get("view") == view:
        keep_places(camera.id, state, snapshot)
    return LineStart(state, restore(camera.id, state, ours), zones, ours)


def zone_mask(camera: Camera, size: Preprocess) -> ZoneMask | None:
    """Return the camera's zones at its model's size; None where it has none."""
    if not camera.zones:
        return None
    zones = [zone.as_zone() for zone in camera.zones]
    return ZoneMask(zones, size.height_px, size.width_px)


def fresh_state(
    camera: Camera, scorer: Scorer, zones: ZoneMask | None, learn_frames: int
) -> CameraState:
    """Return a state with the trained memory, and bounds of the checkpoint if wanted.

    Raises CheckpointError where the checkpoint holds none.
    """
    bounds: Bounds | None = None
    if camera.calibration == "model":
        bounds = scorer.checkpoint.calibration
        if bounds is None:
            reason = f"model {camera.model!r} holds no calibration: run `lookout calibrate`"
            raise CheckpointError(reason)
    places = None
    if camera.score in PLACE_SCHEMES:
        if scorer.input_spec.scored == 0:
            raise CheckpointError(
                f"model {camera.model!r} takes one frame: motion needs the frame before"
            )
        places = PlaceState(learn_frames - learn_frames // 2, zones=zones)
        learn_frames //= 2
    if bounds is not None and bounds.local_db is None and zones is not None and zones.watched:
        raise CheckpointError(
            f"model {camera.model!r}: its calibration holds no bounds of the local score, "
            "which a watched zone needs: run `lookout calibrate`"
        )
    try:
        normalizer = Normalizer(
            bounds,
            learn_frames,
            camera.score,
            scorer.checkpoint.config.fusion_weight,
            place_weight=scorer.checkpoint.place_weight,
        )
    except ValueError as error:
        raise CheckpointError(f"model {camera.model!r}: {error}: run `lookout calibrate`") from None
    rule = UpdateRule.paper(scorer.gamma) if camera.memory == "paper" else None
    return CameraState(
        scorer.fresh_items(),
        normalizer,
        gamma=scorer.gamma,
        rule=rule,
        places=places,
        zones=zones,
        still_frames=camera.still_frames,
    )


def restore(name: str, state: CameraState, snapshot: Snapshot | None) -> SceneWatch | None:
    """Continue the state from the snapshot; return its scene watch.

    None without a snapshot, and where it cannot be used, which is logged.
    """
    if snapshot is None:
        return None
    try:
        return snapshots.restore(state, snapshot.state)
    except (ValueError, KeyError, TypeError) as error:
        reason = "starts from its trained memory: its snapshot cannot be used"
        log.warning("camera %s %s: %s", name, reason, error, extra={"camera": name})
        return None


def keep_places(name: str, state: CameraState, snapshot: Snapshot) -> None:
    """Take the memory of places over from another network's snapshot of the same view."""
    try:
        kept = state.load_places(snapshot.state)
    except (ValueError, KeyError, TypeError) as error:
        reason = "its memory of places cannot be used, and begins again"
        log.warning("camera %s: %s: %s", name, reason, error, extra={"camera": name})
    else:
        if kept:
            log.info("camera %s: it keeps its memory of places", name, extra={"camera": name})
