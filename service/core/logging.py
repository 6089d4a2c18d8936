"""Log lines on standard error, one a happening, and never a camera's password in them.

`extra={"camera": …, "session": …, "seq": …}` says what a line is about; in JSON
these are fields of their own.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType

from lookout.service.core.urls import mask

ABOUT = ("camera", "session", "seq")
log = logging.getLogger(__name__)


class Text(logging.Formatter):
    def __init__(self, stage: str) -> None:
        super().__init__(f"%(asctime)s {stage} %(levelname)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


class Json(logging.Formatter):
    """An object a line; a stack trace is a field, not more lines."""

    def __init__(self, stage: str) -> None:
        super().__init__()
        self._stage = stage

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "stage": self._stage,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {
            name: getattr(record, name) for name in ABOUT if getattr(record, name, None) is not None
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(
            {name: mask(value) if isinstance(value, str) else value for name, value in line.items()}
        )


def set_up(stage: str, level: str, form: str = "text") -> None:
    """Configure the logging of this process.

    Warnings and uncaught exceptions, of threads too, are logged like every other line.

    stage: of whom each line is; level: a name of logging's; form: `text` or `json`.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(Json(stage) if form == "json" else Text(stage))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = log_uncaught
    threading.excepthook = lambda args: log_uncaught(
        args.exc_type, args.exc_value, args.exc_traceback
    )


def log_uncaught(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    """Log an exception that nothing caught, with its trace; an excepthook."""
    log.critical(
        "%s, which nobody expected", kind.__name__, exc_info=(kind, error or kind(), trace)
    )


def print_line(text: str, level: int = logging.WARNING) -> None:
    """Print one line on standard error in the form that LOOKOUT_LOG_FORMAT asks for.

    For a command that ends or begins: it works before there are settings. After a hang-up the
    terminal takes no line any more.
    """
    line = f"lookout: {mask(text)}"
    if os.environ.get("LOOKOUT_LOG_FORMAT") == "json":
        record = logging.LogRecord("lookout", level, __file__, 0, text, None, None)
        line = Json("lookout").format(record)
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr)
