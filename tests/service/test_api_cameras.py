"""Cameras over HTTP: added, changed, removed, and refused with a reason."""

from __future__ import annotations

import logging
import time
from datetime import UTC
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Response

from lookout.models.input_spec import InputSpec
from lookout.models.scoring.alarm_budget import HIGHEST, AlarmBudget
from lookout.models.scoring.alert_policy import AlertPolicy
from lookout.service.api.audit import AuditTrail
from lookout.service.api.auth.token import Authenticator
from lookout.service.api.cameras import NEW_EXAMPLES, camera_learning, change_camera
from lookout.service.api.checkpoints import choose_model
from lookout.service.api.dependencies import Services
from lookout.service.api.idempotency import Repeats
from lookout.service.api.live.broadcaster import Broadcaster
from lookout.service.api.live.picture_streams import PictureStreams
from lookout.service.core.accounts import ANYBODY
from lookout.service.core.camera import Camera, CameraChange, CameraSpec
from lookout.service.core.errors import ConflictError, Reason, reason_fields
from lookout.service.core.messages import (
    Alert,
    AlertEvent,
    AlertId,
    FrameId,
    InferenceReport,
    IngestReport,
)
from lookout.service.core.schedule import ArmOverride, ScheduleSettings
from lookout.service.core.settings import SHIPPED_MODELS
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.store.snapshots import Snapshot
from lookout.service.storage.store.store import Store
from lookout.service.storage.uploads import Uploads
from lookout.service.watch.watch_summary import WatchSummaries
from tests.conftest import Urls
from tests.owning import save
from tests.service.api_server import (
    RTSP,
    Api,
    api,
    camera,
    is_problem,
    one_api,
    show,
    write_checkpoint,
)

__all__ = ["api", "one_api"]


def test_a_camera_is_added_with_what_was_left_out_filled_in(api: Api, store: Store) -> None:
    answer = api.post("/cameras", {"url": RTSP})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert answer.headers["location"] == f"/api/v1/cameras/{made['id']}"
    assert made["url"] == "rtsp://***@camera.example/stream"
    assert (made["model"], made["pace"], made["calibration"], made["enabled"]) == (
        "square",
        "realtime",
        "learn",
        True,
    )
    assert (made["state"], made["fps"], made["progress"], made["dropped"]) == (
        "starting",
        None,
        None,
        {},
    )
    assert store.camera(made["id"]).url == RTSP  # the stages need the password
    assert api.get(f"/cameras/{made['id']}").json()["id"] == made["id"]
    assert api.get("/cameras").json() == {
        "items": [api.get(f"/cameras/{made['id']}").json()],
        "next": None,
        "unreadable": {},
    }


def test_a_budget_is_shown_beside_what_was_seen(api: Api, store: Store) -> None:
    asked = {"threshold": None, "alarm_budget": {"per_day": 24}}
    added = api.post("/cameras", {"id": "gate", "url": RTSP, "alert": {"threshold": 0.6}})
    assert (added.status_code, added.json()["budget"]) == (201, None)
    for refused in ({"alarm_budget": {"per_day": 24}}, {"alarm_budget": {"per_day": 0}}):
        is_problem(api.patch("/cameras/gate", {"alert": refused}), 422)
    changed = api.patch("/cameras/gate", {"alert": asked})
    assert (changed.status_code, changed.json()["budget"]) == (200, None)
    budget = AlarmBudget(24, AlertPolicy(), UTC)
    state = {"cursor": "1000-5", "budget": {"scored_by": "", "state": budget.state_dict()}}
    store.save_alerting("gate", 0, state, [])
    alone = api.get("/cameras/gate").json()
    for shown, by_hour in ((alone, [HIGHEST] * 48), (api.get("/cameras").json()["items"][0], None)):
        assert shown["budget"] == {
            "per_day": 24.0,
            "threshold": HIGHEST,
            "footage_minutes": 0.0,
            "expected": 0.0,
            "seen": 0,
            "seen_per_day_low": 0.0,
            "seen_per_day_high": None,
            "sentence": "0 seconds seen: a budget of 24 a day cannot be checked yet",
            "hour_thresholds": by_hour,
        }
    lines = api.http.get("/metrics").text.splitlines()
    assert 'lookout_alarm_budget_seen{camera="gate"} 0.0' in lines
    assert 'lookout_alarm_budget_expected{camera="gate"} 0.0' in lines
    fewer = api.patch("/cameras/gate", {"alert": {"alarm_budget": {"per_day": 1}}})
    assert fewer.status_code == 200, fewer.text
    assert api.get("/cameras/gate").json()["budget"] is None  # alerting has not taken it up


