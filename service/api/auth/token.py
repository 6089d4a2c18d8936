"""Tokens and logins: programs send a token with each request, a browser has a login's cookie.

The cookie is a login's name and a time stamp, signed with LOOKOUT_TOKEN, or with a key of the store
where none is set. Only logins that were ended are stored, so every API process accepts the others,
and another token ends all of them. A wrong token or password is answered after a delay, a right one
at once. Without LOOKOUT_TOKEN and without users, every request is accepted.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import math
from collections import Counter
from typing import Literal

from fastapi import Security
from fastapi.security import APIKeyCookie, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from itsdangerous import BadSignature, SignatureExpired, TimestampSigner
from starlette.requests import HTTPConnection

from lookout.service.api.auth.guesses import ONE_EVERY_S, Guesses, client_address
from lookout.service.api.auth.logins import Logins
from lookout.service.api.auth.passwords import Passwords, TooManyWaitingError
from lookout.service.api.problems import ProblemResponse, problem
from lookout.service.core.accounts import ANYBODY, Identity
from lookout.service.core.throttle import Throttle

log = logging.getLogger(__name__)

COOKIE = "lookout_session"
LOGIN_S = 30 * 24 * 3600
WRONG_TOKEN_DELAY_S = 0.5
MAX_DELAYED = 64  # further wrong tokens are answered at once, with 429
LOG_EVERY_S = 60.0
TOKEN_PREFIX = "lookout_"  # of every API token  # noqa: S105

Refusal = Literal["missing", "wrong", "lapsed"]
Denial = Refusal | Literal["limited", "unverified"]
REASONS: dict[Refusal, str] = {
    "missing": "the token is needed (LOOKOUT_TOKEN, or an API token): send "
    "`Authorization: Bearer …`, or log in at /",
    "wrong": "the token is wrong",
    "lapsed": "log in again: the login has expired, or the token has changed",
}
WRONG_PASSWORD = "name or password is wrong"  # noqa: S105
CODES = {REASONS["wrong"]: "token_wrong", WRONG_PASSWORD: "password_wrong"}
"""Of a wrong one, by what is said of it."""

TOKEN_SCHEMES = [
    Security(HTTPBearer(auto_error=False, description="LOOKOUT_TOKEN, or an API token")),
    Security(APIKeyCookie(name=COOKIE, auto_error=False, description="from POST /api/v1/session")),
]
"""Declares token and cookie in the OpenAPI schema; AccessMiddleware checks them."""


class Authenticator:
    """Finds out who sends a request."""

    def __init__(self, token: str | None, logins: Logins | None = None) -> None:
        """token: LOOKOUT_TOKEN, where one is set. Without `logins`, none was ever ended,
        and there are no users.
        """
        self.guesses = Guesses()
        self.password_guesses = Guesses()
        self.passwords = Passwords()
        self.logins = logins
        self.refused: Counter[Refusal] = Counter()
        self.has_token = token is not None
        self._token = token or ""
        self._digest = hashlib.sha256(self._token.encode()).digest()
        self._delayed = 0
        self._throttle = Throttle(LOG_EVERY_S)

    @property
    def is_unknown(self) -> bool:
        """Whether users, tokens and ended logins were never read: the store is away."""
        return self.logins is not None and not self.logins.are_known

    @property
    def is_open(self) -> bool:
        """Whether nobody is asked for anything: there is neither LOOKOUT_TOKEN nor a user."""
        if self.has_token:
            return False
        if self.logins is None:
            return True
        if self.logins.has_provider:
            return False
        return self.logins.are_known and not self.logins.accounts.has_users

    def matches(self, token: str) -> bool:
        """Tell whether it is LOOKOUT_TOKEN.

        Digests are compared in constant time, so that neither content nor length leaks.
        """
        digest = hashlib.sha256(token.encode()).digest()
        return hmac.compare_digest(digest, self._digest) and self.has_token

    def identify(self, connection: HTTPConnection) -> Identity | Denial:
        """Return who sends a request, or why it is refused.

        A bearer token decides alone; without one the login cookie does.
        """
        if self.is_open:
            return ANYBODY
        scheme, token = get_authorization_scheme_param(connection.headers.get("authorization"))
        if scheme.lower() == "bearer":
            return self.of_token(token, connection)
        cookie = connection.cookies.get(COOKIE)
        if cookie is not None:
            return self.of_cookie(cookie, client_address(connection))
        return "unverified" if self.is_unknown and not self.has_token else "missing"

    def of_token(self, token: str, connection: HTTPConnection) -> Identity | Denial:
        """Return who sends a token, or why it is refused."""
        address = client_address(connection)
        if not self.guesses.may_try(address):
            return "limited"
        identity = None
        if self.matches(token):
            identity = Identity("token", "admin", by="token")
        elif self.logins is not None:
            identity = self.logins.token_identity(token)
        if identity is not None:
            self.guesses.proved(address)
            return identity
        if self.is_unknown and token.startswith(TOKEN_PREFIX):
            return "unverified"
        return "wrong" if self.guesses.failed(address) else "limited"

    def of_cookie(self, cookie: str, address: str) -> Identity | Denial:
        """Return whose login a cookie is, or why it is refused; only a forged one is a guess."""
        if self.is_unknown:
            return "unverified"
        try:
            name = self.login_name(cookie)
        except SignatureExpired:
            return "lapsed"
        except BadSignature:
            return "lapsed" if self.guesses.failed(address) else "limited"
        if self.logins is None:
            return Identity("login", "admin", by="token")
        return self.logins.identity(name) or "lapsed"

    async def of_password(
        self, name: str, password: str, connection: HTTPConnection
    ) -> Identity | Denial:
        """Return the user of a name and password, or why they are refused."""
        if self.is_unknown or self.logins is None:
            return "unverified"
        # No address is proven here, unlike with tokens: a person's password can be guessed.
        address = client_address(connection)
        if not self.password_guesses.failed(address):
            return "limited"
        user = self.logins.accounts.users.get(name)
        expected = user.password_hash if user is not None and user.by == "password" else None
        try:
            is_right = await self.passwords.is_right(password, expected)
        except TooManyWaitingError:
            return "limited"
        if user is None or not is_right:
            return "wrong"
        self.password_guesses.was_right(address)
        return user.identity(name)

    def login_name(self, cookie: str) -> str:
        """Return the name of the login that a cookie is for. Raises BadSignature."""
        try:
            name = self.signer.unsign(cookie, max_age=LOGIN_S).decode()
        except (ValueError, OverflowError, OSError) as error:
            # Signed with the right key, around a time that no calendar has or no text.
            raise BadSignature("nonsense") from error
        return name

    @property
    def signer(self) -> TimestampSigner:
        """The signer of logins. Raises BadSignature while there is no key."""
        return self.signer_of("lookout login")

    def signer_of(self, kind: str) -> TimestampSigner:
        """Return what signs a kind of cookie, which is none of another kind.

        Raises BadSignature while there is no key.
        """
        key = self._token or (self.logins and self.logins.key)
        if not key:
            raise BadSignature("there is no key yet")
        return TimestampSigner(key, salt=kind, key_derivation="hmac", digest_method=hashlib.sha256)

    def new_login(self, user: str | None = None, ends_at: float | None = None) -> str:
        """Return a cookie value that is valid for LOGIN_S; user: a known one's name.

        ends_at: s, UTC epoch, of a user by the OpenID provider.
        """
        name = "login"
        if self.logins is not None:
            name = self.logins.new_name(user, ends_at)
        return self.signer.sign(name).decode()

    async def refuse(
        self, reason: Denial, connection: HTTPConnection, wrong: str = REASONS["wrong"]
    ) -> ProblemResponse:
        """Count the refusal and return its response, delayed if a token was tried.

        wrong: what the response says of a wrong one.
        """
        if reason == "limited":
            self._log(connection)
            headers = {"Retry-After": str(math.ceil(ONE_EVERY_S))}
            return problem(
                429, "too many wrong tokens from this address", headers, code="too_many_tries"
            )
        if reason == "unverified":
            return problem(
                503, "the database is away; try again", {"Retry-After": "1"}, code="unavailable"
            )
        self.refused[reason] += 1
        challenge = 'Bearer realm="lookout"'
        if reason == "wrong":
            challenge += ', error="invalid_token"'
            self._log(connection)
            if self._delayed >= MAX_DELAYED:
                return problem(
                    429,
                    "too many wrong tokens at once",
                    {"Retry-After": "1"},
                    code="too_many_tries",
                )
            self._delayed += 1
            try:
                await asyncio.sleep(WRONG_TOKEN_DELAY_S)
            finally:
                self._delayed -= 1
        headers = {"WWW-Authenticate": challenge, "Cache-Control": "no-store"}
        if reason != "wrong":
            return problem(401, REASONS[reason], headers, code="log_in")
        return problem(401, wrong, headers, code=CODES.get(wrong))

    def _log(self, connection: HTTPConnection) -> None:
        self._throttle.note()
        unlogged = self._throttle.due()
        if unlogged is not None:
            client = connection.client.host if connection.client else "a socket"
            log.warning("a wrong token came from %s%s", client, unlogged)
