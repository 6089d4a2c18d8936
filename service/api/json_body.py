"""JSON bodies, read strictly: what is sent is either understood or refused with the reason."""

from __future__ import annotations

import email.message
import json
import math
from collections.abc import Callable, Coroutine
from typing import Any, cast

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from lookout.service.api.idempotency import Repeats

MAX_DEPTH = 16
MAX_DIGITS = 300  # of a whole number; float64 has 308
WANTED = "send Content-Type: application/json"


class BeyondLimitsError(ValueError):
    """The text may be JSON, but not of a size that anybody sends in earnest."""


class JsonRoute(APIRoute):
    """A route whose body, where it takes one, is JSON in UTF-8.

    Another content type and what is not JSON get 422, what is beyond all limits 400. A POST that
    names an `Idempotency-Key` is done once.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:

            async def handle_without_body(request: Request) -> Response:
                return await repeats_of(request).answer(request, b"", handle)

            return handle_without_body
        may_lack = not self.body_field.field_info.is_required()

        async def read_and_handle(request: Request) -> Response:
            strict = JsonRequest(request.scope, request.receive)
            await strict.read(may_lack=may_lack)
            return await repeats_of(strict).answer(strict, await strict.body(), handle)

        return read_and_handle


def repeats_of(request: Request) -> Repeats:
    """Return what remembers the answers of the app that serves a request."""
    return cast(Repeats, request.app.state.services.repeats)


class JsonRequest(Request):
    """A request whose JSON is parsed by `parse_json`."""

    async def read(self, *, may_lack: bool) -> None:
        """Read and parse the body; may_lack: it may be empty.

        Raises RequestValidationError or HTTPException (400).
        """
        try:
            body = await self.body()
        except ClientDisconnect as error:
            raise HTTPException(400, "the body ended early") from error
        if may_lack and not body:
            return
        try:
            if body:
                check_content_type(self.headers.get("content-type"))
                check_content_encoding(self.headers.get("content-encoding", "identity"))
            self._value = parse_json(body)
            if isinstance(self._value, dict):
                self.state.fields = tuple(self._value)  # for the audit, which keeps no values
        except BeyondLimitsError as error:
            raise HTTPException(400, f"body: {error}") from None
        except ValueError as error:
            wrong = {"type": "json_invalid", "loc": ("body",), "msg": str(error)}
            raise RequestValidationError([wrong]) from None

    async def json(self) -> Any:
        """Return what `read` has parsed."""
        return self._value


def check_content_type(value: str | None) -> None:
    """Raise ValueError where a `Content-Type` does not announce JSON in UTF-8."""
    if value is None:
        raise ValueError(f"it has no content type: {WANTED}")
    message = email.message.Message()
    message["Content-Type"] = value
    subtype = message.get_content_subtype()
    is_json = subtype == "json" or subtype.endswith("+json")
    if message.get_content_maintype() != "application" or not is_json:
        raise ValueError(f"its content type is not JSON: {WANTED}")
    charset = str(message.get_param("charset", "utf-8")).lower()
    if charset not in ("utf-8", "utf8", "us-ascii"):
        raise ValueError(f"its charset is not UTF-8: {WANTED}")


def check_content_encoding(value: str) -> None:
    """Raise ValueError where a `Content-Encoding` announces a compressed body."""
    if value.strip().lower() != "identity":
        raise ValueError("it is compressed: send it without Content-Encoding")


def parse_json(body: bytes) -> Any:
    """Return the value of a JSON text (RFC 8259) in UTF-8, with or without a byte order mark.

    Raises ValueError with a reason for a person: no JSON (with line and column), a key that stands
    twice, NaN or a number beyond float64, half of a surrogate pair. Raises BeyondLimitsError for
    more than MAX_DEPTH levels or MAX_DIGITS digits.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8, at byte {error.start}") from None
    if not text.strip():
        raise ValueError("empty: send a JSON object")
    try:
        value = json.loads(
            text,
            object_pairs_hook=unique_keys,
            parse_constant=refuse_constant,
            parse_float=finite_float,
            parse_int=bounded_int,
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"not JSON: {error.msg} at {where}") from None
    except RecursionError:
        raise BeyondLimitsError(f"nested more than {MAX_DEPTH} levels deep") from None
    check_depth(value)
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a string holds half of a surrogate pair") from None
    return value


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object. Raises ValueError for a key that stands twice."""
    found = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:64]!r} stands twice")
        found[key] = value
    return found


def refuse_constant(name: str) -> float:
    """Raise ValueError: NaN and Infinity are Python's, not JSON's."""
    raise ValueError(f"{name} is not a number in JSON")


def finite_float(text: str) -> float:
    """Return a number. Raises ValueError where float64 cannot hold it."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def bounded_int(text: str) -> int:
    """Return a number. Raises BeyondLimitsError where it has more than MAX_DIGITS digits."""
    if len(text) > MAX_DIGITS:
        raise BeyondLimitsError(f"a number has more than {MAX_DIGITS} digits")
    return int(text)


def check_depth(value: Any) -> None:
    """Raise BeyondLimitsError where a value has more than MAX_DEPTH levels."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        parents = [parent for parent in level if isinstance(parent, dict | list)]
        if not parents:
            return
        level = [
            child
            for parent in parents
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
    raise BeyondLimitsError(f"nested more than {MAX_DEPTH} levels deep")
