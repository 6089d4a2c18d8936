"""Alerts with what persons said of them, as the API shows and takes them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from lookout.service.api.views import ALERT_EXAMPLE, AlertView
from lookout.service.core.camera import STRICT, CameraId
from lookout.service.core.messages import Alert, AlertAnswer, AlertVerdict

ANSWERED_EXAMPLE: dict[str, JsonValue] = {
    **ALERT_EXAMPLE,
    "acknowledged_at": 1767225700.0,
    "acknowledged_by": "token",
    "verdict": "false_alarm",
    "note": "a plastic bag",
    "keep": False,
}


class AnsweredAlert(AlertView):
    """An alert, and what a person said of it."""

    model_config = ConfigDict(json_schema_extra={"examples": [ANSWERED_EXAMPLE]})

    acknowledged_at: float | None = Field(description="null: nobody has")
    acknowledged_by: str = Field(description="`token`, or the name of a login")
    verdict: AlertVerdict | None
    note: str
    keep: bool = Field(description="it is never removed for its age or number")

    @classmethod
    def answered(cls, alert: Alert, answer: AlertAnswer) -> AnsweredAlert:
        """Return the view of an alert with its answer."""
        fields = AlertView.of(alert).model_dump()
        return cls(
            **fields,
            acknowledged_at=answer.acknowledged_at,
            acknowledged_by=answer.acknowledged_by,
            verdict=answer.verdict,
            note=answer.note,
            keep=answer.keep,
        )


class AlertChange(BaseModel):
    """An answer to an alert; what is not named stays."""

    model_config = STRICT

    acknowledged: bool = Field(default=False, description="`false` takes it back")
    verdict: AlertVerdict | None = Field(
        default=None,
        description="`true`: rightly told; `false_alarm`: nothing was there; `usual_here`: it is "
        "normal at this place",
    )
    note: Annotated[str, Field(max_length=2000)] = ""
    keep: bool = Field(default=False, description="never remove it for its age or number")


class AcknowledgeRequest(BaseModel):
    """The alerts to acknowledge: by their ids, or those that opened up to a time."""

    model_config = STRICT

    ids: Annotated[list[str], Field(max_length=1000)] | None = None
    camera: CameraId | None = Field(default=None, description="without `ids`; unset: every camera")
    until: float | None = Field(
        default=None, description="without `ids`: opened up to then (s, UTC); unset: now"
    )


class Acknowledged(BaseModel):
    count: int
    more: bool = Field(description="there are more: ask again")


class AlertList(BaseModel):
    items: list[AnsweredAlert]
    next: str | None = Field(description="`cursor` of the next page; null on the last")
