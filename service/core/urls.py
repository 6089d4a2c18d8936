"""Addresses: which ones of cameras are taken, and how any is shown without its password."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lookout.service.core.errors import SourceRefusedError

# ASCII whitespace alone ends an address in a text: a password may hold quotes, brackets and other
# spaces.
_URL = re.compile(r"(?i)\b[a-z][a-z0-9+.-]{0,30}://[^ \t\n\r\f\v]*")
_ENCODED_URL = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,30}%3a%2f%2f)[^ \t\n\r\f\v]*")
_ANOTHER_URL = re.compile(r"\s\S*://")
_SECRET = re.compile(
    r"(?i)user|usr|login|pas|pw|psk|psw|token|secret|key|auth|acc|cred|cert|jwt|bearer|ticket|otp"
    r"|nonce|hash|digest|sig|sess|sid$|pin$|^code$|[_-]code$|^[up]$"
)
_USUAL_NAME = re.compile(
    r"(?i)(amp;)?(access_token|api_?key|auth|camera|channel(id|no)?|codec|fps|height|jwt|key"
    r"|linktype|loginpas|loginuse|name|p|pass(word)?|profile|proto(col)?|pwd|resolution"
    r"|stream(id|type)?|subtype|token|transport(mode)?|u|unicast|user(name)?|usr|videocodec|width)"
)
"""Name of a parameter that is shown behind a secret: any other may be a part of it."""

_LONG_VALUE = 16  # characters: a value of so many may be a secret, whatever its name
_SERVER = re.compile(r"(\[[^\[\]@]*\]|[^\[\]:@]*)(:\d*)?")
_IP_SERVER = re.compile(r"(\[[0-9a-fA-F:.]+(%[^\[\]@]*)?\]|\d{1,3}(\.\d{1,3}){3})(:\d*)?")
_HOST = re.compile(r"[\w.~-]+|\[[^\[\]@]+\]")
_ENCODED_ZONE = re.compile(r"^(//(?:[^/?#]*@)?\[[0-9a-fA-F:.]+)%25(?=[^\[\]@]+\])")
_STRAY_PERCENT = re.compile(r"%(?![0-9a-fA-F]{2})")
_TO_BE_ENCODED = frozenset("\"'`<>\\")

CAMERA_SCHEMES = ("rtsp", "rtsps", "file")
FORM = "^([Rr][Tt][Ss][Pp][Ss]?://|[Ff][Ii][Ll][Ee]:/|/)"
"""Beginning of every camera's url, for the OpenAPI document; `check` is exact."""

MAX_LOGIN = 127  # bytes of user and password that libav takes, encoded; it cuts off the rest
MAX_PATH = 2047  # bytes of path and query that it takes

MAX_HOST = 253  # characters of a host's name: what the DNS can carry
MAX_LABEL = 63  # characters between two of its dots

ENCODE = (
    "percent-encode # ? @ / : % in its user and password "
    "(# = %23, ? = %3F, @ = %40, / = %2F, : = %3A, % = %25)"
)
SERVER_FORM = f"a port is 1 to 65535, an IPv6 address stands in [ ]; {ENCODE}"


def normalized(url: str) -> str:
    """Return a camera's url as libav reads it.

    Its scheme is in small letters, of which RFC 3986 takes any case; the % before the zone of an
    IPv6 address stands alone, which RFC 6874 encodes.
    """
    scheme, colon, rest = url.partition(":")
    if scheme.lower() in CAMERA_SCHEMES:
        scheme = scheme.lower()
    if scheme != "file":
        rest = _ENCODED_ZONE.sub(r"\1%", rest)
    return f"{scheme}{colon}{rest}"


def mask(text: str) -> str:
    """Replace user and password in every URL of `text`.

    Values of a path or query whose names say that they are secrets are replaced, too, and so are
    long values and fragments. A text that begins with an address and names no other is taken for
    one address, spaces and all: it may lose more than its password, never show it.
    """
    if _URL.match(text) and not _ANOTHER_URL.search(text):
        masked = mask_url(text)
    else:
        masked = _URL.sub(lambda found: mask_url(found[0]), text)
    return _ENCODED_URL.sub(r"\1***", masked)  # a part of another address


def mask_url(url: str) -> str:
    """Replace user, password, named secrets, long values and fragment in one URL."""
    scheme, _, rest = url.partition("://")
    if scheme.lower() == "file" and is_path_alone(rest):
        return url
    authority = authority_of(rest)
    path = rest[len(authority) :]
    _, at, server = authority.rpartition("@")
    if not has_unclear_login(rest):
        return f"{scheme}://{'***@' * bool(at)}{mask_path(server + path)}"
    # A password may hold @ / ? # where somebody forgot to percent-encode them, or the @ belongs to
    # the value of a query. Either way nothing before the last @ is shown; nor after it, where it
    # may stand in a value.
    before, _, after = rest.rpartition("@")
    several = "@" in before or _SERVER.fullmatch(server)
    if "=" in before or ("#" in before and several):
        return f"{scheme}://***"
    return f"{scheme}://***@{mask_path(after)}"


