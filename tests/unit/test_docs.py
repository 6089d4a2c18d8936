"""The documentation says what is: links lead somewhere, every setting and every path is there and none that is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lookout.service.api.app import create_app
from lookout.service.cli.settings_page import page
from lookout.service.core.settings import Settings
from lookout.service.storage.redis.connections import open_bus, open_store

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def links(path: Path) -> list[str]:
    """The targets of a page's links into this repository."""
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(path))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def prose(path: Path) -> str:
    """Without blocks of code."""
    return re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    for link in links(path):
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_leads_to_every_page() -> None:
    assert {str(page.relative_to(ROOT)) for page in PAGES[1:]} <= set(links(ROOT / "README.md"))


def test_the_configuration_page_is_what_the_command_prints() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text() == page(), (
        "lookout settings > docs/configuration.md"
    )


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_says_what_it_is(name: str) -> None:
    assert Settings.model_fields[name].description
    assert f"| `LOOKOUT_{name.upper()}` |" in page()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_variable_is_a_setting(path: Path) -> None:
    known = {f"LOOKOUT_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"\bLOOKOUT_[A-Z_]*[A-Z]\b", path.read_text())) <= known


def test_the_api_page_lists_the_paths_of_the_schema() -> None:
    settings = Settings(bus_url="redis://nowhere", store_url="redis://nowhere")
    paths = create_app(settings, open_bus(settings), open_store(settings)).openapi()["paths"]
    wanted = {f"{method.upper()} {path}" for path, calls in paths.items() for method in calls}
    listed = re.findall(
        r"^\| `([A-Z]+ /\S+)` \|", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE
    )
    assert sorted(listed) == sorted(
        wanted | {"WS /api/v1/live"}
    )  # a WebSocket is not in the schema
