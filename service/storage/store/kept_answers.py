"""Answers to requests that bear an `Idempotency-Key`: a bounded list that expires."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from lookout.service.storage.redis import codec, keys, scripts
from lookout.service.storage.store.mending import SettingAside

MAX_KEPT = 1000
KEPT_S = 24 * 3600.0
RUNNING_S = 60.0
"""So long a request counts as running whose API process has died."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """A note on a request: that it runs, or its answer."""

    fingerprint: str  # of path, query and body
    run: str  # tells two attempts at the same request apart
    status: int = 0  # 0: it runs
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None  # None: it is not kept


class KeptAnswers(SettingAside):
    """A hash of answers, and an index by when they expire."""

    def begin_answer(self, name: str, running: KeptAnswer) -> KeptAnswer | int:
        """Return what is known of a request; where it is new, note that it runs.

        Then return how many answers were dropped for it: those that expire first, where there are
        MAX_KEPT. name: of the request. Raises BrokenMessageError.
        """
        now = time.time()
        words = (name, codec.dump(running), now, now + RUNNING_S, MAX_KEPT)
        found = self._redis.eval(
            scripts.BEGIN_ANSWER, 2, keys.KEPT_ANSWERS, keys.KEPT_ANSWERS_BY_END, *words
        )
        return found if isinstance(found, int) else codec.load(KeptAnswer, found)

    def end_answer(self, name: str, running: KeptAnswer, answer: KeptAnswer | None) -> None:
        """Put the answer in the place of `running`; None forgets the request.

        Nothing changes where another attempt has begun meanwhile.
        """
        text = codec.dump(answer) if answer is not None else ""
        words = (name, codec.dump(running), text, time.time() + KEPT_S)
        self._redis.eval(scripts.END_ANSWER, 2, keys.KEPT_ANSWERS, keys.KEPT_ANSWERS_BY_END, *words)