def test_the_view_is_shown(api: Api, store: Store, bus: Bus) -> None:
    added = api.post("/cameras", {"id": "gate", "url": RTSP}).json()
    assert (added["view"], added["views"]) == ("", 1)
    revision = store.camera("gate").revision
    report = InferenceReport("online", time.time(), revision, view="infrared 2", views=2)
    bus.report_inference("gate", report)
    shown = api.get("/cameras/gate").json()
    assert (shown["view"], shown["views"]) == ("infrared 2", 2)


def test_a_new_camera_keeps_as_many_frames_as_its_model_was_trained_on(
    api: Api, store: Store
) -> None:
    """One that is stored already goes on as it is, and null asks for every frame."""
    write_checkpoint(api.settings, "ten", fps=10.0)
    write_checkpoint(api.settings, "many", fps=240.0)
    (listed,) = [one for one in api.get("/models").json()["items"] if one["name"] == "ten"]
    assert listed["fps"] == 10
    for name, given, fps in (
        ("default", {}, 10.0),
        ("all", {"fps": None}, None),
        ("own", {"fps": 5}, 5.0),
        ("other", {"model": "square"}, None),
        ("too-fast", {"model": "many"}, None),
    ):
        answer = api.post("/cameras", {"id": name, "url": RTSP, "model": "ten", **given})
        assert answer.status_code == 201, answer.text
        assert answer.json()["fps"] == store.camera(name).fps == fps
    store.add_camera(camera("stored", model="ten"))
    assert api.patch("/cameras/stored", {"memory": "guarded"}).json()["fps"] is None
    assert api.patch("/cameras/default", {"fps": None}).json()["fps"] is None


def test_a_frame_rate_that_is_not_the_models_is_a_warning(api: Api, bus: Bus, store: Store) -> None:
    store.add_camera(camera("gate"))
    now = time.time()
    bus.report_ingest("gate", IngestReport("online", now, 1, None, 1000, 130, now, 25.0))
    for fps, warnings in ((10.1, 0), (25.0, 1)):
        report = InferenceReport("online", now, 1, fps=fps, model_fps=10.0, score_age_s=0.2)
        bus.report_inference("gate", report)
        shown = api.get("/cameras/gate").json()
        assert (len(shown["warnings"]), shown["score_age_s"]) == (warnings, 0.2)
    assert "set fps to 10" in shown["warnings"][0]
    assert 'lookout_score_age_seconds{camera="gate"} 0.2' in api.http.get("/metrics").text


def test_an_id_that_is_taken_is_a_conflict_and_harms_nothing(api: Api, bus: Bus) -> None:
    assert api.post("/cameras", {"id": "gate", "url": RTSP}).status_code == 201
    show(bus, "gate", 0)
    assert "gate" in is_problem(api.post("/cameras", {"id": "gate", "url": RTSP}), 409)
    assert len(api.get("/cameras/gate/scores").json()["items"]) == 1


