"""JSON bodies: what the strict reader takes is what it says, and every refusal has a reason."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.service.api.json_body import MAX_DEPTH, check_content_type, parse_json

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    LEAVES | TEXT, lambda child: st.lists(child) | st.dictionaries(TEXT, child), max_leaves=12
)


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@given(VALUES, st.booleans(), st.booleans())
def test_what_is_json_is_read(value: Any, ascii_only: bool, mark: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    body = text.encode("utf-8-sig" if mark else "utf-8")
    assert parse_json(body) == value


@given(st.binary())
def test_any_bytes_are_read_or_refused_with_a_reason(body: bytes) -> None:
    try:
        parse_json(body)
    except ValueError as error:
        assert 0 < len(str(error)) < 200
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("\ufeff", "empty"),
        ('{"a": 1,\n "b": }', "line 2, column 7"),
        ("{'a': 1}", "line 1, column 2"),
        ("url=rtsp://x", "not JSON"),
        ('{"a": 1} {"b": 2}', "line 1, column 10"),
        ('{"url": "a", "url": "b"}', "'url' stands twice"),
        ('{"a": [{"b": 1, "b": 1}]}', "'b' stands twice"),
        ('{"fps": NaN}', "NaN is not a number in JSON"),
        ('{"fps": -Infinity}', "-Infinity is not a number in JSON"),
        ('{"fps": 1e999}', "too large"),
        ('{"fps": ' + "9" * 5000 + "}", "digits"),
        (r'{"id": "\ud800"}', "surrogate"),
        (r'{"\udc00": 1}', "surrogate"),
        (nested(MAX_DEPTH + 1), "levels deep"),
        (nested(30_000), "levels deep"),
        ("[" * 60_000, "levels deep"),
    ],
)
def test_what_is_not_json_is_said(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_json(text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("body", ['{"a": 1}'.encode("utf-16"), b'{"a": "\xe9"}', b"\xff\xfe"])
def test_another_encoding_is_said(body: bytes) -> None:
    with pytest.raises(ValueError, match="not UTF-8, at byte"):
        parse_json(body)


def test_the_deepest_value_is_read() -> None:
    assert json.dumps(parse_json(nested(MAX_DEPTH).encode())) == nested(MAX_DEPTH)


@pytest.mark.parametrize(
    "value",
    [
        "application/json",
        "Application/JSON; charset=UTF-8",
        'application/json;charset="utf-8"',
        "application/merge-patch+json",
        "application/json; profile=x",
    ],
)
def test_json_may_be_announced_in_several_ways(value: str) -> None:
    check_content_type(value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no content type"),
        ("", "not JSON"),
        ("application/x-www-form-urlencoded", "not JSON"),
        ("multipart/form-data; boundary=x", "not JSON"),
        ("text/plain", "not JSON"),
        ("text/json", "not JSON"),
        ("json", "not JSON"),
        ("application/json; charset=latin-1", "charset"),
        ("application/json; charset=utf-16", "charset"),
    ],
)
def test_what_is_not_announced_as_json_is_said(value: str | None, reason: str) -> None:
    with pytest.raises(ValueError, match=f"{reason}.*: send Content-Type: application/json"):
        check_content_type(value)
