"""Write docker/requirements*.txt: what the images install, with the hashes of every wheel.

`make lock` runs it, with `uv` to ask the package index. Versions are those of constraints.txt.
`requirements.txt` is what every stage needs with its sinks, and setuptools, which builds the wheel;
`requirements-media.txt` is what those add that read video, `requirements-engine.txt` and
`requirements-train.txt` what the extras add. torch is left out, and CUDA's libraries with it: each
index has builds of its own, with other hashes. So is what nobody imports (`UNUSED`).
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
SINKS = ("mqtt", "apprise", "s3", "webpush", "oidc")
"""Extras of all images: any alerting worker may be asked for any of them."""

MEDIA = {"av"}
"""FFmpeg and its libraries, for the stages that read or write video."""

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
    own = compile_requirements(uv, *SINKS)
    files = {"": own, "-media": {name: own.pop(name) for name in MEDIA}}
    # Scoring takes frames from the bus; training reads and writes films.
    for extra, others in (("engine", BY_VERSION | MEDIA), ("train", BY_VERSION)):
        files[f"-{extra}"] = {
            name: entry
            for name, entry in compile_requirements(uv, *SINKS, extra).items()
            if own.get(name) != entry and name in versions and name not in others
        }
    for suffix, entries in files.items():
        path = ROOT / "docker" / f"requirements{suffix}.txt"
        path.write_text(HEADER + "".join(entries[name] for name in sorted(entries)))
        print(f"{path.relative_to(ROOT)}: {len(entries)} packages")


if __name__ == "__main__":
    main()
