"""Log-ins by an OpenID provider: what is kept of them, and why one fails."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from lookout.service.api.auth.guesses import client_address
from lookout.service.api.problems import ProblemResponse, problem
from lookout.service.core.accounts import Role
from lookout.service.core.errors import ConflictError, LookoutError, NotFoundError
from lookout.service.core.throttle import Throttle

if TYPE_CHECKING:  # an extra installs what it needs
    from lookout.service.api.auth.oidc_provider import Provider

log = logging.getLogger(__name__)

MOST_AT_ONCE = 8  # questions to the provider; further ones are refused
LOG_EVERY_S = 60.0
LOGGED_AT_ONCE = 10

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Person:
    """A person as the provider names one."""

    name: str
    digest: str  # OF_PROVIDER and a digest of issuer and subject: the name may go to another one


@dataclass(frozen=True, slots=True)
class Admission:
    """A person and what they may do here."""

    person: Person
    role: Role
    cameras: list[str] | None  # None: all


class OidcError(LookoutError):
    """The provider does not let a person in; the text says why, for the log-in page."""

    def __init__(self, said: str, *, code: str = "oidc_failed", **values: str | int) -> None:
        super().__init__(said, code=code, **(values or {"reason": said}))


class ProviderAwayError(OidcError):
    """The provider does not answer, or not with what the protocol wants."""


class NoRoleError(OidcError):
    """The provider knows the person, and nothing gives them a role."""

    def __init__(self, person: Person, said: str, *, code: str, **values: str | int) -> None:
        super().__init__(said, code=code, **values)
        self.person = person


STATUS = {ProviderAwayError: 503, NoRoleError: 403, ConflictError: 409, NotFoundError: 409}


@dataclass(frozen=True, slots=True)
class Attempt:
    """A log-in that has begun; the browser keeps it, signed, until the provider sends it back."""

    state: str
    nonce: str
    verifier: str  # of PKCE
    redirect_uri: str


class OidcLogins:
    """The log-ins by the provider of one API process."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self._asking = 0
        self._throttle = Throttle(LOG_EVERY_S, LOGGED_AT_ONCE)

    async def ask(self, question: Callable[P, T], *words: P.args, **more: P.kwargs) -> T:
        """Have a thread ask the provider. Raises OidcError."""
        if self._asking >= MOST_AT_ONCE:
            raise ProviderAwayError("too many log-ins at once: try again", code="too_many_tries")
        self._asking += 1
        try:
            return await run_in_threadpool(question, *words, **more)
        finally:
            self._asking -= 1

    def refuse(self, error: LookoutError, request: HTTPConnection) -> ProblemResponse:
        """Return why nobody comes in, and log it in one line, not too often."""
        self._throttle.note()
        unlogged = self._throttle.due()
        if unlogged is not None:
            where = client_address(request)
            log.warning("a log-in by OIDC from %s fails: %s%s", where, error, unlogged)
        status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 401)
        return problem(status, str(error), code=error.code, values=error.values)


def shown(value: Any) -> str:
    """Return a stranger's words for a person to read: in one line, and not many."""
    return ascii(str(value)[:100])
