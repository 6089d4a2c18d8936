"""Log lines on standard error, one a happening, and never a camera's password in them."""

from __future__ import annotations

import logging

from service.urls import mask


class _Masking(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


def set_up(stage: str, level: str) -> None:
    """Configure the root logger of this process; `stage` heads each line, `level` is a name of logging's."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Masking(f"%(asctime)s {stage} %(levelname)s %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
