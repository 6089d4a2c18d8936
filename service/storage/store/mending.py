"""Keys of the store that hold something else than this version writes: set aside, never removed.

Redis refuses a command on a key of another type (WRONGTYPE), or a count that is no number, and with
it the whole pipeline that serves many cameras. The store holds what must not be lost: such a key is
renamed, with one log line and a mark at its camera, and the call is made once more.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import redis

from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.messages import AlertAnswer
from lookout.service.core.throttle import OnceLog
from lookout.service.storage.redis import codec, keys, scripts
from lookout.service.storage.redis.connect import Server, is_wrong_key

log = logging.getLogger(__name__)

C = TypeVar("C")

COUNT = re.compile(rb"[0-9]{1,16}")
NUMBER = re.compile(rb"[0-9]{1,16}(\.[0-9]{1,20})?")
FRAME = re.compile(rb"[0-9]{1,19}-[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class KeyForm:
    """The form of a camera's key."""

    kind: str  # as TYPE names it
    values: Mapping[str, re.Pattern[bytes]]  # by field of a hash; of a string: by ""
    counts_up: str | None = None  # the field whose number must never go back


FORMS: dict[Callable[[str], str], KeyForm] = {
    keys.session: KeyForm(
        "hash",
        {"last": COUNT, "revision": COUNT, "first": COUNT, "began": NUMBER, "ended": COUNT},
    ),
    keys.snapshot: KeyForm("hash", {"epoch": COUNT, "cursor": FRAME}, counts_up="epoch"),
    keys.alerts: KeyForm("hash", {}),
    keys.alerts_by_time: KeyForm("zset", {}),
    keys.open_alerts: KeyForm("set", {}),
    keys.alert_answers: KeyForm("hash", {}),
    keys.kept_alerts: KeyForm("set", {}),
    keys.alert_clips: KeyForm("hash", {}),
    keys.alert_regions: KeyForm("hash", {}),
    keys.evidence_copies: KeyForm("hash", {}),
    keys.suppressions: KeyForm("hash", {}),
    keys.alerts_opened: KeyForm("string", {"": COUNT}),
    keys.alert_log: KeyForm("stream", {}),
    keys.events: KeyForm("stream", {}),
    keys.alerting: KeyForm("string", {}),
    keys.history: KeyForm("hash", {}),
    keys.alerting_epoch: KeyForm("string", {"": COUNT}, counts_up=""),
    keys.jobs: KeyForm("hash", {"last": COUNT, "active": COUNT}, counts_up="last"),
    keys.replays: KeyForm("hash", {"last": COUNT, "active": COUNT}, counts_up="last"),
    keys.former_models: KeyForm("list", {}),
    keys.drift: KeyForm("hash", {}),
    keys.left_out: KeyForm("hash", {}),
}
"""Every key that the store has of a camera."""

SHARED_KEYS = {
    keys.ALERTED: "set",
    keys.MARKS: "hash",
    keys.SELF_TESTS: "hash",
    keys.SINKS: "hash",
    keys.SINK_STATES: "hash",
    keys.ENDED_LOGINS: "zset",
    keys.LOGIN_GENERATION: "string",
    keys.LOGIN_KEY: "string",
    keys.PUSH_KEY: "string",
    keys.USERS: "hash",
    keys.API_TOKENS: "hash",
    keys.AUDIT: "stream",
    keys.KEPT_ANSWERS: "hash",
    keys.KEPT_ANSWERS_BY_END: "zset",
}
"""Every key that the store has of all cameras together, but the cameras themselves."""


@dataclass(frozen=True, slots=True)
class WrongKey:
    """A key that is not of its form, and the value that shows it."""

    camera: str | None  # None: a key of all cameras together
    name: str
    form: KeyForm
    field: str = ""
    value: bytes | None = None  # None: the key is of another type


