"""Hooks of schemathesis: which refusals of a valid request are right.

JSON Schema says the form of a value. It cannot compare two fields, and knows neither the folders
nor the checkpoints of this machine. Each such reason stands here by its words; any other refusal
of what the document allows is a failure.
"""

from __future__ import annotations

import re
from typing import Any

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData, Failure, ServerError
from schemathesis.core.transport import Response
from schemathesis.generation.case import Case
from schemathesis.openapi.checks import RejectedPositiveData, UseAfterFree

BEYOND_THE_SCHEMA = {
    "hysteresis must be smaller than threshold": "two fields compared",
    "transport udp is for rtsp:// alone": "two fields compared",
    "alarm_budget stands in place of threshold": "two fields compared",
    "an admin sees every camera": "two fields compared",
    "is needed, or `user` and `password`": "fields that exclude each other",
    "at most 31 days can be had at once": "two fields compared",
    "is no user's name": "a name that is taken for good",
    "learns what is normal from the camera itself": "two fields compared",
    "alert is for a zone of kind watch": "two fields compared",
    "it is a time (s, UTC) that is past": "this machine's clock",
    "name either a recording, or a period": "fields that exclude each other",
    "name a recording, or a period": "fields that exclude each other",
    "began_at` is of a recording": "fields that exclude each other",
    "from` must come before `to`": "two fields compared",
    "to` is in the future": "this machine's clock",
    "the recording is empty": "a file has a byte or more",
    "the points lie on a line": "the form of a zone",
    "there is no model": "the checkpoints of the models folder",
    "below the media folder": "the files of this machine",
    "no such file in the media folder": "the files of this machine",
    "there is a folder, pipe or device": "the files of this machine",
    "the file's name cannot be used": "the file system's own limits",
    "cursor: not one that this list gave": "a page's own word, which no pattern describes",
    "zones: ": "geometry of polygons, and their names compared",
    "there is no time zone": "the time zones of this machine",
    "a private, local or metadata address": "the addresses that names have, and the settings",
    "https:// or http:// and a host are needed": "grammar of an address",
    "an address without spaces and control characters": "the same",
    "user and password are not sent": "the same",
    "a part behind # is not sent": "the same",
    "Port ": "the same",
    "mqtt:// or mqtts:// and a host are needed": "the same",
    "user and password do not stand in it": "the same",
    "nothing stands behind host and port": "the same",
    "an address of Apprise is needed": "the same",
    "speaks to programs of Lookout's own machine": "the same",
    "no certificate (PEM) can be read from it": "the form of a certificate",
    "is of a sink of kind": "two fields compared",
    "needs `push_keys`": "two fields compared",
    "no point of the curve": "the form of a key",
    "needs `username`": "two fields compared",
    "ca` is for mqtts://": "two fields compared",
    "Apprise knows no such address": "the services of Apprise and their addresses",
    "it reads a file of Lookout's own machine": "the same",
    "the url ": "grammar of an address: password, host, port and percent codes",
    "a % in the url": "the same",
    "the host's name or port cannot be used": "the same",
    "the host's name holds letters": "the same",
    "user and password are longer": "the same",
    "the user's name holds a colon": "the same",
    "user or password holds a zero byte": "the same",
    "path and query are longer": "the same",
    "a file is named file:///": "the same",
    "this Idempotency-Key stands for another request": "the keys that were used before",
    "percent-encode ? # %": "the same",
}


@schemathesis.hook
def before_call(_context: schemathesis.HookContext, case: Case[Any], _kwargs: Any) -> None:
    """Ask for the live picture of no camera that is there: that stream has no end to wait for."""
    if case.operation.path.endswith("/live.mjpeg") and case.path_parameters.get("camera") == "gate":
        case.path_parameters["camera"] = "nobody"


@schemathesis.hook
def filter_failure(
    context: schemathesis.HookContext, failure: Failure, case: Case[Any], response: Response
) -> bool:
    """Keep a failure unless a valid request was refused for one of the reasons above.

    `/readyz` answers 503 where a stage is missing, and here no stage but the API runs. A job that
    is cancelled by DELETE stays listed as `cancelled`.
    """
    if isinstance(failure, ServerError):
        return not (case.operation.path == "/readyz" and response.status_code == 503)
    if isinstance(failure, UseAfterFree):
        return not ("/jobs/" in case.operation.path and '"cancelled"' in response.text)
    if isinstance(failure, AcceptedNegativeData) and response.status_code == 413:
        return False  # a wrong body that is too large, too: refused before it is read
    if isinstance(failure, RejectedPositiveData) and response.status_code == 412:
        return False  # no schema knows the versions that there are
    if not isinstance(failure, RejectedPositiveData) or response.status_code != 422:
        return True
    detail = response.json()["detail"]
    return not any(re.search(rf"\b{re.escape(words)}", detail) for words in BEYOND_THE_SCHEMA)
