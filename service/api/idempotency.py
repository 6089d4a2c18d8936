"""`Idempotency-Key`: a POST that is sent again makes nothing twice, and gets its first answer.

The store never holds the key itself, nor a body that was sent: a request is known by a digest of
its sender and key, and told from another one by a digest that the key makes.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from lookout.service.api.problems import problem
from lookout.service.core.accounts import Identity
from lookout.service.core.errors import RequestError
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.store.kept_answers import KeptAnswer
from lookout.service.storage.store.store import Store

log = logging.getLogger(__name__)

HEADER = "Idempotency-Key"
KEY_FORM = "^[!-~]{16,128}$"
REPEATED = "Idempotency-Replayed"
KEPT_HEADERS = ("content-type", "location", "etag")
LARGEST_BYTES = 64 * 1024
ANOTHER_REQUEST = (
    "this Idempotency-Key stands for another request of yours (path, query or body differ): make "
    "another key"
)
STILL_RUNNING = "the first request with this Idempotency-Key is still running: try again"

OUTCOMES = ("first", "repeated", "refused", "dropped", "lost")

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Repeats:
    """Answers each request once, and counts what became of those with a key."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.counts: Counter[str] = Counter()

    async def answer(self, request: Request, body: bytes, handle: Handler) -> Response:
        """Return the answer of a request; the first one again where its key was used before.

        A refusal is not kept: the request may be sent again with the same key. Raises RequestError,
        one of UNAVAILABLE, and what `handle` raises.
        """
        key = request.headers.get(HEADER)
        sender: Identity | None = getattr(request.state, "identity", None)
        if key is None or sender is None or request.method != "POST":
            return await handle(request)
        if not re.fullmatch(KEY_FORM, key):
            raise RequestError(f"{HEADER}: 16 to 128 visible characters of ASCII, such as a UUID")
        name = hashlib.sha256(f"{sender.name}\n{key}".encode()).hexdigest()
        target = f"{request.url.path}?{request.url.query}\n".encode()
        fingerprint = hmac.new(key.encode(), target + body, hashlib.sha256).hexdigest()
        running = KeptAnswer(fingerprint, secrets.token_hex(8))
        former = await run_in_threadpool(self._store.begin_answer, name, running)
        if isinstance(former, KeptAnswer):
            request.state.is_repeat = True  # for the audit: nothing is changed
            return self.again(former, fingerprint)
        self.counts["dropped"] += former
        kept = None
        try:
            response = await handle(request)
            if response.status_code < 400:
                kept = answer_to_keep(running, response)
        finally:
            try:
                await run_in_threadpool(self._store.end_answer, name, running, kept)
            except UNAVAILABLE as error:  # what was made stays; a repeat would make it again
                self.counts["lost"] += 1
                log.warning("an answer is not kept for its Idempotency-Key: %s", error)
        self.counts["first"] += 1
        return response

    def again(self, former: KeptAnswer, fingerprint: str) -> Response:
        """Return the answer to a request whose key was used before."""
        if former.fingerprint != fingerprint:
            self.counts["refused"] += 1
            return problem(422, f"{HEADER}: {ANOTHER_REQUEST}")
        if not former.status:
            self.counts["refused"] += 1
            return problem(409, STILL_RUNNING, {"Retry-After": "1"})
        self.counts["repeated"] += 1
        headers = {**former.headers, REPEATED: "true"}
        if former.body is not None:
            return Response(former.body, former.status, headers)
        place = former.headers.get("location", "its list")
        return problem(
            409,
            "this request was done already; its answer is not kept, since it holds a secret that "
            f"is shown once: see {place}, delete it, and make another one with another key",
            {REPEATED: "true"},
        )


def answer_to_keep(running: KeptAnswer, response: Response) -> KeptAnswer:
    """Return an answer as the store keeps it.

    Its body is left out where it holds a secret, or is larger than LARGEST_BYTES.
    """
    headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    body = None
    is_secret = "no-store" in response.headers.get("cache-control", "")
    if not is_secret and len(response.body) <= LARGEST_BYTES:
        body = bytes(response.body).decode()
    return replace(running, status=response.status_code, headers=headers, body=body)
