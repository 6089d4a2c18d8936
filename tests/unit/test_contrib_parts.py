"""A file in parts: they make the file again, or a line says why not and nothing is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from contrib.parts import cut, join
from lookout.models.errors import CheckpointError

CONTENT = np.random.default_rng(0).bytes(250)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Write a file in three parts of 100 bytes at most, delete it, and return the manifest."""
    path = tmp_path / "gate.safetensors"
    path.write_bytes(CONTENT)
    found = cut(path, max_bytes=100)
    path.unlink()
    return found


def test_the_parts_make_the_file(manifest: Path, tmp_path: Path) -> None:
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "gate.safetensors.1of3",
        "gate.safetensors.2of3",
        "gate.safetensors.3of3",
        "gate.safetensors.parts.json",
    ]
    assert max(path.stat().st_size for path in tmp_path.glob("*of3")) == 100
    out = tmp_path / "elsewhere" / "gate.safetensors"
    join(manifest, out)
    assert out.read_bytes() == CONTENT
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def spoil(manifest: Path, how: str) -> None:
    part = manifest.with_name("gate.safetensors.2of3")
    listed = json.loads(manifest.read_text())
    if how == "missing":
        part.unlink()
    elif how == "short":
        part.write_bytes(part.read_bytes()[:-1])
    elif how == "mixed":
        part.write_bytes(bytes(100))
    elif how == "order":
        listed["parts"].reverse()
    elif how == "elsewhere":
        listed["parts"][1]["name"] = "../gate.safetensors.2of3"
    elif how == "none":
        listed["parts"] = []
    elif how == "version":
        listed["format"] = 2
    else:
        del listed["whole"]
    manifest.write_text(json.dumps(listed))


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("missing", "the part gate.safetensors.2of3 is missing"),
        ("short", "gate.safetensors.2of3 is damaged, or a part of another checkpoint"),
        ("mixed", "gate.safetensors.2of3 is damaged, or a part of another checkpoint"),
        ("order", "do not make gate.safetensors"),
        ("elsewhere", "names none, or files elsewhere"),
        ("none", "names none"),
        ("version", "another version"),
        ("whole", "gate.safetensors.parts.json is no list of parts: KeyError"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    manifest: Path, tmp_path: Path, how: str, reason: str
) -> None:
    spoil(manifest, how)
    out = tmp_path / "out.safetensors"
    out.write_text("as before")
    there = set(tmp_path.iterdir())
    with pytest.raises(CheckpointError, match=reason):
        join(manifest, out)
    assert out.read_text() == "as before"
    assert set(tmp_path.iterdir()) == there


def test_a_list_that_is_not_there_or_no_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gate.safetensors.parts.json"
    for content in (None, "", "[]", "no json"):
        if content is not None:
            path.write_text(content)
        reason = "is no list of parts" if content is not None else "there is no such file"
        with pytest.raises(CheckpointError, match=reason):
            join(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