def test_what_a_late_writer_left_of_a_removed_camera_is_not_shown_as_the_new_ones(
    api: Api, bus: Bus
) -> None:
    show(bus, "gate", 0)
    api.post("/cameras", {"id": "gate", "url": RTSP})
    assert api.get("/cameras/gate/scores").json()["items"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        [],
        None,
        "text",
        {"url": None},
        {"url": 5},
        {"url": ""},
        {"url": RTSP, "id": ""},
        {"url": RTSP, "id": "a/b"},
        {"url": RTSP, "id": "../etc"},
        {"url": RTSP, "id": "gate\n"},
        {"url": RTSP, "id": "ä"},
        {"url": RTSP, "id": "x" * 65},
        {"url": RTSP, "id": 7},
        {"url": RTSP, "fps": 0},
        {"url": RTSP, "fps": -1},
        {"url": RTSP, "fps": 121},
        {"url": RTSP, "fps": "10"},
        {"url": RTSP, "fps": True},
        {"url": RTSP, "pace": "slow"},
        {"url": RTSP, "calibration": "none"},
        {"url": RTSP, "enabled": "yes"},
        {"url": RTSP, "model": ["square"]},
        {"url": RTSP, "hunter2": 1, "unknown": "hunter2"},
        {"url": {"rtsp": "hunter2"}},
        {"url": RTSP + "x" * 5000},
    ],
)
def test_wrong_fields_are_refused(api: Api, wrong: Any) -> None:
    answer = api.post("/cameras", wrong)
    if wrong and "hunter2" in wrong:  # a field's name is repeated, its value is not
        assert answer.status_code == 422
    else:
        assert is_problem(answer, 422)
    assert api.get("/cameras").json()["items"] == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"url": "rtsp://user:hunter2@h/", "fps": NaN}', 422),
        (b'{"url": "rtsp://user:hunter2@h/", "fps": 1e999}', 422),
        (b'{"url": "rtsp://user:hunter2@h/", "fps": 1' + b"0" * 5000 + b"}", 400),
        (b'{"url": "rtsp://user:hunter2@h/"', 422),
        (b'{"url": "\\ud800"}', 422),
        (b"\xff\xfe", 422),
        (b"[" * 60_000, 400),
        (b'{"url": "' + b"x" * 100_000 + b'"}', 413),
    ],
)
def test_broken_bodies_are_refused(api: Api, body: bytes, status: int) -> None:
    answer = api.http.post(
        "/api/v1/cameras", content=body, headers={"Content-Type": "application/json"}
    )
    assert is_problem(answer, status)


def test_a_huge_body_without_a_length_is_refused_before_it_is_read(api: Api) -> None:
    chunks = (b"x" * 10_000 for _ in range(1000))
    answer = api.http.post(
        "/api/v1/cameras", content=chunks, headers={"Content-Type": "application/json"}
    )
    assert is_problem(answer, 413)


def test_a_form_of_another_site_is_no_json(api: Api) -> None:
    body = b'{"url": "rtsp://h/"}'
    answer = api.http.post("/api/v1/cameras", content=body, headers={"Content-Type": "text/plain"})
    assert is_problem(answer, 422)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://host/x", "rtsp://"),
        ("rtsp://", "no host"),
        ("rtsp://user:hunter2@host:port/", "cannot be read"),
        ("/etc/passwd", "media folder"),
        ("file:///../../etc/passwd", "media folder"),
        ("file://host/x", "file:///"),
        ("rtsp://h/\n", "control"),
    ],
)
def test_a_url_that_cannot_be_watched_is_refused_with_its_reason(
    api: Api, url: str, reason: str
) -> None:
    assert reason in is_problem(api.post("/cameras", {"url": url}), 422)


def test_a_file_of_the_media_folder_is_taken(api: Api) -> None:
    folder: Path = api.settings.media_dir
    clip = folder / "clip.mp4"
    clip.write_bytes(b"film")
    for url in (str(clip), clip.as_uri()):
        assert api.post("/cameras", {"url": url, "pace": "fast"}).status_code == 201
    assert "no such file" in is_problem(
        api.post("/cameras", {"url": str(folder / "none.mp4")}), 422
    )


