"""The bucket of wrong guesses: by address, bounded in number and memory. What a guess costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import Signer, TimestampSigner
from starlette.requests import HTTPConnection

from lookout.service.api.auth import guesses as guesses_module
from lookout.service.api.auth.guesses import AT_ONCE, ONE_EVERY_S, Guesses, client_address
from lookout.service.api.auth.passwords import Passwords
from lookout.service.api.auth.token import COOKIE, Authenticator
from lookout.service.core.accounts import Identity
from tests.service.api_server import refusal

TOKEN = "a-token-that-nobody-guesses-0123"  # noqa: S105


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def asking(address: str = "10.0.0.7", *, bearer: str = "", cookie: str = "") -> HTTPConnection:
    headers = []
    if bearer:
        headers.append((b"authorization", f"Bearer {bearer}".encode()))
    if cookie:
        headers.append((b"cookie", f"{COOKIE}={cookie}".encode("utf-8", "surrogateescape")))
    return HTTPConnection({"type": "http", "headers": headers, "client": (address, 4711)})


def test_an_address_has_so_many_guesses_and_gets_one_back_now_and_then() -> None:
    clock = Clock()
    guesses = Guesses(clock)
    assert [guesses.failed("a") for _ in range(AT_ONCE + 2)] == [True] * AT_ONCE + [False] * 2
    assert not guesses.may_try("a")
    assert guesses.may_try("b")
    clock.now_s += ONE_EVERY_S
    assert guesses.may_try("a")
    assert (guesses.failed("a"), guesses.failed("a")) == (True, False)
    assert guesses.limited == 4
    clock.now_s += 1e6
    assert [guesses.failed("a") for _ in range(AT_ONCE + 1)] == [True] * AT_ONCE + [False]


def test_an_address_that_showed_the_right_token_is_not_locked_out() -> None:
    auth = Authenticator(TOKEN)
    assert refusal(auth, asking(bearer=TOKEN)) is None
    refusals = [refusal(auth, asking(bearer="wrong")) for _ in range(AT_ONCE + 5)]
    assert refusals == ["wrong"] * AT_ONCE + ["limited"] * 5
    assert refusal(auth, asking(bearer=TOKEN)) is None


def test_a_stranger_learns_nothing_from_a_guess_too_many() -> None:
    """The right token is refused as every other one."""
    auth = Authenticator(TOKEN)
    for _ in range(AT_ONCE):
        refusal(auth, asking(bearer="wrong"))
    assert refusal(auth, asking(bearer=TOKEN)) == "limited"
    assert refusal(auth, asking("10.0.0.8", bearer=TOKEN)) is None


def test_forged_cookies_are_guesses_and_expired_ones_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    auth = Authenticator(TOKEN)
    refusals = [refusal(auth, asking(cookie=f"login.x{n}.y")) for n in range(AT_ONCE + 3)]
    assert refusals == ["lapsed"] * AT_ONCE + ["limited"] * 3
    assert refusal(auth, asking(cookie=auth.new_login())) is None  # cannot be guessed
    with monkeypatch.context() as patched:
        patched.setattr(TimestampSigner, "get_timestamp", lambda _: 1_000_000_000)
        expired = auth.new_login()
    other = [refusal(auth, asking("10.0.0.9", cookie=expired)) for _ in range(3 * AT_ONCE)]
    assert set(other) == {"lapsed"}


def test_addresses_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses_module, "MAX_ADDRESSES", 10)
    guesses = Guesses()
    for number in range(1000):
        guesses.failed(str(number))
    assert len(guesses._buckets) == 10


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("unknown", "unknown"),
        ("x" * 500, "x" * 64),
    ],
)
def test_an_address(host: str, address: str) -> None:
    assert client_address(asking(host)) == address


@given(
    st.binary() | st.text(),
    st.binary(max_size=12) | st.integers(min_value=0, max_value=2**80).map(str),
)
def test_nonsense_that_is_signed_with_the_right_key_is_no_login(
    payload: bytes | str, stamp: bytes | str
) -> None:
    """Any payload and any time is answered with a refusal, and no error."""
    auth = Authenticator(TOKEN)
    key = auth.signer
    plain = Signer(key.secret_keys, key.salt, key.sep, "hmac", key.digest_method)
    for signed in (plain.sign(payload), plain.sign(joined(payload, stamp))):
        cookie = signed.decode("utf-8", "surrogateescape")
        assert auth.of_cookie(cookie, "10.0.0.7") == "lapsed"


def joined(payload: bytes | str, stamp: bytes | str) -> bytes:
    parts = [
        part.encode("utf-8", "replace") if isinstance(part, str) else part
        for part in (payload, stamp)
    ]
    return b".".join(parts)


@given(st.integers(min_value=0, max_value=2**64 - 1))
def test_a_time_that_no_calendar_has_is_no_login(seconds: int) -> None:
    auth = Authenticator(TOKEN)
    signer = auth.signer
    signer.get_timestamp = lambda: seconds  # type: ignore[method-assign]
    cookie = signer.sign("0:login").decode()
    del signer.get_timestamp
    assert auth.of_cookie(cookie, "10.0.0.7") in (Identity("login", "admin", by="token"), "lapsed")


def test_a_password_is_hashed_at_the_recommended_cost() -> None:
    """RFC 9106: three passes over 64 MiB, four lanes."""
    passwords = Passwords()
    hashed = passwords.hash("four-words-of-a-poem")
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert passwords.verify("four-words-of-a-poem", hashed)
    assert not passwords.verify("four-words-of-a-poem", None)
