"""The AsyncAPI document of `/live`: what the API serves is one, and names each kind of message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.service.api_server import Api, api, live_validator, one_api

__all__ = ["api", "one_api"]


def references(part: Any) -> Iterator[str]:
    """Yield every `$ref` of a document."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_the_document_names_each_message_and_every_reference_leads_somewhere(api: Api) -> None:
    answer = api.get("/asyncapi.json")
    assert answer.status_code == 200
    document = answer.json()
    assert document["asyncapi"] == "3.0.0"
    assert set(document["channels"]["live"]["messages"]) == {"score", "alert", "event", "camera"}
    (operation,) = document["operations"].values()
    assert operation["action"] == "send"
    found = set(references(document))
    assert len(found) > 10
    for reference in found:
        part = document
        for name in reference.removeprefix("#/").split("/"):
            part = part[name]


def test_a_message_of_unknown_fields_is_not_described() -> None:
    """So that the messages which the tests of /live receive are held against all of it."""
    assert not live_validator("score").is_valid({"type": "score", "data": {}, "more": 1})
    assert not live_validator("alert").is_valid({"type": "alert", "event": "gone", "data": {}})
