"""Who may come in: programs show the token with each request, a browser gets a cookie for it once.

The cookie says until when it holds, signed with the token: nothing is kept, every API process takes it, and another
token ends all of them. What is wrong waits before it is answered; what is right never does.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Literal

from fastapi import Security
from fastapi.security import APIKeyCookie, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from starlette.requests import HTTPConnection

from lookout.service.api.problems import ProblemResponse, problem
from lookout.service.core.throttle import Throttle

log = logging.getLogger(__name__)

COOKIE = "lookout_session"
SESSION_S = 30 * 24 * 3600
PAUSE_S = 0.5  # before a wrong token is answered
PAUSING_MOST = 64  # more than so many at once are turned away without a pause
TELL_EVERY_S = 60.0

Refusal = Literal["missing", "wrong", "lapsed"]
REASONS: dict[Refusal, str] = {
    "missing": "the token is needed (LOOKOUT_TOKEN): send `Authorization: Bearer …`, or log in at /",
    "wrong": "the token is wrong",
    "lapsed": "log in again: the session is over, or the token is another one now",
}

ASKED = [
    Security(HTTPBearer(auto_error=False, description="LOOKOUT_TOKEN, where one is set")),
    Security(
        APIKeyCookie(
            name=COOKIE, auto_error=False, description="what POST /api/v1/session gives a browser"
        )
    ),
]
"""For the schema alone: `lock.Lock` asks, whatever a route says of itself."""


class Door:
    def __init__(self, token: str, clock: Callable[[], float] = time.time) -> None:
        """`clock`: UTC seconds."""
        self.refused: Counter[Refusal] = Counter()
        self._key = token.encode()
        self._digest = _digest(token)
        self._clock = clock
        self._pausing = 0
        self._rarely = Throttle(TELL_EVERY_S)

    def refusals(self) -> dict[str, int]:
        """How many so far, by why."""
        return {why: self.refused[why] for why in REASONS}

    def knows(self, token: str) -> bool:
        """In constant time, of digests: neither content nor length of the right one shows."""
        return hmac.compare_digest(_digest(token), self._digest)

    def refusal(self, asking: HTTPConnection) -> Refusal | None:
        """Why this request may not come in; None where it may. A bearer token, where there is one, decides alone."""
        scheme, token = get_authorization_scheme_param(asking.headers.get("authorization"))
        if scheme.lower() == "bearer":
            return None if self.knows(token) else "wrong"
        session = asking.cookies.get(COOKIE)
        if session is None:
            return "missing"
        return None if self._holds(session) else "lapsed"

    async def refuse(self, why: Refusal, asking: HTTPConnection) -> ProblemResponse:
        """The answer, counted; after a pause where a token was tried."""
        self.refused[why] += 1
        if why == "wrong":
            self._tell(asking)
            if self._pausing >= PAUSING_MOST:
                return problem(429, "too many wrong tokens at once", {"Retry-After": "1"})
            await self._pause()
        challenge = 'Bearer realm="lookout"' + (', error="invalid_token"' if why == "wrong" else "")
        return problem(
            401, REASONS[why], {"WWW-Authenticate": challenge, "Cache-Control": "no-store"}
        )

    def new_session(self) -> str:
        """A cookie's value, good for SESSION_S."""
        until = str(int(self._clock()) + SESSION_S)
        return f"{until}.{self._signature(until)}"

    def _holds(self, session: str) -> bool:
        until, _, signature = session.partition(".")
        signed = hmac.compare_digest(signature.encode(), self._signature(until).encode())
        return signed and self._clock() < int(until)

    def _signature(self, until: str) -> str:
        return hmac.new(self._key, f"lookout session until {until}".encode(), "sha256").hexdigest()

    async def _pause(self) -> None:
        self._pausing += 1
        try:
            await asyncio.sleep(PAUSE_S)
        finally:
            self._pausing -= 1

    def _tell(self, asking: HTTPConnection) -> None:
        self._rarely.note()
        more = self._rarely.due()
        if more is not None:
            log.warning(
                "a wrong token came from %s%s",
                asking.client.host if asking.client else "a socket",
                more,
            )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
