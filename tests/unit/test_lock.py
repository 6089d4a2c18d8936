"""docker/requirements*.txt cover what the images need, at the tested versions, with hashes."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools.lock import BY_VERSION, ENTRY, MEDIA, SINKS, UNUSED, canonical, locked, pinned

ROOT = Path(__file__).parents[2]
SUFFIXES = ("", "-media", "-engine", "-train")
FILES = {suffix: ROOT / "docker" / f"requirements{suffix}.txt" for suffix in SUFFIXES}
VERSIONS = pinned((ROOT / "constraints.txt").read_text())


def needed(name: str, extras: tuple[str, ...] = ()) -> set[str]:
    """The packages that one needs here, and what those need, but for torch's and unused ones."""
    found: set[str] = set()
    for text in requires(name) or []:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker and not any(marker.evaluate({"extra": one}) for one in ("", *extras)):
            continue
        other = canonical(requirement.name)
        if other == canonical(name):
            found |= needed(name, tuple(requirement.extras))
        elif other not in BY_VERSION.union(UNUSED):
            found |= {other} | needed(other, tuple(requirement.extras))
    return found


@pytest.mark.parametrize("file", FILES)
def test_every_line_is_a_package_of_the_tested_version_with_hashes(file: str) -> None:
    text = FILES[file].read_text()
    entries = locked(text)
    assert ENTRY.sub("", text).strip() == text.splitlines()[0]  # the comment
    for name, entry in entries.items():
        match = ENTRY.match(entry)
        assert match is not None
        is_for_others = name not in VERSIONS and " ; " in entry.splitlines()[0]
        assert is_for_others or match["version"] == VERSIONS[name], name
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry)


@pytest.mark.parametrize(
    ("files", "extras", "lacks"),
    [
        (("",), (), MEDIA),
        (("", "-media"), (), set()),
        (("", "-engine"), ("engine",), MEDIA),
        (("", "-train"), ("train",), set()),
    ],
    ids=["light", "media", "engine", "train"],
)
def test_they_hold_all_that_a_stage_needs(
    files: tuple[str, ...], extras: tuple[str, ...], lacks: set[str]
) -> None:
    held = {name for file in files for name in locked(FILES[file].read_text())}
    assert needed("lookout", (*SINKS, *extras)) - held == lacks
    assert "setuptools" in held  # which builds the wheel
    assert not held.intersection(UNUSED)


@pytest.mark.wide
@pytest.mark.parametrize("stage", ["api", "alerting", "inference"])
def test_a_stage_without_video_imports_nothing_that_its_image_lacks(stage: str) -> None:
    lacking = [*MEDIA, "IPython", "msgpack", "jedi"]
    hidden = f"import sys; sys.modules.update(dict.fromkeys({lacking}))"
    imports = f"import lookout.service.cli.main, lookout.service.{stage}.worker"
    subprocess.run([sys.executable, "-c", f"{hidden}; {imports}"], check=True)


def test_the_images_install_nothing_else_but_torch() -> None:
    text = (ROOT / "docker" / "Dockerfile").read_text().replace("\\\n", " ")
    by_version = []
    for line in re.findall(r"^RUN .*pip install.*$", text, re.MULTILINE):
        if "--require-hashes" not in line and "/wheel/*.whl" not in line:
            by_version.append(line.split()[-1])
            assert "-c constraints.txt" in line
    assert set(by_version) == BY_VERSION
