"""The texts of the page: one file a language, and no text anywhere else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import pytest

from lookout.models.scoring.alert_regions import Trait
from lookout.service.api.auth.token import CODES
from lookout.service.core.camera import CameraSpec
from lookout.service.core.messages import AlertKind, CameraStatus
from lookout.service.core.metrics import OTHER, REASONS
from lookout.service.watch.watch_summary import Standing

STATIC = Path(__file__).parents[2] / "service" / "api" / "static"
SCRIPTS = sorted(STATIC.glob("*.js"))
PAGES = sorted(STATIC.glob("*.html"))
LANGUAGES = ("de",)
"""Those beside English."""

TEXT_ATTRIBUTES = {"title", "aria-label", "alt", "placeholder"}
PRODUCT = {"Lookout", "Lookout: API"}
LITERAL = re.compile(r'"((?:\\.|[^"\\])*)"|`((?:\\.|[^`\\])*)`')
SHOWN = re.compile(
    r"""(?:textContent|innerText|title|placeholder|detail)\s*(?:=|\|\|)\s*["`]"""
    r"""|(?:Option|append|confirm|showBanner)\(["`]|showText\([^)]*\),\s*["`]"""
    r"""|"aria-label",\s*["`]"""
)
"""Code that shows a literal."""

PROSE = re.compile(r"[A-Za-z]{2,}[,:;]? +[A-Za-z]{2,}|^[A-Z][a-z]+$")
NO_PROSE = re.compile(
    r"^(use strict$|Lookout$|Python$|data-t-|\(prefers-|Arrow|Enter$|Escape$|Delete$|Backspace$|"
    r"English$|Deutsch$|corner chosen$|11px system-ui|Value error,$)|[#.\[]|, [a-z]+(, |$)"
)
"""Names of programs, keys and languages, classes, a font, what pydantic prefixes, and selectors."""


def texts(language: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((STATIC / f"texts_{language}.json").read_text())
    return found


def placeholders(text: str | dict[str, str]) -> set[str]:
    forms = [text] if isinstance(text, str) else list(text.values())
    return {name for form in forms for name in re.findall(r"\{(\w+)\}", form)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_keys_and_values(language: str) -> None:
    english, other = texts("en"), texts(language)
    assert list(other) == list(english)
    for key in english.keys() - {"api"}:
        assert placeholders(other[key]) == placeholders(english[key]), key
        forms = other[key].values() if isinstance(other[key], dict) else [other[key]]
        assert all(forms), key


def said_by_the_api() -> Iterator[str]:
    """The words of the API that the page shows as they come."""
    schema = CameraSpec.model_json_schema()
    for part in (schema, *schema["$defs"].values()):
        for field in part.get("properties", {}).values():
            yield from (field[name] for name in ("title", "description") if name in field)
    yield from (*get_args(Standing), *CameraStatus, *get_args(AlertKind), *get_args(Trait))
    yield from (*REASONS, OTHER)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_the_api_says_is_translated_and_nothing_else(language: str) -> None:
    assert set(texts(language)["api"]) == {str(text) for text in said_by_the_api()}
    assert texts("en")["api"] == {}


def test_every_state_of_a_camera_has_a_sentence() -> None:
    said = {key for key in texts("en") if key.startswith("words.")}
    states = {f"words.{state}" for state in CameraStatus}
    assert said == states | {"words.lagging", "words.age"}


def test_every_code_of_a_refusal_is_said_and_documented() -> None:
    root = STATIC.parents[2]
    sources = [path.read_text() for path in (root / "service").rglob("*.py")]
    sources.append((root / "models" / "vision" / "zones.py").read_text())
    named = re.compile(r'code(?:: str)? ?= ?"(\w+)"')
    codes = {code for source in sources for code in named.findall(source)}
    codes |= set(CODES.values())
    assert codes == {key.removeprefix("problem.") for key in texts("en") if "problem." in key}
    documented = (root / "docs" / "api.md").read_text()
    assert {code for code in codes if f"`{code}`" not in documented} == set()


class Literals(HTMLParser):
    """Texts and attributes of a page that a person reads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.keys: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        for name, value in attrs:
            if name in TEXT_ATTRIBUTES and value:
                self.found.append(value)
            if value and (f"{name}-".startswith("data-t-") or name == "data-label"):
                self.keys.add(value)

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.found.append(data.strip())


def read(page: str) -> Literals:
    parser = Literals()
    parser.feed(page)
    return parser


def prose(script: str) -> list[str]:
    """Return the literals of a script that are words for a person."""
    found = []
    for line in script.splitlines():
        code = re.sub(r"(^|\s)//.*|^\s*/?\*.*", "", line)
        code = re.sub(r"/\[[^/]*\]/", "", code)  # of characters, such as quotes
        shown = [match.group(0) for match in SHOWN.finditer(code)]
        for match in LITERAL.finditer(code):
            text = re.sub(r"\$\{[^}]*\}", " ", match.group(1) or match.group(2) or "").strip()
            before = code[: match.start() + 1]
            is_shown = any(before.endswith(one) for one in shown) and re.search("[A-Za-z]", text)
            if is_shown or (PROSE.search(text) and not NO_PROSE.search(text)):
                found.append(text)
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_page_contains_a_text(path: Path) -> None:
    assert set(read(path.read_text()).found) <= PRODUCT


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_script_contains_a_text(path: Path) -> None:
    assert prose(path.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        'node.textContent = "seen";',
        'showText($(".hint", this.node), "none");',
        'const parts = ["waiting for its scores"];',
        "const text = `dropped ${count} frames`;",
        'select.add(new Option("unset", ""));',
        'button.setAttribute("aria-label", `remove ${id}`);',
        'return "Resume";',
    ],
)
def test_a_text_in_a_script_is_found(line: str) -> None:
    assert prose(line) != []


def test_every_key_is_used_and_every_used_one_exists() -> None:
    scripts = "\n".join(path.read_text() for path in SCRIPTS)
    in_pages = set().union(*(read(path.read_text()).keys for path in PAGES))
    known = texts("en").keys() - {"api"}
    named = set(re.findall(r'\bt\("([^"]+)"', scripts))
    known = {key for key in known if not key.startswith("problem.")}  # named by their codes
    assert named | in_pages <= known
    assert {key for key in known - in_pages if f'"{key}"' not in scripts} == set()