def test_models_are_listed_and_a_camera_without_one_needs_the_choice_to_be_clear(api: Api) -> None:
    write_checkpoint(
        api.settings, "yard", calibrated=True, input_spec=InputSpec(16, scored=8, memory="fixed")
    )
    (api.settings.model_folders[0] / "broken.safetensors").write_bytes(b"nonsense")
    listed = {item["name"]: item for item in api.get("/models").json()["items"]}
    assert list(listed) == ["broken", "square", "yard"]
    assert "broken" in listed["broken"]["error"]
    assert (listed["yard"]["calibrated"], listed["square"]["calibrated"]) == (True, False)
    assert (listed["yard"]["model"], listed["yard"]["width_px"]) == ("mnad-pred", 256)
    assert [listed["yard"][key] for key in ("frames", "scored_frame", "memory")] == [16, 8, "fixed"]
    assert listed["square"]["memory"] is None  # of a version that did not say so
    assert "broken, square, yard" in is_problem(api.post("/cameras", {"url": RTSP}), 422)
    assert "broken, square, yard" in is_problem(
        api.post("/cameras", {"url": RTSP, "model": "mars"}), 422
    )
    assert "cannot be used" in is_problem(
        api.post("/cameras", {"url": RTSP, "model": "broken"}), 422
    )
    own = {"url": RTSP, "calibration": "model"}
    assert "no calibration" in is_problem(api.post("/cameras", {**own, "model": "square"}), 422)
    assert api.post("/cameras", {**own, "model": "yard"}).status_code == 201
    local = api.post("/cameras", {**own, "model": "yard", "score": "local"})
    assert "calibrated without the local score" in is_problem(local, 422)
    assert (
        api.post("/cameras", {"url": RTSP, "model": "yard", "score": "local"}).json()["score"]
        == "local"
    )
    places = api.post("/cameras", {**own, "model": "yard", "score": "places"})
    assert "learns what is normal from the camera itself" in is_problem(places, 422)


@pytest.mark.parametrize("example", NEW_EXAMPLES.values(), ids=NEW_EXAMPLES)
def test_the_cameras_of_the_openapi_document_get_a_shipped_model(example: dict[str, Any]) -> None:
    asked = CameraSpec.model_validate(example["value"])
    chosen = choose_model((SHIPPED_MODELS,), asked.model, asked.calibration, asked.score)
    assert chosen == {"learn": "places", "model": "square"}[asked.calibration]


@pytest.mark.parametrize(
    ("asked", "model", "learning"),
    [
        ({"url": RTSP}, "places", "auto"),
        ({"url": RTSP, "learning": "off"}, "places", "off"),
        ({"url": RTSP, "learning": "record"}, "places", "record"),
        ({"url": RTSP, "score": "places"}, "places", "off"),
        ({"url": RTSP, "model": "places"}, "places", "off"),
        ({"url": RTSP}, "square", "off"),
        ({"url": "file:///srv/media/clip.mp4"}, "places", "off"),
        ({"url": "file:///srv/media/clip.mp4", "learning": "auto"}, "places", "auto"),
    ],
)
def test_a_stream_that_names_neither_model_nor_score_learns_by_itself(
    asked: dict[str, Any], model: str, learning: str
) -> None:
    assert camera_learning(CameraSpec.model_validate(asked), model) == learning


@pytest.mark.parametrize("model", ["../square", "/etc/passwd", "square.safetensors", ""])
def test_a_model_is_a_name_and_no_path(api: Api, model: str) -> None:
    assert "available" in is_problem(api.post("/cameras", {"url": RTSP, "model": model}), 422)


