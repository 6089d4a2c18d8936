"""The state of a camera, derived from the stages' reports. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass, field

from lookout.service.core.camera import Camera
from lookout.service.core.errors import Reason
from lookout.service.core.messages import CameraStatus, FrameId, InferenceReport, IngestReport
from lookout.service.core.stages import INFERENCE, INGEST
from lookout.service.storage.bus.reports import Overview, Report

QUIET_S = 15.0
"""A stage that has not reported for so long is taken for gone."""


NO_ERROR = Reason("it failed without a reason", code="state_no_reason")
NO_INGEST = IngestReport("starting", 0.0)
NO_INFERENCE = InferenceReport("learning", 0.0)

UNSCORED_S = 15.0
"""A camera that comes in and has had no score for so long is not online."""

BACKLOG = 16
"""Frames that may wait for their score in a line that works: those of a long window."""

SAME_RATE = 1.2
"""Frame rates of camera and training up to this ratio need no warning."""

StateAndError = tuple[CameraStatus, Reason | None]


@dataclass(frozen=True, slots=True)
class Beats:
    """Stages that have any worker."""

    ingest: bool
    inference: bool


@dataclass(frozen=True, slots=True)
class Status:
    state: CameraStatus
    last_error: Reason | None = None
    session: int | None = None
    progress: tuple[int, int] | None = (
        None  # scored frames learned from, and needed; only while learning
    )
    measured_fps: float | None = None
    frame_age_s: float | None = None
    waiting: bool = False
    retry_at: float | None = None
    reconnects_last_hour: int = 0
    stalls_last_hour: int = 0
    tampered: bool = False
    drift: float | None = None  # of the memory from the trained items
    rollbacks: int = 0
    view: str = ""
    views: int = 1
    workers: dict[str, str] = field(default_factory=dict)  # stage → who has the camera
    score_age_s: float | None = None
    warnings: tuple[str, ...] = ()  # what makes its scores worth less, in plain words


def status(camera: Camera, seen: Overview, beats: Beats, now: float) -> Status:
    """Return the camera's status at `now` (s, UTC epoch).

    Reports of another revision are ignored.
    """
    ingest = current_report(camera, seen.ingest)
    inference = current_report(camera, seen.inference)
    state, error = settled_state(camera, ingest, inference, seen) or running_state(
        camera, ingest, inference, seen, beats, now
    )
    progress = None
    if inference is not None and state is CameraStatus.LEARNING:
        progress = (inference.learned, inference.to_learn)
    from_ingest = ingest or NO_INGEST
    from_inference = inference or NO_INFERENCE
    frame_age_s = None
    if from_ingest.last_captured_at is not None:
        # A file at full pace is ahead of the clock.
        frame_age_s = max(0.0, age_of_newest_frame_s(from_ingest, now))
    owners = {INFERENCE.name: from_inference.worker, INGEST.name: from_ingest.worker}
    return Status(
        state,
        error,
        session=from_ingest.session,
        progress=progress,
        measured_fps=from_ingest.fps,
        frame_age_s=frame_age_s,
        waiting=from_ingest.waiting,
        retry_at=from_ingest.retry_at,
        reconnects_last_hour=from_ingest.reconnects_last_hour,
        stalls_last_hour=from_ingest.stalls_last_hour,
        tampered=from_inference.tampered,
        drift=from_inference.drift,
        rollbacks=from_inference.rollbacks,
        view=from_inference.view,
        views=from_inference.views,
        score_age_s=from_inference.score_age_s,
        warnings=(*rate_warnings(camera, from_inference), *store_warnings(camera)),
        workers={stage: worker for stage, worker in owners.items() if worker},
    )


def age_of_newest_frame_s(ingest: IngestReport, now: float) -> float:
    """Return the age at `now` (s, UTC): as reported, and what has passed since."""
    if ingest.frame_age_s is None or ingest.last_captured_at is None:  # an older version's
        return now - (ingest.last_captured_at or now)
    return ingest.frame_age_s + max(0.0, now - ingest.at)


def current_report(camera: Camera, report: Report | None) -> Report | None:
    """Return the report, or None where it is of another revision of the camera."""
    if report is None or report.revision != camera.revision:
        return None
    return report


def settled_state(
    camera: Camera, ingest: IngestReport | None, inference: InferenceReport | None, seen: Overview
) -> StateAndError | None:
    """Return a state that lasts until the camera is changed, without further reports; or None."""
    if not camera.enabled:
        return CameraStatus.DISABLED, None
    for report in (ingest, inference):
        if report and report.state == "failed":
            return CameraStatus.FAILED, report.reason or NO_ERROR
    if ingest and ingest.state == "ended" and is_all_processed(ingest, seen):
        return CameraStatus.ENDED, ingest.reason or unlearned_reason(inference)
    return None


def unlearned_reason(inference: InferenceReport | None) -> Reason | None:
    """Return that a file ended before its bounds of normal were learned; None where it did not."""
    if inference is None or inference.state != "learning":
        return None
    return Reason(
        f"it ended while learning: {inference.learned} of {inference.to_learn} scores",
        code="state_unlearned",
        learned=inference.learned,
        needed=inference.to_learn,
    )


def running_state(
    camera: Camera,
    ingest: IngestReport | None,
    inference: InferenceReport | None,
    seen: Overview,
    beats: Beats,
    now: float,
) -> StateAndError:
    if ingest is None:
        if now - camera.created_at > QUIET_S and not beats.ingest:
            return CameraStatus.STALLED, silence_error("ingest", beats=False)
        return CameraStatus.STARTING, None
    if ingest.state != "ended" and now - ingest.at > QUIET_S:
        return CameraStatus.STALLED, silence_error("ingest", beats=beats.ingest)
    if ingest.state in ("reconnecting", "stalled"):
        return CameraStatus(ingest.state), ingest.reason
    state, error = scoring_state(ingest, inference, beats, now)
    if inference is None or state not in (CameraStatus.ONLINE, CameraStatus.LEARNING):
        return state, error
    missing = missing_scores(camera, ingest, inference, seen.cursor)
    return (CameraStatus.STALLED, missing) if missing else (state, error)


def is_all_processed(ingest: IngestReport, seen: Overview) -> bool:
    if ingest.session is None or ingest.last_seq is None:
        return True
    if seen.cursor is None:
        # Frames are counted as they are put on the bus: without a count the bus was restarted
        # since, and the last frames went with it.
        return not seen.counters.get("frames")
    return seen.cursor >= FrameId(ingest.session, ingest.last_seq)


def scoring_state(
    ingest: IngestReport, inference: InferenceReport | None, beats: Beats, now: float
) -> StateAndError:
    """Return the state while frames come, or came and are not all scored."""
    error = ingest.reason
    if inference is not None:
        error = error or inference.reason
    if ingest.session is None or ingest.last_seq is None:
        return CameraStatus.STARTING, error
    heard_at = ingest.session / 1000  # a session's number is its start in ms
    if inference is not None:
        heard_at = inference.at
    if now - heard_at > QUIET_S:
        return CameraStatus.STALLED, silence_error("inference", beats=beats.inference)
    if inference is None:
        return CameraStatus.STARTING, error
    return CameraStatus(inference.state), error


def missing_scores(
    camera: Camera, ingest: IngestReport, inference: InferenceReport, cursor: FrameId | None
) -> Reason | None:
    """Return what is missing where a camera has had no score for UNSCORED_S; else None.

    A camera of few frames, or whose first window still fills, misses nothing.
    """
    unscored_s = inference.score_age_s
    if unscored_s is None or unscored_s <= UNSCORED_S or ingest.state == "ended":
        return None
    frameless_s = ingest.frame_age_s
    limit_s = max(UNSCORED_S, camera.stall_timeout_s or 0.0)
    if camera.live and frameless_s is not None and frameless_s > limit_s:
        seconds = round(frameless_s)
        return Reason(f"no frame has come for {seconds} s", code="state_no_frame", seconds=seconds)
    seconds = round(unscored_s)
    text = f"frames come, and none has been scored for {seconds} s"
    if inference.drop_reason:
        return Reason(
            f"{text}: they drop ({inference.drop_reason})",
            code="state_dropped",
            seconds=seconds,
            drop=inference.drop_reason,
        )
    newest = FrameId(ingest.session or 0, ingest.last_seq or 0)
    done_seq = cursor.seq if cursor is not None and cursor.session == newest.session else -1
    if newest.seq - done_seq > BACKLOG:
        waiting = newest.seq - done_seq
        return Reason(
            f"{text}: {waiting} wait", code="state_waiting", seconds=seconds, waiting=waiting
        )
    return None


def rate_warnings(camera: Camera, inference: InferenceReport) -> list[str]:
    """Return a warning where the model was trained at another frame rate than it is given."""
    trained_fps = inference.model_fps
    fps = inference.fps or camera.fps
    if trained_fps is None or fps is None:
        return []
    text = (
        f"{fps:.3g} frames a second are scored, and the model {camera.model!r} was trained on "
        f"{trained_fps:g}: its scores are not those of the same scene at {trained_fps:g}"
    )
    if fps > SAME_RATE * trained_fps:
        return [f"{text}; set fps to {trained_fps:g}"]
    if fps * SAME_RATE >= trained_fps:
        return []
    if camera.fps is not None and camera.fps * SAME_RATE < trained_fps:
        return [f"{text}; set fps to {trained_fps:g}"]
    return [f"{text}; the source sends too few, or not all can be scored"]


def store_warnings(camera: Camera) -> list[str]:
    """Return what of the camera in the store could not be used."""
    if camera.mark is None:
        return []
    return [f"{camera.mark} (a change of the camera ends this warning)"]


def silence_error(stage: str, *, beats: bool) -> Reason:
    """Return why a stage has not reported on a camera. beats: it has a worker."""
    if beats:
        return Reason(f"{stage} says nothing of this camera", code="state_silent", stage=stage)
    return Reason(f"no {stage} worker is running", code="state_no_worker", stage=stage)
