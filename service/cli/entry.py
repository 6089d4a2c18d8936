"""Run a command line: an error ends it with one line on standard error and an exit code."""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn

import typer

from lookout.models.errors import ModelsError
from lookout.service.core import logging as logs
from lookout.service.core.errors import LookoutError, SettingsError
from lookout.service.core.lifecycle import exit_on_signals
from lookout.service.core.private_files import private_umask

EXTRAS = {
    "torch": "engine",
    "sklearn": "train",
    "scipy": "train",
    "matplotlib": "train",
    "jinja2": "train",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
}
"""Extra of the package that installs each optional library, by the library's import name."""


def run_app(app: typer.Typer, program: str = "lookout") -> None:
    """Run a command line under the name `program`.

    Exit codes: 2 for a wrong setting or a missing extra, others as core/errors.py has them, and 1
    for anything else that can be said in one line.
    """
    # Read when torch is loaded, also by the stages that are started from here: threads that wait
    # soon sleep, rather than spin on a core that a decoder or another model needs.
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    try:
        with exit_on_signals(), private_umask():
            app(prog_name=program)
    except LookoutError as error:
        end_with(str(error), error.exit_code)
    except ModelsError as error:
        end_with(str(error), 1)
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in EXTRAS:
            raise
        end_with(missing_extra(library), SettingsError.exit_code)
    except RuntimeError as error:  # torch's: out of memory, a broken driver
        end_with(str(error).strip().splitlines()[0], 1)
    except OSError as error:
        end_with(f"{error.filename or 'input/output'}: {error.strerror or error}", 1)


def missing_extra(library: str) -> str:
    """Return the line that says which extra of the package installs a library."""
    extra = EXTRAS[library]
    line = f"{library} is not installed: pip install 'lookout[{extra}]'"
    if extra == "engine":
        line += ", or 'lookout[train]' to train and evaluate as well"
    return line


def end_with(line: str, code: int) -> NoReturn:
    """Print the line on standard error and exit with `code`."""
    logs.print_line(line, logging.CRITICAL)
    sys.exit(code)