def test_a_change_makes_a_new_revision_and_forgets_what_the_stages_said(
    api: Api, store: Store, bus: Bus
) -> None:
    api.post("/cameras", {"id": "gate", "url": RTSP, "fps": 10})
    first = store.camera("gate").revision
    bus.report_ingest("gate", IngestReport("failed", time.time(), first, "no such stream"))
    assert api.get("/cameras/gate").json()["state"] == "failed"
    changed = api.patch("/cameras/gate", {"fps": None})
    assert changed.status_code == 200, changed.text
    assert (changed.json()["fps"], changed.json()["state"]) == (None, "starting")
    assert store.camera("gate").revision == first + 1
    assert api.patch("/cameras/gate", {"enabled": False}).json()["state"] == "disabled"


def test_a_camera_that_takes_a_removed_ones_name_is_not_taken_for_it(
    api: Api, store: Store, bus: Bus
) -> None:
    """Nobody who looks twice a second sees that the first was gone.

    Only its revision tells them apart.
    """
    revisions = []
    for _ in range(5):
        assert api.post("/cameras", {"id": "gate", "url": RTSP}).status_code == 201
        revisions.append(store.camera("gate").revision)
        assert api.delete("/cameras/gate").status_code == 204
    assert len(set(revisions)) == 5
    api.post("/cameras", {"id": "gate", "url": RTSP})
    bus.report_ingest(
        "gate", IngestReport("failed", time.time(), revisions[-1], "a late word of the removed one")
    )
    assert api.get("/cameras/gate").json()["state"] == "starting"


LEARNED = Snapshot(FrameId(1000, 7), {"x": 1})


class Contended(Store):
    """Somebody else changes the camera right after it was read."""

    def camera(self, camera: str) -> Camera:
        found = super().camera(camera)
        self.replace_camera(
            found.model_copy(update={"fps": 1.0, "revision": found.revision + 1}), found
        )
        return found


def test_a_change_that_comes_too_late_costs_nothing_that_was_learned(
    api: Api, urls: Urls, store: Store
) -> None:
    store.add_camera(camera("gate"))
    store.save_snapshot("gate", 1, LEARNED)
    client = connect(urls.store)
    bus, contended = Bus(client, frames_kept=1, scores_kept=1, heats_kept=1), Contended(client)
    live = Broadcaster(bus, contended, 8)
    summaries = WatchSummaries(bus, contended)
    trail = AuditTrail(contended)
    auth = Authenticator(None)
    streams = PictureStreams(bus)
    repeats = Repeats(contended)
    uploads = Uploads(api.settings)
    here = Services(
        api.settings, bus, contended, live, summaries, auth, trail, streams, repeats, uploads
    )
    with pytest.raises(ConflictError, match="try again"):
        change = CameraChange.model_validate({"url": "rtsp://other/"})
        change_camera("gate", change, Response(), here, ANYBODY)
    client.close()
    assert store.camera("gate").url == RTSP
    assert store.snapshot("gate") == LEARNED


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"fps": 5}, True),
        ({"enabled": True}, True),
        ({"url": "rtsp://other/"}, False),
        ({"model": "yard"}, False),
    ],
)
def test_what_was_learned_is_dropped_where_it_no_longer_fits(
    api: Api, store: Store, change: dict[str, Any], kept: bool
) -> None:
    write_checkpoint(api.settings, "yard", calibrated=True)
    store.add_camera(camera("gate"))
    store.save_snapshot("gate", 1, LEARNED)
    assert api.patch("/cameras/gate", change).status_code == 200
    assert (store.snapshot("gate") is not None) is kept


@pytest.mark.parametrize(
    "change",
    [
        {"url": None},
        {"enabled": None},
        {"id": "other"},
        {"fps": 0},
        {"url": "http://x/"},
        {"model": "mars"},
        [],
        5,
    ],
)
def test_a_wrong_change_changes_nothing(api: Api, store: Store, change: Any) -> None:
    store.add_camera(camera("gate"))
    assert is_problem(api.patch("/cameras/gate", change), 422)
    assert store.camera("gate").revision == 1


