"""The token: programs send it with each request, a browser exchanges it for a login cookie.

The cookie is a login's name and a time stamp, signed with the token. Only logins that were ended
are stored, so every API process accepts the others, and another token ends all of them. A wrong
token is answered after a delay, a right one at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import math
from collections import Counter
from collections.abc import Container
from typing import Literal

from fastapi import Security
from fastapi.security import APIKeyCookie, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from itsdangerous import BadSignature, SignatureExpired, TimestampSigner
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from lookout.service.api import page
from lookout.service.api.auth.guesses import ONE_EVERY_S, Guesses, client_address
from lookout.service.api.auth.logins import Logins
from lookout.service.api.problems import ProblemResponse, problem
from lookout.service.api.root_path import route_path
from lookout.service.core.throttle import Throttle

log = logging.getLogger(__name__)

COOKIE = "lookout_session"
LOGIN_S = 30 * 24 * 3600
WRONG_TOKEN_DELAY_S = 0.5
MAX_DELAYED = 64  # further wrong tokens are answered at once, with 429
LOG_EVERY_S = 60.0

Refusal = Literal["missing", "wrong", "lapsed"]
Denial = Refusal | Literal["limited", "unverified"]
REASONS: dict[Refusal, str] = {
    "missing": "the token is needed (LOOKOUT_TOKEN): send `Authorization: Bearer …`, "
    "or log in at /",
    "wrong": "the token is wrong",
    "lapsed": "log in again: the login has expired, or the token has changed",
}

TOKEN_SCHEMES = [
    Security(HTTPBearer(auto_error=False, description="LOOKOUT_TOKEN, where one is set")),
    Security(APIKeyCookie(name=COOKIE, auto_error=False, description="from POST /api/v1/session")),
]
"""Declares token and cookie in the OpenAPI schema; AuthMiddleware checks them."""


class TokenAuth:
    """Checks requests against one token."""

    def __init__(self, token: str, logins: Logins | None = None) -> None:
        """Without `logins` none was ever ended."""
        self.guesses = Guesses()
        self.logins = logins
        self.refused: Counter[Refusal] = Counter()
        self._digest = hashlib.sha256(token.encode()).digest()
        self._signer = TimestampSigner(
            token, salt="lookout login", key_derivation="hmac", digest_method=hashlib.sha256
        )
        self._delayed = 0
        self._throttle = Throttle(LOG_EVERY_S)

    def matches(self, token: str) -> bool:
        """Compare digests in constant time, so that neither content nor length leaks."""
        return hmac.compare_digest(hashlib.sha256(token.encode()).digest(), self._digest)

    def refusal(self, connection: HTTPConnection) -> Denial | None:
        """Return why the connection is refused, None if it is not.

        A bearer token decides alone; without one the login cookie does.
        """
        scheme, token = get_authorization_scheme_param(connection.headers.get("authorization"))
        if scheme.lower() == "bearer":
            return self.token_refusal(token, connection)
        cookie = connection.cookies.get(COOKIE)
        if cookie is None:
            return "missing"
        return self.cookie_refusal(cookie, client_address(connection))

    def token_refusal(self, token: str, connection: HTTPConnection) -> Denial | None:
        """Return why a token is refused, None if it is right."""
        address = client_address(connection)
        if not self.guesses.may_try(address):
            return "limited"
        if self.matches(token):
            self.guesses.proved(address)
            return None
        return "wrong" if self.guesses.failed(address) else "limited"

    def cookie_refusal(self, cookie: str, address: str) -> Denial | None:
        """Return why a cookie is refused, None if it is not; only a forged one is a guess."""
        try:
            name = self.login_name(cookie)
        except SignatureExpired:
            return "lapsed"
        except BadSignature:
            return "lapsed" if self.guesses.failed(address) else "limited"
        if self.logins is None:
            return None
        if not self.logins.are_known:
            return "unverified"
        return None if self.logins.is_valid(name) else "lapsed"

    def login_name(self, cookie: str) -> str:
        """Return the name of the login that a cookie is for. Raises BadSignature."""
        try:
            name = self._signer.unsign(cookie, max_age=LOGIN_S).decode()
        except (ValueError, OverflowError, OSError) as error:
            # Signed with the right key, around a time that no calendar has or no text.
            raise BadSignature("nonsense") from error
        return name

    def identity(self, connection: HTTPConnection) -> str:
        """Return who sends an accepted request: `token`, or the name of a login."""
        cookie = connection.cookies.get(COOKIE)
        if connection.headers.get("authorization") is not None or cookie is None:
            return "token"
        name = self.login_name(cookie).rpartition(":")[2]
        return f"login {name[:6]}"

    async def refuse(self, reason: Denial, connection: HTTPConnection) -> ProblemResponse:
        """Count the refusal and return its response, delayed if a token was tried."""
        if reason == "limited":
            self._log(connection)
            headers = {"Retry-After": str(math.ceil(ONE_EVERY_S))}
            return problem(429, "too many wrong tokens from this address", headers)
        if reason == "unverified":
            return problem(503, "the database is away; try again", {"Retry-After": "1"})
        self.refused[reason] += 1
        challenge = 'Bearer realm="lookout"'
        if reason == "wrong":
            challenge += ', error="invalid_token"'
            self._log(connection)
            if self._delayed >= MAX_DELAYED:
                return problem(429, "too many wrong tokens at once", {"Retry-After": "1"})
            self._delayed += 1
            try:
                await asyncio.sleep(WRONG_TOKEN_DELAY_S)
            finally:
                self._delayed -= 1
        headers = {"WWW-Authenticate": challenge, "Cache-Control": "no-store"}
        return problem(401, REASONS[reason], headers)

    def new_login(self) -> str:
        """Return a cookie value that is valid for LOGIN_S."""
        name = "login"
        if self.logins is not None:
            name = self.logins.new_name()
        return self._signer.sign(name).decode()

    def _log(self, connection: HTTPConnection) -> None:
        self._throttle.note()
        unlogged = self._throttle.due()
        if unlogged is not None:
            client = connection.client.host if connection.client else "a socket"
            log.warning("a wrong token came from %s%s", client, unlogged)


class AuthMiddleware:
    """Refuse every request without token or login with 401; `/` answers with the login form.

    Open are `open_paths` and the page's own files; a route that is added is closed.
    """

    def __init__(self, app: ASGIApp, auth: TokenAuth, open_paths: Container[str]) -> None:
        self._app = app
        self._auth = auth
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        path = route_path(scope)
        if path in self._open_paths or path.startswith(page.FOLDERS):
            await self._app(scope, receive, send)
            return
        reason = self._auth.refusal(HTTPConnection(scope))
        if reason is None:
            await self._app(scope, receive, send)
            return
        response = await self._auth.refuse(reason, HTTPConnection(scope))
        is_page = scope["type"] == "http" and path == page.PATH
        if is_page and response.status_code == 401:
            await page.login_form(response.headers)(scope, receive, send)
        else:
            await response(scope, receive, send)
