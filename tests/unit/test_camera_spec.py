"""One definition of a camera's fields: PATCH, the record and the view derive from it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from lookout.service.api.views import CameraView
from lookout.service.core.camera import (
    AlertSettings,
    BudgetSettings,
    Camera,
    CameraChange,
    CameraSpec,
    camera_example,
)
from lookout.service.core.errors import BrokenMessageError
from lookout.service.storage.redis import codec

FIELDS = set(CameraSpec.model_fields)
RTSP = "rtsp://user:hunter2@camera.example/stream"


def camera(**more: Any) -> Camera:
    return Camera(id="gate", url=RTSP, model="square", created_at=1.5, revision=3, **more)


def test_patch_record_and_view_have_every_field() -> None:
    assert set(CameraChange.model_fields) == FIELDS - {"id"}
    assert set(Camera.model_fields) > FIELDS
    assert set(CameraView.model_fields) > FIELDS


@pytest.mark.parametrize("name", CameraSpec.model_fields)
def test_every_field_says_what_it_is(name: str) -> None:
    field = CameraSpec.model_fields[name]
    assert field.title
    assert field.description
    assert field.examples


def test_the_example_is_a_camera() -> None:
    assert CameraSpec.model_validate(camera_example()).fps == 10


def test_a_whole_number_may_have_a_point() -> None:
    assert CameraChange.model_validate_json('{"still_frames": 50.0}').model_dump(
        exclude_unset=True
    ) == {"still_frames": 50}
    for wrong in ("50.5", "true", '"50"', "1e400", "1e5", "0.0"):
        with pytest.raises(ValidationError):
            CameraChange.model_validate_json(f'{{"still_frames": {wrong}}}')


def test_a_patch_needs_nothing_and_takes_null_only_where_the_record_does() -> None:
    assert CameraChange.model_validate({}).model_fields_set == set()
    nullable = set()
    for name in CameraChange.model_fields:
        try:
            CameraChange.model_validate({name: None})
        except ValidationError:
            continue
        nullable.add(name)
    assert nullable == {"fps", "relearn_every_h", "schedule", "stall_timeout_s"}
    schema = CameraChange.model_json_schema()
    assert "required" not in schema
    assert not any("default" in field for field in schema["properties"].values())


def test_a_change_raises_the_revision_but_one_of_the_alert_settings() -> None:
    before = camera(alert=AlertSettings(threshold=0.7))
    faster = before.changed(CameraChange.model_validate({"fps": 5}))
    assert (faster.fps, faster.revision, faster.alert) == (5.0, 4, before.alert)
    quieter = before.changed(CameraChange.model_validate({"alert": {"hysteresis": 0.2}}))
    assert quieter.alert == AlertSettings(threshold=0.7, hysteresis=0.2)
    assert quieter.revision == 3
    default = before.changed(CameraChange.model_validate({"alert": {"threshold": None}}))
    assert default.alert == AlertSettings()
    assert before.changed(CameraChange.model_validate({})) == before


def test_an_alert_can_close() -> None:
    assert AlertSettings(hysteresis=0.9).threshold is None
    for alert in ({"threshold": 0.5, "hysteresis": 0.5}, {"threshold": 0.1, "hysteresis": 0.2}):
        with pytest.raises(ValidationError, match="hysteresis must be smaller"):
            AlertSettings.model_validate(alert)
    with pytest.raises(ValidationError, match="hysteresis must be smaller"):
        camera(alert=AlertSettings(threshold=0.5)).changed(
            CameraChange.model_validate({"alert": {"hysteresis": 0.5}})
        )


def test_udp_is_for_plain_rtsp_alone() -> None:
    for url in ("rtsp://host/x", "RTSP://u:p@host:554/x"):
        assert CameraSpec(url=url, transport="udp").transport == "udp"
    for url in ("rtsps://host/x", "file:///srv/clip.mp4", "/srv/clip.mp4", "//[x"):
        assert CameraSpec(url=url).transport == "tcp"
        with pytest.raises(ValidationError, match="udp is for rtsp:// alone"):
            CameraSpec(url=url, transport="udp")
    with pytest.raises(ValidationError, match="udp is for rtsp:// alone"):
        camera().changed(CameraChange.model_validate({"url": "/x.mp4", "transport": "udp"}))


def test_a_budget_stands_in_place_of_a_threshold() -> None:
    for per_day in (0, -1, 1e9, float("nan"), "1", True):
        with pytest.raises(ValidationError):
            AlertSettings.model_validate({"alarm_budget": {"per_day": per_day}})
    budget = {"alarm_budget": {"per_day": 1}}
    with pytest.raises(ValidationError, match="give one, and null for the other"):
        AlertSettings.model_validate({"threshold": 0.5} | budget)
    before = camera(alert=AlertSettings(threshold=0.7, hysteresis=0.2))
    with pytest.raises(ValidationError, match="give one, and null for the other"):
        before.changed(CameraChange.model_validate({"alert": budget}))
    asked = CameraChange.model_validate({"alert": {"threshold": None} | budget})
    after = before.changed(asked)
    assert after.alert == AlertSettings(hysteresis=0.2, alarm_budget=BudgetSettings(per_day=1))
    assert after.revision == before.revision


def test_a_record_is_read_as_it_was_written() -> None:
    for alert in ({"clear_after_s": 5}, {"alarm_budget": {"per_day": 1.5}}):
        written = camera(fps=12.5, alert=AlertSettings.model_validate(alert))
        assert codec.read_camera(written.model_dump_json()) == written


def test_records_of_other_versions_are_read() -> None:
    old = (
        '{"id":"gate","url":"rtsp://h/","model":"m","fps":null,"pace":"fast","calibration":"learn"'
        ',"enabled":true,"created_at":1,"revision":7}'
    )
    read = codec.read_camera(old)
    assert (read.transport, read.memory, read.score, read.alert) == (
        "tcp",
        "paper",
        "paper",
        AlertSettings(),
    )
    newer = old.replace('"revision"', '"halos":[1],"alert":{"sound":"bell"},"revision"')
    assert codec.read_camera(newer) == read


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"id":"gate","url":"rtsp://u:hunter2@h/"}'])
def test_a_broken_record_is_said_without_its_password(text: str) -> None:
    with pytest.raises(BrokenMessageError, match="camera cannot be read") as broken:
        codec.read_camera(text)
    assert "hunter2" not in str(broken.value)


def test_no_password_is_in_a_camera_that_is_printed() -> None:
    assert "hunter2" not in f"{camera()!r} {camera()} {CameraSpec(url=RTSP)!r}"
