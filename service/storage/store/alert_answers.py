"""Answers of persons to alerts: acknowledged, verdict, note, keep."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import cast

from lookout.service.core.errors import BrokenMessageError, ConflictError, NotFoundError
from lookout.service.core.messages import AlertAnswer
from lookout.service.storage.redis import codec, keys, scripts
from lookout.service.storage.store.mending import SettingAside

log = logging.getLogger(__name__)

MAX_KEPT = 1000  # alerts of a camera that are never removed
TRIES = 5
GONE, CHANGED, TOO_MANY = 0, -1, -2


class AlertAnswers(SettingAside):
    """The answers to the alerts of every camera, apart from the alerts, which alerting writes."""

    def alert_answers(self, camera: str, ids: Sequence[str]) -> list[AlertAnswer]:
        """Return the answers to alerts, in their order; one that cannot be read counts as none."""
        if not ids:
            return []
        texts = cast(list[bytes | None], self._redis.hmget(keys.alert_answers(camera), list(ids)))
        return [self.read_answer(camera, one, text) for one, text in zip(ids, texts, strict=True)]

    def read_answer(self, camera: str, alert_id: str, text: bytes | None) -> AlertAnswer:
        """Return an answer; where it cannot be read, an empty one, and a mark at its camera."""
        if text is None:
            return AlertAnswer()
        try:
            answer = codec.load(AlertAnswer, text)
            codec.finite(answer.acknowledged_at or 0.0)
        except (BrokenMessageError, ValueError) as error:
            self.mark(camera, f"the answer to alert {alert_id!r} cannot be read: {error}")
            return AlertAnswer()
        return answer

    def answer_alert(
        self, camera: str, alert_id: str, change: Callable[[AlertAnswer], AlertAnswer]
    ) -> AlertAnswer:
        """Change the answer to an alert, and return it. Another change meanwhile is kept, too.

        Raises NotFoundError; ConflictError where it changes all the time, or too many are kept.
        """
        names = (keys.alerts(camera), keys.alert_answers(camera), keys.kept_alerts(camera))
        for _ in range(TRIES):
            text = cast(bytes | None, self._redis.hget(names[1], alert_id))
            before = self.read_answer(camera, alert_id, text)
            answer = change(before)
            words = (alert_id, text or b"", codec.dump(answer), str(int(answer.keep)))
            result = self._redis.eval(scripts.SAVE_ANSWER, 3, *names, *words, str(MAX_KEPT))
            if result == GONE:
                raise NotFoundError(f"there is no alert {alert_id!r}", code="no_alert")
            if result == TOO_MANY:
                raise ConflictError(
                    f"{MAX_KEPT} alerts of {camera!r} are kept, and no more may be",
                    code="too_many_kept",
                    most=MAX_KEPT,
                )
            if result != CHANGED:
                return answer
        raise ConflictError(
            f"the answer to alert {alert_id!r} changes all the time; try again",
            code="changed_meanwhile",
        )

    def kept_alerts(self, camera: str) -> set[str]:
        """Return the ids of the alerts that are never removed."""
        names = cast(set[bytes], self._redis.smembers(keys.kept_alerts(camera)))
        return {name.decode(errors="replace") for name in names}
