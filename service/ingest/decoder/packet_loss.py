"""Packets that were lost on the way: libav goes on without them, and says so in its log alone."""

from __future__ import annotations

import logging

import av.logging


class Losses(logging.Handler):
    """Hears libav's log; says nothing of it to anybody, since it may hold an address."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._some = False

    def emit(self, record: logging.LogRecord) -> None:
        self._some |= "RTP: missed" in record.getMessage()

    def some_new(self) -> bool:
        """Whether packets were lost since the last time."""
        some, self._some = self._some, False
        return some


def listen() -> Losses:
    """For the rest of the process."""
    losses, log = Losses(), logging.getLogger("libav")
    log.handlers, log.propagate = [losses], False
    av.logging.set_skip_repeated(False)
    av.logging.set_level(av.logging.WARNING)
    return losses