def authority_of(rest: str) -> str:
    """Return the part of a URL behind its `://` that names user, password, host and port."""
    return re.split("[/?#]", rest, maxsplit=1)[0]


def has_unclear_login(rest: str) -> bool:
    """Return whether an @ behind the authority may end a password that is not percent-encoded.

    It does not where the authority names an IP address, which is no user, or where there is no
    colon between a user and a password and the @ stands in a query's value or the fragment.
    """
    authority = authority_of(rest)
    path = rest[len(authority) :]
    if "@" not in path:
        return False
    if _IP_SERVER.fullmatch(authority.rpartition("@")[2]):
        return False
    before = rest.rpartition("@")[0]
    if "@" in authority or ":" in before:
        return True
    path_alone, _, query = re.split("#", path, maxsplit=1)[0].partition("?")
    return "@" in path_alone or any(
        "@" in piece.partition("=")[0] for piece in query.split("&") if "@" in piece
    )


def mask_path(path: str) -> str:
    """Replace the secrets in path, query and fragment, which may follow a server's name."""
    path, mark, fragment = path.partition("#")
    masked = "&".join(mask_pieces(path.split("&")))
    if not mark:
        return masked
    name, equals, _ = fragment.partition("=")
    shown = f"{name}=***" if equals and _SECRET.fullmatch(name) else "***"
    return f"{masked}#{shown}"


def is_path_alone(rest: str) -> bool:
    """Return True where the rest of a file:// URL is a path alone: @ and = belong to its names."""
    host, slash, path = rest.partition("/")
    return (
        bool(slash)
        and host.lower() in ("", "localhost")
        and not any(mark in path for mark in ("://", "?", "#"))
    )


def mask_pieces(pieces: list[str]) -> Iterator[str]:
    """Yield the pieces between two &, without their secrets, which may hold an & themselves."""
    after_secret = False
    for piece in pieces:
        masked = mask_piece(piece)
        if after_secret and not _USUAL_NAME.fullmatch(piece.partition("=")[0]):
            masked = "***"
        after_secret |= masked != piece
        yield masked


def mask_piece(piece: str) -> str:
    """Replace the secret in a piece between two &.

    Some cameras take `/user=admin&password=…` as well as `?token=…`. A value that is long or holds
    an @ is taken for a secret whatever its name.
    """
    words = piece.split("=")
    for index, word in enumerate(words[:-1]):
        name = re.split("[/?;#]", word)[-1]
        if _SECRET.search(unquote(name)):
            return "=".join([*words[: index + 1], "***"])
    if len(words) > 1 and (len(words[-1]) >= _LONG_VALUE or "@" in words[-1]):
        return "=".join([*words[:-1], "***"])
    return piece


def of_server(options: Mapping[str, Any]) -> str:
    """Return the address of a Redis client's server, without user and password.

    options: the keyword arguments of its connections.
    """
    if "path" in options:
        return str(options["path"])
    return f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"


def is_file(url: str) -> bool:
    """Return whether a camera's url names a file."""
    return url.startswith("/") or url[:5].lower() == "file:"


def check(url: str, media_dir: Path) -> None:
    """Raise SourceRefusedError, with the reason, unless `url` is one that Lookout opens."""
    if not url or any(ord(character) < 0x21 for character in url if character != " "):
        raise SourceRefusedError(
            "the url is empty or holds control characters", code="address_empty"
        )
    if is_file(url):
        file_path(url, media_dir)
    else:
        check_rtsp(url)


def file_path(url: str, media_dir: Path) -> Path:
    """Return the file that a `file:///` URL or absolute path names, links followed.

    Raises SourceRefusedError when it is not below the media folder, or when the folder is here and
    the file is not.
    """
    try:
        return media_file(url, media_dir)
    except (ValueError, OSError, RuntimeError):  # a zero byte, a name too long, links in a circle
        raise SourceRefusedError(
            "the file's name cannot be used (file:///absolute/path or an absolute path)",
            code="address_file",
        ) from None


def recording_path(name: str, media_dir: Path) -> Path:
    """Return the file of a name below the media folder; the folder itself may stand before it.

    Raises SourceRefusedError as `file_path` does.
    """
    return file_path(str(media_dir.absolute() / name), media_dir)


