"""The API's jobs of learning: asked for, shown, cancelled, promoted by hand, rolled back."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from lookout.service.core.drift import DriftState, ValueDrift
from lookout.service.core.jobs import HeldOut, LearningJob, LeftOut, Shadow
from lookout.service.storage import pictures
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.camera_changes import promote, roll_back
from lookout.service.storage.store.store import Store
from tests.service.api_server import (
    Api,
    api,
    is_problem,
    one_api,
    watch,
    write_checkpoint,
)

__all__ = ["api", "one_api"]

WORSE = HeldOut(30.0, 90.0)


def job_with(checkpoint: str, replaces: str) -> LearningJob:
    """A job that has trained a checkpoint from `square`."""
    return LearningJob(
        "gate",
        "training",
        0.0,
        0.0,
        60.0,
        60.0,
        "rule",
        replaces=replaces,
        started_from="square",
        is_first_network=replaces == "places",
        checkpoint=checkpoint,
    )


def trained_job(store: Store, checkpoint: str) -> LearningJob:
    """A job that waits to be promoted by hand."""
    now = time.time()
    job = store.add_job(LearningJob("gate", "queued", now, now, 60.0, 60.0, "hand"))
    done = replace(job, state="trained", checkpoint=checkpoint, before=WORSE, after=WORSE)
    assert store.save_job(job, done)
    return done


def test_a_job_is_asked_for_shown_and_cancelled(api: Api, bus: Bus, store: Store) -> None:
    watch(store, bus, "gate")
    made = api.post("/cameras/gate/learn", {"footage_s": 60, "minutes": 2, "promote": "hand"})
    assert made.status_code == 202
    job = made.json()
    assert (job["id"], job["state"], job["footage_s"], job["limit_s"]) == (
        "gate:1",
        "queued",
        60.0,
        120.0,
    )
    assert job["reason"] == "no learning worker is running (LOOKOUT_LEARNING_WORKERS)"
    bus.heartbeat("learning", "worker")
    assert api.get("/jobs/gate:1").json()["reason"] == ""
    assert "gate:1" in is_problem(api.post("/cameras/gate/learn", {}), 409)
    assert [one["id"] for one in api.get("/jobs").json()["items"]] == ["gate:1"]
    assert api.get("/jobs", camera="other").json()["items"] == []
    assert api.delete("/jobs/gate:1").json()["state"] == "cancelled"
    assert "is over" in is_problem(api.delete("/jobs/gate:1"), 409)
    again = api.http.post("/api/v1/cameras/gate/learn")  # a body is not needed
    assert (again.status_code, again.json()["id"]) == (202, "gate:2")
    assert [one["id"] for one in api.get("/jobs").json()["items"]] == ["gate:2", "gate:1"]
    assert [one["id"] for one in api.get("/jobs", latest=True).json()["items"]] == ["gate:2"]


@pytest.mark.parametrize(
    "body",
    [
        {"recording": ""},
        {"recording": "gone.mp4"},
        {"recording": "../secret.key"},
        {"recording": "a\0b"},
        {"recording": "."},
        {"shadow_s": -1},
        {"footage_s": 0},
        {"minutes": -1},
        {"promote": "maybe"},
        {"unknown": 1},
        [],
    ],
)
def test_a_wrong_request_is_refused_and_adds_no_job(
    api: Api, bus: Bus, store: Store, body: object
) -> None:
    watch(store, bus, "gate")
    is_problem(api.post("/cameras/gate/learn", body), 422)
    assert not store.newest_job("gate")


def test_a_recording_is_named_below_the_media_folder(api: Api, bus: Bus, store: Store) -> None:
    watch(store, bus, "gate")
    file = api.settings.media_dir / "monday.mp4"
    file.touch()
    made = api.post("/cameras/gate/learn", {"recording": "monday.mp4"})
    assert (made.status_code, made.json()["recording"]) == (202, "monday.mp4")
    api.delete("/jobs/gate:1")
    whole = api.post("/cameras/gate/learn", {"recording": str(file)})
    assert whole.json()["recording"] == str(file)
    api.delete("/jobs/gate:2")
    assert api.post("/cameras/gate/learn", {}).json()["recording"] == ""


def test_old_and_new_are_shown_side_by_side(api: Api, bus: Bus, store: Store) -> None:
    watch(store, bus, "gate")
    made = api.post("/cameras/gate/learn", {"shadow_s": 0}).json()
    assert (made["shadow_s"], made["shadow"]) == (0.0, None)
    api.delete("/jobs/gate:1")
    assert api.post("/cameras/gate/learn", {}).json()["shadow_s"] == 300.0
    job = store.job("gate:2")
    shadow = Shadow(480, 97.5, None, 2.0, 1.5, 30, 80.0, 90.0)
    assert store.save_job(job, replace(job, state="shadow", shadow=shadow))
    assert api.get("/jobs/gate:2").json()["shadow"] == {
        "frames": 480,
        "agreement_percent": 97.5,
        "rank_correlation": None,
        "old_above_percent": 2.0,
        "new_above_percent": 1.5,
        "made": 30,
        "old_recall_percent": 80.0,
        "new_recall_percent": 90.0,
    }


def test_footage_that_was_left_out_is_shown_with_pictures_and_answered(
    api: Api, bus: Bus, store: Store
) -> None:
    watch(store, bus, "gate")
    api.post("/cameras/gate/learn", {})
    other = LeftOut("90-1", 7, 100.0, 2.1, 20.0)  # of another job
    store.save_left_out("gate", [other, LeftOut("90-2", 7, 200.0, 2.1, 21.0)])
    store.answer_left_out("gate", "90-1", "drop")
    store.save_left_out(
        "gate", [LeftOut("100-3", 1, 5.0, 2.1, 24.6), LeftOut("100-1", 1, 3.0, 2.1, 22.1)]
    )
    listed = api.get("/jobs/gate:1/left-out").json()["items"]
    assert [one["id"] for one in listed] == ["100-1", "100-3"]
    assert listed[1] == {
        "id": "100-3",
        "begins_at": 5.0,
        "seconds": 2.1,
        "psnr_db": 24.6,
        "answer": None,
    }
    is_problem(api.get("/jobs/gate:1/left-out/100-1/picture"), 404)
    pictures.keep(pictures.left_out_picture_path(api.settings.data_dir, "gate", "100-1"), b"jpeg")
    shown = api.get("/jobs/gate:1/left-out/100-1/picture")
    assert (shown.headers["content-type"], shown.content) == ("image/jpeg", b"jpeg")
    for answer in ("include", "drop", None):
        changed = api.patch("/jobs/gate:1/left-out/100-1", {"answer": answer})
        assert changed.json()["answer"] == answer
    is_problem(api.patch("/jobs/gate:1/left-out/100-1", {"answer": "maybe"}), 422)
    is_problem(api.patch("/jobs/gate:1/left-out/100-1", {}), 422)
    for segment in ("90-1", "100-2", "x"):
        is_problem(api.patch(f"/jobs/gate:1/left-out/{segment}", {"answer": "drop"}), 404)
        is_problem(api.get(f"/jobs/gate:1/left-out/{segment}/picture"), 404)
    assert set(store.left_out("gate")) == {"90-1", "100-1", "100-3"}  # an answer stays
    api.delete("/cameras/gate")
    assert store.left_out("gate") == {}


def test_what_is_not_there_is_404(api: Api) -> None:
    is_problem(api.post("/cameras/nobody/learn", {}), 404)
    is_problem(api.http.post("/api/v1/cameras/nobody/rollback"), 404)
    for job in ("gate:1", "gate", ":", "gate:x", "gate:last", "gate:active"):
        is_problem(api.get(f"/jobs/{job}"), 404)


def test_a_checkpoint_is_promoted_by_hand_and_rolled_back(api: Api, bus: Bus, store: Store) -> None:
    before = watch(store, bus, "gate")
    write_checkpoint(api.settings, "gate-1", calibrated=True)
    job = trained_job(store, "gate-1")
    done = api.http.post(f"/api/v1/jobs/{job.id}/promote")
    assert (done.status_code, done.json()["state"]) == (200, "promoted")
    after = store.camera("gate")
    assert (after.model, after.calibration) == ("gate-1", "model")
    assert "no checkpoint that waits" in is_problem(
        api.http.post(f"/api/v1/jobs/{job.id}/promote"), 409
    )
    back = api.http.post("/api/v1/cameras/gate/rollback").json()
    assert (back["model"], back["calibration"]) == (before.model, before.calibration)
    assert "no earlier model" in is_problem(api.http.post("/api/v1/cameras/gate/rollback"), 409)


def test_the_last_three_models_are_gone_back_to_one_by_one(bus: Bus, store: Store) -> None:
    watch(store, bus, "gate", model="m0")
    for number in range(1, 6):
        for _ in range(2):  # a repeated promotion changes nothing
            promote(bus, store, job_with(f"m{number}", "square"))
    assert [one.model for one in store.former_models("gate")] == ["m4", "m3", "m2"]


def test_a_removed_camera_leaves_no_job_and_numbers_go_on(api: Api, bus: Bus, store: Store) -> None:
    watch(store, bus, "gate")
    api.post("/cameras/gate/learn", {})
    api.delete("/cameras/gate")
    is_problem(api.get("/jobs/gate:1"), 404)
    watch(store, bus, "gate")
    assert api.get("/jobs").json()["items"] == []
    assert api.post("/cameras/gate/learn", {}).json()["id"] == "gate:2"


def test_a_change_of_learning_restarts_nothing(api: Api, bus: Bus, store: Store) -> None:
    before = watch(store, bus, "gate")
    api.patch("/cameras/gate", {"learning": "record"})
    after = store.camera("gate")
    assert (after.learning, after.revision) == ("record", before.revision)


def test_drift_of_the_values_is_shown_and_warned_of(api: Api, bus: Bus, store: Store) -> None:
    made = watch(store, bus, "gate", learning="record")
    assert api.get("/cameras/gate").json()["value_drift"] is None
    store.save_drift("gate", DriftState(made.revision), ValueDrift(made.revision, 0.5, 1.0, 2.0))
    shown = api.get("/cameras/gate").json()
    assert shown["value_drift"]["is_drifted"] is False
    assert shown["warnings"] == []
    store.save_drift("gate", DriftState(made.revision), ValueDrift(made.revision, 0.8, 31.0, 2.0))
    shown = api.get("/cameras/gate").json()
    assert shown["value_drift"] == {
        "rank": 0.8,
        "above_percent": 31.0,
        "learned_above_percent": 2.0,
        "is_drifted": True,
    }
    assert "its values have drifted since it learned" in shown["warnings"][0]
    api.patch("/cameras/gate", {"learning": "off"})
    assert api.get("/cameras/gate").json()["value_drift"] is None


def test_learned_checkpoints_are_not_the_only_one(api: Api, store: Store) -> None:
    write_checkpoint(api.settings, "gate-1", provenance={"learned": {"camera": "gate"}})
    made = api.post("/cameras", {"id": "yard", "url": "rtsp://camera.example/stream"})
    assert made.status_code == 201, made.text
    assert made.json()["model"] == "square"


@pytest.mark.parametrize(
    ("score", "replaces", "after"),
    [
        ("places", "places", ("fused", "learn")),
        ("places", "square", ("places", "learn")),
        ("fused", "square", ("fused", "learn")),
        ("local", "square", ("local", "model")),
        ("paper", "square", ("paper", "model")),
    ],
)
def test_a_camera_without_a_network_is_scored_by_both_once_it_has_one(
    bus: Bus, store: Store, score: str, replaces: str, after: tuple[str, str]
) -> None:
    before = watch(store, bus, "gate", model=replaces, score=score)
    promote(bus, store, job_with("gate-1", replaces))
    now = store.camera("gate")
    assert (now.model, now.score, now.calibration) == ("gate-1", *after)
    roll_back(bus, store, "gate")
    back = store.camera("gate")
    assert (back.model, back.score, back.calibration) == (replaces, score, before.calibration)
