"""Check the documentation against the repository: links, settings, API paths, decisions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import lookout
from lookout.service.api.app import create_app
from lookout.service.cli.settings_page import page
from lookout.service.core.settings import Settings
from lookout.service.storage.connections import open_bus, open_store

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ADR = DOCS / "adr"
ADRS = sorted(ADR.glob("[0-9]*.md"))
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "models").rglob("*.md")]
    if path.is_file()
)
ADR_HEADINGS = ["Context", "Decision", "Consequences"]
MOST_ADR_WORDS = 350
MOST_README_WORDS = 900


def name_of(path: Path) -> str:
    """Return the path of a page relative to the repository, for test ids."""
    return str(path.relative_to(ROOT))


def prose(path: Path) -> str:
    """Return the text of a page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def links(path: Path) -> list[str]:
    """Return the targets of the links of a page that stay inside the repository."""
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(path))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def linked_files(path: Path) -> set[Path]:
    """Return the files that a page links to."""
    return {(path.parent / link.partition("#")[0]).resolve() for link in links(path)}


def anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_link_leads_somewhere(path: Path) -> None:
    for link in links(path):
        name, _, anchor = link.partition("#")
        target = path
        if name:
            target = (path.parent / name).resolve()
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_links_to_every_page() -> None:
    assert set(DOCS.glob("*.md")) <= linked_files(ROOT / "README.md")


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().split()) < MOST_README_WORDS


@pytest.mark.parametrize("folder", ["adr", "experiments"])
def test_an_index_links_to_every_page_of_its_folder(folder: str) -> None:
    index = DOCS / folder / "README.md"
    assert set((DOCS / folder).glob("*.md")) - {index} <= linked_files(index)


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(path.name[:4]) for path in ADRS] == list(range(1, len(ADRS) + 1))


@pytest.mark.parametrize("path", ADRS, ids=lambda path: path.stem)
def test_a_decision_has_its_number_three_headings_and_half_a_page(path: Path) -> None:
    text = path.read_text()
    title = re.match(rf"# ADR {int(path.name[:4])}: (.+)\n", text)
    assert title
    assert f"| {title[1]} |" in (ADR / "README.md").read_text()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ADR_HEADINGS
    assert len(text.split()) <= MOST_ADR_WORDS


def test_every_cited_decision_exists() -> None:
    for folder in ("service", "models", "contrib", "deploy", "docker", "tools", "tests", "docs"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".md"):
                cited = {int(number) for number in re.findall(r"\bADR (\d+)", path.read_text())}
                assert cited <= set(range(1, len(ADRS) + 1)), path


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_named_file_exists(path: Path) -> None:
    """A page that names a source file or test by its path names one that is there."""
    folders = "service|models|tests|deploy|docker|k8s|tools|contrib|lookout"
    for file in re.findall(rf"\b(?:{folders})/[\w./-]+\.(?:py|ya?ml|sh)\b", prose(path)):
        assert (ROOT / file).exists(), file


def test_every_named_test_exists() -> None:
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for path in PAGES:
        for name in re.findall(r"(?<![\w/])test_\w+(?!\w|\.py)", path.read_text()):
            assert f"def {name}(" in tests, f"{path.name}: {name}"


@pytest.mark.parametrize(
    "name", ["LICENSE", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "CITATION.cff"]
)
def test_the_file_that_people_look_for_is_there(name: str) -> None:
    assert (ROOT / name).read_text().strip()


def test_the_version_is_the_same_in_the_package_the_changelog_and_the_citation() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    released = re.findall(
        r"^## (\d\S*) \(([\d-]+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert released[0] == (lookout.__version__, citation["date-released"])
    assert citation["version"] == lookout.__version__


def test_pre_commit_runs_the_pinned_tools_and_downloads_nothing() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    hooks = config["repos"][0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    tools = {Path(hook["entry"].split()[0]).name for hook in hooks}
    assert {hook["entry"].split()[0] for hook in hooks} == {f".venv/bin/{name}" for name in tools}
    pinned = (ROOT / "constraints.txt").read_text()
    assert "lint-imports" in tools
    for name in tools - {"lint-imports"} | {"import-linter"}:
        assert f"\n{name}==" in pinned


def test_the_configuration_page_is_what_the_command_prints() -> None:
    assert (DOCS / "configuration.md").read_text() == page(), (
        "lookout settings > docs/configuration.md"
    )


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_says_what_it_is(name: str) -> None:
    assert Settings.model_fields[name].description
    assert f"| `LOOKOUT_{name.upper()}` |" in page()


# The changelog also names variables of earlier versions.
@pytest.mark.parametrize(
    "path", [path for path in PAGES if path.name != "CHANGELOG.md"], ids=name_of
)
def test_every_variable_is_a_setting(path: Path) -> None:
    known = {f"LOOKOUT_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"\bLOOKOUT_[A-Z_]*[A-Z]\b", path.read_text())) <= known


def test_the_api_page_lists_the_paths_of_the_schema() -> None:
    settings = Settings(bus_url="redis://nowhere", store_url="redis://nowhere")
    paths = create_app(settings, open_bus(settings), open_store(settings)).openapi()["paths"]
    wanted = {f"{method.upper()} {path}" for path, calls in paths.items() for method in calls}
    listed = re.findall(r"^\| `([A-Z]+ /\S+)` \|", (DOCS / "api.md").read_text(), re.MULTILINE)
    # OpenAPI does not describe WebSockets.
    assert sorted(listed) == sorted(wanted | {"WS /api/v1/live"})
