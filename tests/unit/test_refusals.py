"""Every refusal and reason that the page can show has a code, which test_texts.py wants in every
language.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVICE = Path(__file__).parents[2] / "service"
ROOMS = ("api", "core", "storage")
"""Where requests are answered, what they hold is checked, and what they change is kept."""

REFUSED_BY = {
    "RequestError",
    "NotFoundError",
    "ConflictError",
    "RoleError",
    "SourceRefusedError",
    "NoRoomError",
    "HTTPException",
    "problem",
}
FOR_PROGRAMS = {
    "api/idempotency.py": "the page sends no Idempotency-Key",
    "api/json_body.py": "the page sends well-formed JSON",
    "api/protocols.py": "browsers speak HTTP",
    "api/health.py": "the page does not ask for it",
    "api/problems.py": "the framework's own errors: no such path or method",
    "storage/camera_copy.py": "for `lookout replay`",
    "core/settings.py": "said to whoever starts the service",
    "core/sinks.py": "the page has no form for sinks; a browser makes those of web push",
    "core/sink_addresses.py": "the same",
    "core/web_push.py": "the same",
}
"""Files whose refusals no person meets on the page, and why."""

BESIDE = {
    "{name!r} stands twice": "the page names each parameter once",
    "HTTPException(413, reason)": "a body without a length, which browsers do not send",
    "HTTPException(400, 'the body ended early')": "whoever sent it has gone",
}
"""Parts of refusals in other files, of requests that the page does not make."""


def name_of(called: ast.expr) -> str:
    return getattr(called, "id", getattr(called, "attr", ""))


def is_validator(node: ast.AST) -> bool:
    if not isinstance(node, ast.FunctionDef):
        return False
    return any("validator" in ast.unparse(decorator) for decorator in node.decorator_list)


def without_code(source: str) -> Iterator[str]:
    """Yield the refusals of a file that have no code: raised ones, answers, and a validator's."""
    if not any(word in source for word in ("validator", *REFUSED_BY)):
        return
    for node in ast.walk(ast.parse(source)):
        if is_validator(node):
            raised = [one for one in ast.walk(node) if isinstance(one, ast.Raise)]
            yield from (ast.unparse(one) for one in raised if "ValueError" in ast.unparse(one))
        if not isinstance(node, ast.Call) or name_of(node.func) not in REFUSED_BY:
            continue
        if not any(keyword.arg == "code" for keyword in node.keywords):
            yield ast.unparse(node)


REASONED = ("ingest", "inference", "learning", "replay", "watch", "api", "core")
"""Where the reasons of a camera's state and of its jobs are made."""

REASON_FIELDS = {"reason", "last_error", "error"}
UNSHOWN = {
    "learning/self_tests.py": "the page says that a camera is blind, not why it was not tested",
    "api/checkpoints.py": "the page lists the checkpoints that can be used",
    "core/evidence.py": "the page says that there is no clip",
}
"""Files whose reasons the page does not show."""


def is_plain(said: ast.AST) -> bool:
    """Return whether an expression makes a text that has no code."""
    if isinstance(said, ast.Constant):
        return isinstance(said.value, str) and said.value != ""
    if isinstance(said, ast.IfExp):
        return is_plain(said.body) or is_plain(said.orelse)
    if isinstance(said, ast.BoolOp):
        return any(map(is_plain, said.values))
    if isinstance(said, ast.Call):
        return name_of(said.func) == "str"
    return isinstance(said, ast.JoinedStr | ast.BinOp)


def plain_reasons(source: str) -> Iterator[str]:
    """Yield the reasons of a file that have no code: made, raised, or put into a message."""
    for node in ast.walk(ast.parse(source)):
        said: list[ast.expr] = []
        if isinstance(node, ast.Call):
            name, coded = name_of(node.func), any(one.arg == "code" for one in node.keywords)
            is_reason = name == "Reason" or (name.startswith("Source") and name.endswith("Error"))
            if (is_reason or name == "FootageError") and not coded:
                said = [one for one in node.args if name == "Reason" or is_plain(one)]
            said += [
                one.value
                for one in node.keywords
                if one.arg in REASON_FIELDS and not coded and is_plain(one.value)
            ]
        elif isinstance(node, ast.Assign):
            (target, *_) = node.targets
            is_field = isinstance(target, ast.Attribute) and target.attr in REASON_FIELDS
            said = [node.value] if is_field and is_plain(node.value) else []
        yield from map(ast.unparse, said)


def test_every_reason_that_the_page_can_show_has_a_code() -> None:
    files = [path for room in REASONED for path in sorted((SERVICE / room).rglob("*.py"))]
    found = [
        f"{path.relative_to(SERVICE)}: {said}"
        for path in files
        if path.relative_to(SERVICE).as_posix() not in UNSHOWN
        for said in plain_reasons(path.read_text())
    ]
    assert found == [], 'make it a Reason with `code="…"`, and texts_*.json and docs/api.md'


@pytest.mark.parametrize("name", UNSHOWN)
def test_a_file_whose_reasons_are_excepted_has_some(name: str) -> None:
    assert list(plain_reasons((SERVICE / name).read_text())) != []


@pytest.mark.parametrize(
    "source",
    [
        'self.last_error = f"silent for {seconds} s"',
        'self.save(state="failed", reason="the disk is full")',
        'self.save(reason=lack or "it waits")',
        'return Reason(f"no answer within {seconds} s")',
        "raise SourceLostError(str(error)) from None",
        'raise FootageError("it is too short")',
        "IngestReport('failed', now, last_error=str(error))",
    ],
)
def test_a_reason_without_a_code_is_found(source: str) -> None:
    assert list(plain_reasons(source)) != []


def test_every_refusal_that_the_page_can_show_has_a_code() -> None:
    files = [path for room in ROOMS for path in sorted((SERVICE / room).rglob("*.py"))]
    found = [
        f"{path.relative_to(SERVICE)}: {call}"
        for path in files
        if path.relative_to(SERVICE).as_posix() not in FOR_PROGRAMS
        for call in without_code(path.read_text())
        if not any(part in call for part in BESIDE)
    ]
    assert found == [], 'give each `code="…"`, and texts_*.json and docs/api.md its sentence'


@pytest.mark.parametrize("name", FOR_PROGRAMS)
def test_a_file_that_is_excepted_refuses_something(name: str) -> None:
    source = (SERVICE / name).read_text()
    assert list(without_code(source)) or "raise ValueError" in source


@pytest.mark.parametrize(
    "source",
    [
        'raise RequestError("not so")',
        'return problem(409, "not now", {"Retry-After": "1"})',
        "@model_validator(mode='after')\ndef check(self):\n    raise ValueError('no')",
        'raise errors.NotFoundError(f"there is no {name}") from None',
    ],
)
def test_a_refusal_without_a_code_is_found(source: str) -> None:
    assert list(without_code(source)) != []
