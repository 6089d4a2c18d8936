"""Drift of each camera's values, its self-test, and the footage that its trainings left out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import cast

from lookout.service.core.drift import DriftState, ValueDrift
from lookout.service.core.errors import BrokenMessageError, NotFoundError
from lookout.service.core.jobs import LeftOut, LeftOutAnswer
from lookout.service.core.self_test import SelfTest
from lookout.service.storage.redis import codec, keys
from lookout.service.storage.store.mending import SettingAside

ANSWERED_KEPT = 500  # of a camera; the oldest footage drops


class Learned(SettingAside):
    """Drift and left-out footage. What cannot be read counts as not there."""

    def drift_state(self, camera: str) -> DriftState | None:
        """Return the counts of a camera's values; None where there are none that can be read."""
        text = cast(bytes | None, self._redis.hget(keys.drift(camera), "state"))
        with contextlib.suppress(BrokenMessageError):
            state = codec.load(DriftState, text) if text else None
            if state is not None and state.is_usable:
                return state
        return None

    def save_drift(self, camera: str, state: DriftState, drift: ValueDrift | None) -> None:
        """Replace the counts of a camera's values, and what they say."""
        seen = codec.dump(drift) if drift else ""
        items = ["state", codec.dump(state), "seen", seen]
        self._redis.hset(keys.drift(camera), items=items)

    def drifts(self, cameras: Iterable[str]) -> dict[str, ValueDrift]:
        """Return what is known of cameras' values, in one round trip."""
        names = list(cameras)
        pipe = self._redis.pipeline(transaction=False)
        for camera in names:
            pipe.hget(keys.drift(camera), "seen")
        found = {}
        for camera, text in zip(names, cast(list[bytes | None], pipe.execute()), strict=True):
            with contextlib.suppress(BrokenMessageError):
                if text:
                    found[camera] = codec.load(ValueDrift, text)
        return found

    def save_self_test(self, camera: str, result: SelfTest) -> None:
        """Replace the result of a camera's self-test."""
        self._redis.hset(keys.SELF_TESTS, camera, codec.dump(result))

    def self_tests(self, cameras: Iterable[str]) -> dict[str, SelfTest]:
        """Return the last result of each camera that has one which can be read."""
        names = list(cameras)
        if not names:
            return {}
        texts = cast(list[bytes | None], self._redis.hmget(keys.SELF_TESTS, names))
        found = {}
        for name, text in zip(names, texts, strict=True):
            with contextlib.suppress(BrokenMessageError, ValueError):
                if text:
                    result = codec.load(SelfTest, text)
                    codec.finite(result.at)
                    found[name] = result
        return found

    def left_out(self, camera: str) -> dict[str, LeftOut]:
        """Return the segments that trainings of a camera left out, by id, the strangest first."""
        rows = cast(dict[bytes, bytes], self._redis.hgetall(keys.left_out(camera)))
        found = []
        for text in rows.values():
            with contextlib.suppress(BrokenMessageError):
                found.append(codec.load(LeftOut, text))
        return {one.id: one for one in sorted(found, key=lambda one: (one.psnr_db, one.id))}

    def save_left_out(self, camera: str, segments: Sequence[LeftOut]) -> None:
        """Replace the segments without an answer by those of another job; answers stay."""
        known = self.left_out(camera)
        answers = {name: one.answer for name, one in known.items()}
        new = {one.id: replace(one, answer=answers.get(one.id)) for one in segments}
        answered = [one for one in known.values() if one.answer is not None and one.id not in new]
        answered.sort(key=lambda one: one.begins_at)
        kept = {one.id: one for one in answered[-ANSWERED_KEPT:]} | new
        pipe = self._redis.pipeline(transaction=True)
        pipe.delete(keys.left_out(camera))
        if kept:
            texts = {name: codec.dump(one) for name, one in kept.items()}
            pipe.hset(keys.left_out(camera), items=[word for row in texts.items() for word in row])
        pipe.execute()

    def answer_left_out(self, camera: str, segment: str, answer: LeftOutAnswer | None) -> LeftOut:
        """Say what becomes of a segment at the next training. Raises NotFoundError."""
        text = cast(bytes | None, self._redis.hget(keys.left_out(camera), segment))
        with contextlib.suppress(BrokenMessageError):
            if text is not None:
                changed = replace(codec.load(LeftOut, text), answer=answer)
                self._redis.hset(keys.left_out(camera), segment, codec.dump(changed))
                return changed
        raise NotFoundError(
            f"camera {camera!r} has no segment {segment!r} that was left out", code="no_segment"
        )
