"""Sinks that clients set up, how deliveries to them go, and what could not be delivered."""

from __future__ import annotations

import json
import logging
from typing import cast

from pydantic import ValidationError

from lookout.service.core import web_push
from lookout.service.core.errors import (
    BrokenMessageError,
    ConflictError,
    LookoutError,
    NotFoundError,
)
from lookout.service.core.sink_addresses import shown_url
from lookout.service.core.sinks import MAX_SINKS, Letter, SinkRecord, SinkState
from lookout.service.storage.redis import codec, keys, scripts
from lookout.service.storage.store.camera_secrets import CameraSecrets
from lookout.service.storage.store.mending import SettingAside

log = logging.getLogger(__name__)

LETTERS_KEPT = 1000  # of a sink; the oldest drop
TOO_MANY = -1
SEALED = "sealed"
SECRETS = ("url", "secret", "password", "push_keys")


class Sinks(SettingAside):
    """One hash of all sinks. A record that cannot be read is logged once and left out."""

    _secrets: CameraSecrets

    def sinks(self) -> dict[str, SinkRecord]:
        """Return every sink by its id, in the order of their ids."""
        texts = cast(dict[bytes, bytes], self._redis.hgetall(keys.SINKS))
        found = {}
        for key, text in sorted(texts.items()):
            name = key.decode(errors="replace")
            try:
                found[name] = self.read_sink(text)
            except BrokenMessageError as error:
                if self._logged_marks.is_new(f"sink {name}"):
                    log.warning("sink %r is left out: %s", name, error)
        return found

    def sink(self, sink: str) -> SinkRecord:
        """Return one sink. Raises NotFoundError, BrokenMessageError."""
        text = cast(bytes | None, self._redis.hget(keys.SINKS, sink))
        if text is None:
            raise NotFoundError(f"there is no sink {sink!r}", code="no_sink", sink=sink)
        return self.read_sink(text)

    def read_sink(self, text: bytes) -> SinkRecord:
        """Return the sink of a record. Raises BrokenMessageError."""
        try:
            fields = json.loads(text)
            sealed = fields.pop(SEALED, None)
            if sealed is not None:
                opened, reason = self._secrets.unseal(str(sealed))
                fields |= {"unreadable": reason} if opened is None else json.loads(opened)
            return SinkRecord.model_validate_json(json.dumps(fields), extra="ignore")
        except (ValueError, ValidationError, AttributeError, RecursionError, TypeError) as error:
            raise BrokenMessageError(f"sink cannot be read: {type(error).__name__}") from error

    def dump_sink(self, sink: SinkRecord) -> str:
        """Return the record of a sink; without a key its secrets are written as they are."""
        fields = sink.model_dump(mode="json", exclude={"unreadable", "password"})
        fields["password"] = None
        if sink.password is not None:
            fields["password"] = sink.password.get_secret_value()
        sealed = self._secrets.seal(json.dumps({name: fields[name] for name in SECRETS}))
        if sealed is not None:
            fields |= dict.fromkeys(SECRETS) | {
                "url": shown_url(sink.kind, sink.url),
                SEALED: sealed,
            }
        return json.dumps(fields)

    def add_sink(self, sink: SinkRecord) -> None:
        """Add a sink. Raises ConflictError where its id is taken, or there are MAX_SINKS."""
        words = (sink.id, self.dump_sink(sink), str(MAX_SINKS))
        added = self._redis.eval(scripts.ADD_CAMERA, 1, keys.SINKS, *words)
        if added == 0:
            raise ConflictError(
                f"there is a sink {sink.id!r} already", code="sink_exists", sink=sink.id
            )
        if added == TOO_MANY:
            raise ConflictError(
                f"there are {MAX_SINKS} sinks, and no more are taken",
                code="too_many_sinks",
                most=MAX_SINKS,
            )

    def replace_sink(self, sink: SinkRecord) -> None:
        """Write a sink in the place of the one of its id."""
        self._redis.hset(keys.SINKS, sink.id, self.dump_sink(sink))

    def remove_sink(self, sink: str) -> None:
        """Forget a sink, its cursors and letters. Raises NotFoundError."""
        if not self._redis.hdel(keys.SINKS, sink):
            raise NotFoundError(f"there is no sink {sink!r}", code="no_sink", sink=sink)
        self._redis.hdel(keys.SINK_STATES, sink)
        for key in (keys.deliveries, keys.letters, keys.letters_again):
            self._redis.delete(key(sink))

    def push_key(self) -> str:
        """Return the key by which push services know this Lookout.

        It is made at the first call, encrypted, and never made again: every subscription is bound
        to it. Raises LookoutError where it cannot be read.
        """
        if not self._redis.exists(keys.PUSH_KEY):
            made = web_push.new_private_key()
            sealed = self._secrets.seal(made)
            stored = json.dumps({"key": made} if sealed is None else {SEALED: sealed})
            self._redis.set(keys.PUSH_KEY, stored, nx=True)
        text = cast(bytes | None, self._redis.get(keys.PUSH_KEY))
        try:
            record = json.loads(text or b"")
            if SEALED not in record:
                return str(record["key"])
            key, reason = self._secrets.unseal(str(record[SEALED]))
        except (ValueError, KeyError, TypeError, RecursionError):
            key, reason = None, "it is damaged"
        if key is None:
            raise LookoutError(f"the key of web push cannot be read: {reason}")
        return key

    def save_sink_state(self, sink: str, state: SinkState) -> None:
        """Replace what is known of the deliveries to a sink."""
        self._redis.hset(keys.SINK_STATES, sink, codec.dump(state))

    def sink_states(self) -> dict[str, SinkState]:
        """Return how deliveries go, by sink; one that cannot be read counts as none."""
        texts = cast(dict[bytes, bytes], self._redis.hgetall(keys.SINK_STATES))
        found = {}
        for name, text in texts.items():
            try:
                found[name.decode(errors="replace")] = codec.load(SinkState, text)
            except BrokenMessageError:
                continue
        return found

    def add_letter(self, sink: str, letter: Letter) -> int:
        """Keep an event that could not be delivered; return how many older ones dropped for it."""
        self._redis.hset(keys.letters(sink), letter.id, codec.dump(letter))
        self._redis.srem(keys.letters_again(sink), letter.id)
        surplus = self._redis.hlen(keys.letters(sink)) - LETTERS_KEPT
        if surplus <= 0:
            return 0
        oldest = [one.id for one in self.letters(sink)[-surplus:]]
        if oldest:
            self._redis.hdel(keys.letters(sink), *oldest)
            self._redis.srem(keys.letters_again(sink), *oldest)
        return len(oldest)

    def letters(self, sink: str) -> list[Letter]:
        """Return the events that could not be delivered, the newest first."""
        texts = cast(dict[bytes, bytes], self._redis.hgetall(keys.letters(sink)))
        again = cast(set[bytes], self._redis.smembers(keys.letters_again(sink)))
        found = []
        for name, text in texts.items():
            try:
                letter = codec.read_letter(text, again=name in again)
            except BrokenMessageError as error:
                if self._logged_marks.is_new(f"letter {sink} {name!r}"):
                    log.warning("letter %r of sink %s is left out: %s", name, sink, error)
            else:
                found.append(letter)
        return sorted(found, key=lambda one: (one.failed_at, one.id), reverse=True)

    def letter_counts(self, sinks: list[str]) -> dict[str, int]:
        """Return the number of letters of each sink in one round trip."""
        pipe = self._redis.pipeline(transaction=False)
        for sink in sinks:
            pipe.hlen(keys.letters(sink))
        return dict(zip(sinks, pipe.execute(), strict=True))

    def send_letters_again(self, sink: str, letter: str | None = None) -> int:
        """Have one letter, or all, sent again; return how many. Raises NotFoundError."""
        names = cast(list[bytes], self._redis.hkeys(keys.letters(sink)))
        wanted = [name for name in names if letter is None or name.decode() == letter]
        if letter is not None and not wanted:
            raise NotFoundError(f"sink {sink!r} has no letter {letter!r}", code="no_letter")
        if wanted:
            self._redis.sadd(keys.letters_again(sink), *wanted)
        return len(wanted)

    def letters_to_send_again(self, sink: str) -> list[Letter]:
        """Return the letters that wait to be sent again, the oldest first."""
        if not self._redis.exists(keys.letters_again(sink)):
            return []
        return [letter for letter in self.letters(sink)[::-1] if letter.again]

    def drop_letters(self, sink: str, letter: str | None = None) -> None:
        """Forget one letter, or all. Raises NotFoundError where the one is not there."""
        if letter is None:
            self._redis.delete(keys.letters(sink))
            self._redis.delete(keys.letters_again(sink))
            return
        if not self._redis.hdel(keys.letters(sink), letter):
            raise NotFoundError(f"sink {sink!r} has no letter {letter!r}", code="no_letter")
        self._redis.srem(keys.letters_again(sink), letter)