class SettingAside(Server):
    """A server whose wrong keys are set aside."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(client)
        self._logged_marks = OnceLog()

    def mark(self, camera: str, reason: str) -> None:
        """Log once, and show at the camera, that something of it in the store cannot be used."""
        if self._logged_marks.is_new(f"{camera} {reason}"):
            log.warning("camera %s: %s", camera, reason, extra={"camera": camera})
            self._redis.hset(keys.MARKS, camera, reason)

    def set_wrong_keys_aside(self, subject: str | None = None) -> None:
        """Set aside every wrong key of the store.

        subject: the camera or sink of the call that was refused: it may be in no list.
        """
        of_sink = (keys.deliveries, "hash"), (keys.letters, "hash"), (keys.letters_again, "set")
        shared = SHARED_KEYS | {key(str(subject)): kind for key, kind in of_sink}
        of_all = [WrongKey(None, name, KeyForm(kind, {})) for name, kind in shared.items()]
        for wrong in self.wrong_keys(of_all):
            self.set_aside(wrong)
        names = set(cast(set[bytes], self._redis.smembers(keys.ALERTED)))
        if cast(bytes, self._redis.type(keys.CAMERAS)) == b"hash":
            names |= set(cast(list[bytes], self._redis.hkeys(keys.CAMERAS)))
        cameras = {name.decode(errors="replace") for name in names}
        if subject is not None:
            cameras.add(subject)
        of_cameras = [
            WrongKey(camera, key(camera), form)
            for camera in sorted(cameras)
            for key, form in FORMS.items()
        ]
        for wrong in self.wrong_keys(of_cameras):
            self.set_aside(wrong)

    def wrong_keys(self, suspects: Sequence[WrongKey]) -> list[WrongKey]:
        """Return those that do not have their form, in two round trips."""
        pipe = self._redis.pipeline(transaction=False)
        for one in suspects:
            pipe.type(one.name)
        kinds = [kind.decode() for kind in cast(list[bytes], pipe.execute())]
        pairs = list(zip(suspects, kinds, strict=True))
        wrong = [one for one, kind in pairs if kind not in ("none", one.form.kind)]
        valued = [one for one, kind in pairs if kind == one.form.kind and one.form.values]
        for one in valued:
            if one.form.kind == "hash":
                pipe.hmget(one.name, list(one.form.values))
            else:
                pipe.get(one.name)
        for one, answer in zip(valued, pipe.execute(), strict=True):
            texts = answer if one.form.kind == "hash" else [answer]
            for (field, pattern), text in zip(one.form.values.items(), texts, strict=True):
                if text is not None and not pattern.fullmatch(text):
                    wrong.append(replace(one, field=field, value=text))
                    break
        return wrong

    def set_aside(self, wrong: WrongKey) -> None:
        """Rename a key, and mark its camera, unless another process has done it."""
        aside = keys.aside(wrong.name, time.time())
        if wrong.name == keys.ENDED_LOGINS:  # before it begins anew: what was ended stays ended
            self._redis.set(keys.LOGIN_GENERATION, secrets.token_hex(8))
        by = "value"
        if wrong.value is None:
            by = "type"
        words: list[str | bytes] = [wrong.form.kind, by, wrong.field, wrong.value or b""]
        words += first_value(wrong)
        kind = cast(bytes, self._redis.eval(scripts.SET_ASIDE, 2, wrong.name, aside, *words))
        if not kind:
            return
        what = f"is a {kind.decode()}"
        if wrong.value is not None:
            what = f"holds {wrong.value[:20]!r}"
            if wrong.field:
                what = f"holds {wrong.value[:20]!r} as {wrong.field!r}"
        reason = (
            f"the store's key {wrong.name} {what}, which this version does not write: it is kept "
            f"as {aside}, and begun anew"
        )
        if wrong.camera is None:
            log.warning("%s", reason)
        else:
            self.mark(wrong.camera, reason)
        self.make_again(wrong)

    def make_again(self, wrong: WrongKey) -> None:
        """Make what follows from other keys."""
        if wrong.name == keys.ALERTED:
            for name in self._redis.scan_iter(match=keys.alerts("*"), count=1000):
                self._redis.sadd(keys.ALERTED, name.partition(b"{")[2].removesuffix(b"}"))
        elif wrong.camera is not None:
            self.index_alerts(wrong.camera)

    def index_alerts(self, camera: str) -> None:
        """Make the indexes of a camera's alerts again, where one was set aside."""
        texts: dict[bytes, bytes] = {}
        if cast(bytes, self._redis.type(keys.alerts(camera))) == b"hash":
            texts = cast(dict[bytes, bytes], self._redis.hgetall(keys.alerts(camera)))
        pipe = self._redis.pipeline(transaction=False)
        for field, text in texts.items():
            with contextlib.suppress(BrokenMessageError):
                alert = codec.read_alert(camera, field.decode(errors="replace"), text)
                pipe.zadd(keys.alerts_by_time(camera), {alert.id: alert.opened_at}, nx=True)
                if alert.state == "open":
                    pipe.sadd(keys.open_alerts(camera), alert.id)
        pipe.set(keys.alerts_opened(camera), len(texts), nx=True)
        answers: dict[bytes, bytes] = {}
        if cast(bytes, self._redis.type(keys.alert_answers(camera))) == b"hash":
            answers = cast(dict[bytes, bytes], self._redis.hgetall(keys.alert_answers(camera)))
        for field, text in answers.items():
            with contextlib.suppress(BrokenMessageError):
                if codec.load(AlertAnswer, text).keep:
                    pipe.sadd(keys.kept_alerts(camera), field)
        pipe.execute(raise_on_error=False)  # an index that is wrong, too, is next


def first_value(wrong: WrongKey) -> tuple[str, str]:
    """Return the field and the value with which a key begins anew; no value: it begins empty.

    They are written in the step that renames it: no reader meets the key without them.
    """
    if wrong.name == keys.USERS:
        return "set-aside", "{}"  # no door opens: somebody was there
    if wrong.name == keys.LOGIN_GENERATION:
        return "", secrets.token_hex(8)  # what was ended stays ended
    if wrong.form.counts_up is not None:
        return wrong.form.counts_up, str(int(time.time()))  # above every earlier one
    return "", ""


def mends(cls: type[C]) -> type[C]:
    """Have every public method of a SettingAside called once more where it met a wrong key.

    So every method must bear to be repeated. The first argument of a method names its camera.
    """
    for name in dir(cls):
        method = getattr(cls, name)
        if not name.startswith("_") and callable(method) and not hasattr(SettingAside, name):
            setattr(cls, name, mended(method))
    return cls


def mended(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that sets wrong keys aside where it meets one, and is called once more."""

    @functools.wraps(method)
    def call(self: SettingAside, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except redis.ResponseError as error:
            if not is_wrong_key(error):
                raise
            subject = args[0] if args and isinstance(args[0], str) else None
            self.set_wrong_keys_aside(subject)  # another process may have been first
            return method(self, *args, **kwargs)

    return call
