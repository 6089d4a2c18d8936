"""docker-compose.yml with real containers, in a copy of the repository and under a project name of
its own.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
PROJECT = "lookout-test"
API, PROMETHEUS, ALERTMANAGER = (f"http://127.0.0.1:{port}" for port in (8000, 9090, 9093))


@dataclass(frozen=True)
class Ended:
    """A container that ran and ended."""

    code: int
    said: str  # both streams


@dataclass
class Stack:
    """The service as compose runs it.

    `compose`, `engine`: the commands, for instance `docker compose` and `docker`.
    """

    compose: list[str]
    engine: list[str]
    folder: Path
    token: str = field(init=False)

    def __post_init__(self) -> None:
        listed = subprocess.run(
            ["git", "ls-files", "-coz", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        for name in listed.stdout.decode().split("\0"):
            if name and (ROOT / name).exists():  # not one that was just removed
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.folder / name, follow_symlinks=False)
        make_token = re.search(
            r"^#\s+(\(umask 077; .*)$", (ROOT / "docker-compose.yml").read_text(), re.MULTILINE
        )
        assert make_token is not None
        subprocess.run(["sh", "-c", make_token[1]], cwd=self.folder, check=True)
        lines = (self.folder / ".env").read_text().splitlines()
        secrets = dict(line.split("=", 1) for line in lines)
        self.token = secrets["LOOKOUT_TOKEN"]

    def __call__(self, *words: str, limit_s: float = 120) -> str:
        """Run a command of compose; fail with its output."""
        names = {"COMPOSE_PROJECT_NAME": PROJECT, "COMPOSE_PROFILES": "demo,scale", "WORKERS": "1"}
        return _run([*self.compose, *words], self.folder, limit_s, names)

    def container(self, service: str) -> str:
        """Return the name of the service's first container."""
        labels = [
            f"label=com.docker.compose.{key}={value}"
            for key, value in (("project", PROJECT), ("service", service))
        ]
        words = [
            "ps",
            "-a",
            "--format",
            "{{.Names}}",
            *(word for label in labels for word in ("--filter", label)),
        ]
        return sorted(_run([*self.engine, *words], self.folder).split())[0]

    def ask_engine(self, *words: str, limit_s: float = 60) -> str:
        return _run([*self.engine, *words], self.folder, limit_s)

    def logs(self, container: str) -> str:
        """Return what the container has printed so far, both streams."""
        words = [*self.engine, "logs", container]
        told = subprocess.run(
            words,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        )
        return told.stdout

    def run(self, image: str, *options: str, limit_s: float = 60) -> Ended:
        """Run a container of one of our images with nothing but `options`, until it ends."""
        return self.ended("run", "--rm", *options, f"lookout-{image}:0.1.0", limit_s=limit_s)

    def ended(self, *words: str, limit_s: float = 60) -> Ended:
        """Run a command of the engine, however it ends."""
        done = subprocess.run(
            [*self.engine, *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
        return Ended(done.returncode, (done.stdout + done.stderr).strip())

    def get(self, path: str) -> Any:
        return httpx.get(
            f"{API}/api/v1{path}", headers={"Authorization": f"Bearer {self.token}"}, timeout=10
        ).json()


def commands(compose: str, engine: str) -> tuple[list[str], list[str]]:
    """Return the two options as words; a program named by a path is found from any folder."""
    words = []
    for command in (compose, engine):
        program, *rest = shlex.split(command)
        words.append([str(Path(program).resolve()) if "/" in program else program, *rest])
    return words[0], words[1]


def _run(
    words: list[str], folder: Path, limit_s: float = 60, variables: dict[str, str] | None = None
) -> str:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("LOOKOUT_")
    }
    done = subprocess.run(
        words,
        cwd=folder,
        env=inherited | (variables or {}),
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )
    assert done.returncode == 0, (
        f"{shlex.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    )
    return done.stdout
