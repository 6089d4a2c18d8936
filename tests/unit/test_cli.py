"""The command line by itself: version, help, completion, and its messages without the extras."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lookout import __version__
from lookout.service.cli.entry import EXTRAS
from tests.cli import lookout
from tests.conftest import with_long_forms

BLOCKED = """
import sys
for name in {blocked!r}:
    sys.modules[name] = None
"""


def python(code: str, *, blocked: list[str]) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter in which some modules cannot be imported."""
    return subprocess.run(
        [sys.executable, "-c", BLOCKED.format(blocked=blocked) + code],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_the_version() -> None:
    assert lookout("--version").out == f"lookout {__version__}\n"


def test_a_short_option_for_help() -> None:
    assert lookout("-h").out == lookout("--help").out
    assert lookout("train", "-h").out == lookout("train", "--help").out


def test_a_shell_completes_commands_and_options() -> None:
    for words, completion in (("lookout eval", "evaluate"), ("lookout train --held", "--held-out")):
        environment = os.environ | {
            "_LOOKOUT_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        }
        said = subprocess.run(
            [sys.executable, "-m", "lookout"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert completion in said.stdout.split(), said.stderr


@pytest.mark.parametrize(
    ("library", "words"),
    with_long_forms(
        [
            ("torch", ["train", "--data", ".", "--out", "x.safetensors"]),
            ("torch", ["evaluate", "--data", ".", "--checkpoint", "x.safetensors"]),
            (
                "torch",
                [
                    "calibrate",
                    "--data",
                    ".",
                    "--checkpoint",
                    "x.safetensors",
                    "--out",
                    "y.safetensors",
                ],
            ),
            ("torch", ["inference"]),
            ("sklearn", ["evaluate", "--data", ".", "--checkpoint", "x.safetensors"]),
            ("jinja2", ["evaluate", "--data", ".", "--checkpoint", "x.safetensors"]),
            ("scipy", ["train", "--data", ".", "--out", "x.safetensors"]),
        ],
        {"torch"},
    ),
)
def test_a_missing_extra_is_one_line_that_says_what_to_install(
    library: str, words: list[str], tmp_path: Path
) -> None:
    code = f"""
import os
os.chdir({str(tmp_path)!r})
os.environ |= {{"LOOKOUT_BUS_URL": "redis://127.0.0.1:1", "LOOKOUT_STORE_URL": "redis://127.0.0.1:1"}}
sys.argv = ["lookout", *{words!r}]
from lookout.service.cli.main import main
main()
"""
    said = python(code, blocked=[library])
    assert said.returncode == 2, said.stderr
    (line,) = said.stderr.strip().splitlines()
    assert f"{library} is not installed: pip install 'lookout[{EXTRAS[library]}]'" in line


@pytest.mark.long
def test_inference_needs_no_library_of_training_or_plots() -> None:
    blocked = ["sklearn", "scipy", "matplotlib"]
    code = "import lookout.service.inference.worker\nassert 'torch' in sys.modules\n"
    said = python(code, blocked=blocked)
    assert said.returncode == 0, said.stderr