def test_a_camera_whose_file_or_model_is_gone_can_still_be_paused(api: Api, store: Store) -> None:
    store.add_camera(camera("gate", url=str(api.settings.media_dir / "gone.mp4"), model="gone"))
    assert api.patch("/cameras/gate", {"enabled": False}).status_code == 200
    assert api.patch("/cameras/gate", {}).json()["enabled"] is False
    assert store.camera("gate").revision == 2


def test_a_removed_camera_is_gone_with_everything_but_its_alerts(
    api: Api, store: Store, bus: Bus
) -> None:
    api.post("/cameras", {"id": "gate", "url": RTSP})
    show(bus, "gate", 0)
    assert api.delete("/cameras/gate").status_code == 204
    for path in ("", "/scores", "/heatmap", "/frame"):
        assert is_problem(api.get(f"/cameras/gate{path}"), 404)
    assert is_problem(api.delete("/cameras/gate"), 404)
    assert is_problem(api.patch("/cameras/gate", {"fps": 5}), 404)
    assert bus.newest_scores("gate", 1) == []


def test_a_learning_camera_shows_how_far_it_is(api: Api, bus: Bus, store: Store) -> None:
    store.add_camera(camera("gate"))
    now = time.time()
    bus.report_ingest("gate", IngestReport("online", now, 1, None, 1000, 130, now, 9.9))
    bus.report_inference("gate", InferenceReport("learning", now, 1, None, 120, 300))
    for what, times in (("frames", 131), ("scores", 127), ("reconnects", 2), ("bus_restart", 1)):
        bus.count("gate", what, times)
    dropped = {"lag": 12, "size": 3, "broken": 2, "bus": 1}
    for reason, times in dropped.items():
        bus.count("gate", f"dropped_{reason}", times)
    shown = api.get("/cameras/gate").json()
    assert (shown["state"], shown["progress"]) == ("learning", {"learned": 120, "needed": 300})
    assert (shown["frames"], shown["scores"], shown["dropped"]) == (131, 127, dropped)
    assert (shown["reconnects"], shown["bus_restart"]) == (2, 1)
    assert (shown["session"], shown["measured_fps"]) == (1000, 9.9)
    assert 0 <= shown["frame_age_s"] < 5


def test_a_file_has_ended_when_its_last_frame_is_scored(api: Api, bus: Bus, store: Store) -> None:
    store.add_camera(camera("gate"))
    now = time.time()
    bus.report_ingest("gate", IngestReport("ended", now, 1, None, 1000, 9, now))
    bus.report_inference("gate", InferenceReport("online", now, 1))
    save(bus, "gate", FrameId(1000, 8))
    assert api.get("/cameras/gate").json()["state"] == "online"
    save(bus, "gate", FrameId(1000, 9))
    assert api.get("/cameras/gate").json()["state"] == "ended"


