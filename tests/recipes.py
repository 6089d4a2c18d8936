"""Apply the recipes of docs/architecture.md to a copy of the tree, and run Python in it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BLOCK = re.compile(r"^```(python|diff) file=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def copy_tree(to: Path) -> Path:
    """Copy what a recipe changes or needs: the package, the documentation and what generates it."""
    for folder in ("models", "service", "deploy", "docs"):
        shutil.copytree(
            ROOT / folder,
            to / folder,
            ignore=shutil.ignore_patterns("*.safetensors", "*.png"),
        )
    shutil.copytree(ROOT / "lookout", to / "lookout", symlinks=True)
    return to


def follow(recipe: str, tree: Path) -> None:
    """Apply every block below the heading `recipe`. Raise AssertionError where one does not fit."""
    _, _, text = PAGE.read_text().partition(f"### {recipe}\n")
    text = re.split(r"^##", text, flags=re.MULTILINE)[0]
    blocks = BLOCK.findall(text)
    assert blocks, recipe
    for kind, file, content in blocks:
        path = tree / file
        if kind == "python":
            assert not path.exists(), file
            path.write_text(content)
        else:
            path.write_text(edited(path.read_text(), content))


def edited(text: str, change: str) -> str:
    """Return `text` with the lines of a change; its old lines must occur exactly once."""
    lines = change.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] in " -")
    new = "".join(line[1:] for line in lines if line[0] in " +")
    assert text.count(old) == 1, old
    return text.replace(old, new)


def run(tree: Path, *arguments: str) -> str:
    """Run Python with the copy as its package and working directory; return what it printed."""
    ended = subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