def media_file(url: str, media_dir: Path) -> Path:
    """Return the file below the media folder that a url names.

    Raises SourceRefusedError, ValueError, OSError or RuntimeError.
    """
    path = parse_file_url(url).resolve()
    if not path.is_relative_to(media_dir.resolve()):
        raise SourceRefusedError(
            "the file is not below the media folder (LOOKOUT_MEDIA_DIR)", code="address_outside"
        )
    if media_dir.is_dir() and not path.is_file():
        if path.exists():
            raise SourceRefusedError(
                "there is a folder, pipe or device of this name, and no file",
                code="address_no_file",
            )
        raise SourceRefusedError(
            "there is no such file in the media folder", code="address_no_file"
        )
    return path


def parse_file_url(url: str) -> Path:
    """Return the path of a file:// URL or absolute path. Raises SourceRefusedError."""
    if url.startswith("/"):
        return Path(url)
    parts = urlsplit(url)
    if parts.netloc.lower() not in ("", "localhost") or not parts.path.startswith("/"):
        raise SourceRefusedError("a file is named file:///absolute/path", code="address_file")
    if "?" in url or "#" in url:
        raise SourceRefusedError(
            "percent-encode ? # % in a file:// url (%3F %23 %25), or give the path alone",
            code="address_file_encode",
        )
    return Path(unquote(parts.path))


def check_rtsp(url: str) -> None:
    """Raise SourceRefusedError, with the reason, unless `url` is a usable RTSP address."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        port = parts.port  # raises ValueError where it is no number
    except ValueError:
        raise SourceRefusedError(
            f"the url cannot be read: {SERVER_FORM}", code="address_server"
        ) from None
    if parts.scheme not in ("rtsp", "rtsps"):
        raise SourceRefusedError(
            "a camera is rtsp://, rtsps://, file:/// or an absolute path below the media folder",
            code="address_form",
        )
    if any(map(must_be_encoded, url)):
        raise SourceRefusedError(
            "the url holds a space, a quote, < > \\ or an invisible character; percent-encode it "
            "(%20 %22 %27 %3C %3E %5C)",
            code="address_encode",
        )
    rest = url.partition("://")[2]
    authority = authority_of(rest)
    if "#" in rest or has_unclear_login(rest):
        raise SourceRefusedError(
            f"the url can be read in two ways; {ENCODE}", code="address_two_ways"
        )
    login, _, server = authority.rpartition("@")
    check_login(login)
    if not host:
        raise SourceRefusedError("the url names no host", code="address_no_host")
    if not host.isascii():
        form = ascii_form(host)
        hint = f"its ASCII form, {form}" if form else "its ASCII form (xn--…)"
        raise SourceRefusedError(
            f"the host's name holds letters that libav does not look up; write {hint}",
            code="address_ascii",
            form=form or "xn--…",
        )
    if port == 0 or not is_usable_host(server.removesuffix(f":{port}")):
        raise SourceRefusedError(
            f"the host's name or port cannot be used: {SERVER_FORM}", code="address_server"
        )
    if len(rest[len(authority) :].encode()) > MAX_PATH:
        raise SourceRefusedError(
            f"path and query are longer than {MAX_PATH} bytes",
            code="address_long_path",
            most=MAX_PATH,
        )


def is_usable_host(host: str) -> bool:
    """Return whether a host can be an address, in brackets if of IPv6, or a name of the DNS."""
    labels = host.removesuffix(".").split(".")
    return (
        _HOST.fullmatch(host) is not None
        and len(host) <= MAX_HOST
        and all(0 < len(label) <= MAX_LABEL for label in labels)
    )


def ascii_form(host: str) -> str | None:
    """Return a host's name as the DNS has it (IDNA); None where it is unclear which one is meant.

    Python knows the rules of 2003 alone, which make another name of ß and a few other letters.
    """
    try:
        form = host.encode("idna")
        is_meant = form.decode("idna") == host and is_usable_host(form.decode())
        return form.decode() if is_meant else None
    except UnicodeError:
        return None


def check_login(login: str) -> None:
    """Raise SourceRefusedError unless libav passes on user and password as they are meant.

    login: `user:password` as it stands in the url.
    """
    if _STRAY_PERCENT.search(login):
        raise SourceRefusedError(f"a % in the url begins no code; {ENCODE}", code="address_percent")
    if len(login.encode()) > MAX_LOGIN:
        raise SourceRefusedError(
            f"user and password are longer than {MAX_LOGIN} bytes, percent-encoded",
            code="address_long_login",
            most=MAX_LOGIN,
        )
    user = login.partition(":")[0]
    if ":" in unquote(user):
        raise SourceRefusedError(
            "the user's name holds a colon, which no log-in can", code="address_colon"
        )
    if any(character in unquote(login) for character in "\0\r\n"):
        raise SourceRefusedError(
            "user or password holds a zero byte or the end of a line", code="address_line_end"
        )


def must_be_encoded(character: str) -> bool:
    """Return True for spaces, invisible characters, and characters that end a url in a text."""
    return character in _TO_BE_ENCODED or unicodedata.category(character)[0] in "CZ"