def test_no_password_reaches_an_answer_or_a_log(
    api: Api, bus: Bus, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    texts = [api.post("/cameras", {"id": "gate", "url": RTSP, "fps": -1}).text]
    texts += [api.post("/cameras", {"id": "gate", "url": RTSP}).text]
    why = Reason(f"cannot open {RTSP}", code="source_broken", why=RTSP)
    said = IngestReport(
        "reconnecting",
        time.time(),
        store.camera("gate").revision,
        retry_at=5.0,
        **reason_fields("last_error", why),
    )
    bus.report_ingest("gate", said)
    texts += [
        api.get("/cameras").text,
        api.get("/cameras/gate").text,
        api.patch("/cameras/gate", {"fps": 3}).text,
    ]
    texts += [api.post("/cameras", {"url": "http://user:hunter2@host/"}).text]
    texts += [
        api.patch("/cameras/gate", {"url": "rtsp://user:hunter2@[::/"}).text,
        api.http.get("/metrics").text,
    ]
    assert "rtsp://***@camera.example/stream" in "".join(texts)
    assert "hunter2" not in "".join(texts) + caplog.text


def test_zones_are_kept_and_what_is_no_polygon_is_refused_with_its_place(
    api: Api, store: Store
) -> None:
    store.add_camera(camera("gate"))
    tree = {"name": "tree", "kind": "ignore", "points": [[0, 0], [0.3, 0], [0, 0.4]]}
    revision = store.camera("gate").revision
    kept = api.patch("/cameras/gate", {"zones": [tree]}).json()["zones"]
    assert kept == [tree | {"alert": None}]
    assert store.camera("gate").revision == revision + 1  # it starts again
    assert api.patch("/cameras/gate", {"zones": kept}).json()["zones"] == kept
    for zones, reason in (
        ([tree | {"points": [[0, 0], [1, 1], [1, 0], [0, 1]]}], "itself at (0.5, 0.5)"),
        ([tree, tree], "two zones have the name 'tree'"),
        ([tree | {"points": [[0, 0], [1, 1]]}], "zones.0.points"),
        ([tree | {"points": [[0, 0], [1.5, 1], [1, 0]]}], "zones.0.points.1.0"),
        ([tree | {"name": "my tree"}], "zones.0.name"),
        ([tree | {"kind": "love"}], "zones.0.kind"),
        ([tree | {"alert": {"threshold": 0.5}}], "an ignored one opens none"),
        ([tree | {"points": [[0, 0], [1, 0], [1, 1], [0, 1]]}], "must leave 5%"),
        ([tree | {"name": f"z{number}"} for number in range(17)], "zones"),
        ("all", "zones"),
        (None, "zones"),
    ):
        changed = api.patch("/cameras/gate", {"zones": zones})
        assert reason in is_problem(changed, 422)
        added = api.post("/cameras", {"url": RTSP, "zones": zones})
        assert reason in is_problem(added, 422)
        for answer in (changed, added):
            assert {tuple(error["loc"][:2]) for error in answer.json()["errors"]} == {
                ("body", "zones")
            }
    assert api.patch("/cameras/gate", {"zones": []}).json()["zones"] == []


def test_a_camera_is_armed_by_its_schedule_and_a_word_against_it(api: Api, store: Store) -> None:
    store.add_camera(camera("gate"))
    revision = store.camera("gate").revision
    assert api.get("/cameras/gate").json()["armed"]
    never = {"timezone": "Europe/Zurich", "armed": []}
    changed = api.patch("/cameras/gate", {"schedule": never}).json()
    assert (changed["armed"], changed["schedule"]) == (False, never)
    later = time.time() + 3600
    armed = api.post("/cameras/gate/arm", {"armed": True, "until": later}).json()
    assert (armed["armed"], armed["override"]["until"]) == (True, later)
    assert 'lookout_camera_armed{camera="gate"} 1' in api.get("/metrics").text
    assert not api.post("/cameras/gate/arm", {"armed": None}).json()["armed"]
    assert store.camera("gate").override is None
    assert store.camera("gate").revision == revision  # nothing starts again
    for body, reason in (
        ({"armed": True, "until": 1}, "until: it is a time (s, UTC) that is past"),
        ({"armed": True, "until": 1e18}, "until"),
        ({"until": later}, "armed"),
        ({"armed": "yes"}, "armed"),
    ):
        assert reason in is_problem(api.post("/cameras/gate/arm", body), 422)
    is_problem(api.post("/cameras/nobody/arm", {"armed": False}), 404)
    for schedule, reason in (
        ({"armed": [{"begin": "7", "end": "08:00"}]}, "hours and minutes are needed"),
        ({"armed": [], "timezone": "Mars/Base"}, "no time zone 'Mars/Base'"),
    ):
        assert reason in is_problem(api.patch("/cameras/gate", {"schedule": schedule}), 422)


def test_two_words_at_once_are_not_both_taken(store: Store) -> None:
    before = camera("gate")
    store.add_camera(before)
    first = before.model_copy(update={"override": ArmOverride(armed=False, since=1.0, until=None)})
    store.replace_camera(first, before)
    with pytest.raises(ConflictError):
        store.replace_camera(before.model_copy(update={"fps": 1.0}), before)
    nights = ScheduleSettings.model_validate({"armed": [{"begin": "22:00", "end": "06:00"}] * 2})
    second = first.model_copy(update={"schedule": nights})
    store.replace_camera(second, first)
    shorter = nights.model_copy(update={"armed": nights.armed[:1]})
    with pytest.raises(ConflictError):
        store.replace_camera(first, second.model_copy(update={"schedule": shorter}))
    store.replace_camera(first, second)


def test_alerts_are_listed_by_zone(api: Api, store: Store) -> None:
    store.add_camera(camera("gate"))
    for seq, zone in ((1, None), (2, "door"), (2, None), (3, "yard")):
        alert_id = str(AlertId("gate", FrameId(1000, seq), zone))
        alert = Alert(alert_id, "gate", "closed", seq, seq, 0.5, 0.9, seq, zone=zone)
        epoch = store.alerting_epoch("gate")
        assert store.save_alerting("gate", epoch, {"cursor": None}, [AlertEvent("new", alert)])
    assert len(api.get("/alerts").json()["items"]) == 4
    (found,) = api.get("/alerts", zone="door").json()["items"]
    assert (found["id"], found["zone"]) == ("gate:1000-2@door", "door")
    assert api.get("/alerts/gate:1000-2@door").json()["zone"] == "door"
    assert api.get("/alerts/gate:1000-2").json()["zone"] is None
    is_problem(api.get("/alerts/gate:1000-2@door/picture"), 404)
    assert api.patch("/alerts/gate:1000-2@door", {"verdict": "true"}).json()["verdict"] == "true"


def test_two_people_who_edit_a_camera_see_both_versions(api: Api, store: Store) -> None:
    store.add_camera(camera("gate"))
    path = "/api/v1/cameras/gate"
    tag = api.http.get(path).headers["etag"]

    def change(body: dict[str, Any], if_match: str) -> httpx.Response:
        return api.http.patch(path, json=body, headers={"If-Match": if_match})

    first = change({"fps": 5}, tag)
    assert first.status_code == 200
    assert first.headers["etag"] == api.http.get(path).headers["etag"] != tag
    sent = {"fps": 7, "url": "rtsp://user:hunter2@other.example/"}
    late = change(sent, tag)
    assert "changed meanwhile" in is_problem(late, 412)
    assert late.json()["current"]["fps"] == 5
    assert late.json()["sent"] == {"fps": 7, "url": "rtsp://***@other.example/"}
    assert store.camera("gate").fps == 5
    assert change({"fps": 7}, late.headers["etag"]).status_code == 200
    assert change({"fps": 8}, "*").status_code == 200
    newest = api.http.get(path).headers["etag"]
    assert change({"fps": 8}, f'"other", {newest}').status_code == 200
    for other in ('"other"', "", f"W/{api.http.get(path).headers['etag']}"):
        is_problem(change({"fps": 9}, other), 412)
    assert api.http.patch(path, json={"fps": 9}).status_code == 200


@pytest.mark.parametrize(
    "change", [{"url": "rtsp://other/"}, {"learning": "record"}, {"alert": {"threshold": 0.4}}]
)
def test_every_field_is_a_part_of_the_version_and_the_state_is_none(
    api: Api, store: Store, bus: Bus, change: dict[str, Any]
) -> None:
    store.add_camera(camera("gate"))
    path = "/api/v1/cameras/gate"
    tag = api.http.get(path).headers["etag"]
    show(bus, "gate", 0)
    assert api.http.get(path).headers["etag"] == tag
    assert api.http.patch(path, json=change).headers["etag"] != tag
