"""Addresses: which ones of cameras are taken, and how any is shown without its password."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lookout.service.core.errors import SourceRefusedError

# ASCII whitespace alone ends an address in a text: a password may hold quotes, brackets and other
# spaces.
_URL = re.compile(r"(?i)\b[a-z][a-z0-9+.-]{0,30}://[^ \t\n\r\f\v]*")
_ENCODED_URL = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,30}%3a%2f%2f)[^ \t\n\r\f\v]*")
_ANOTHER_URL = re.compile(r"\s\S*://")
_SECRET = re.compile(r"(?i)user|usr|login|pas|pw|token|secret|key|auth|cred|^[up]$")
_TO_BE_ENCODED = frozenset("\"'`<>\\")


def mask(text: str) -> str:
    """Replace user and password in every URL of `text`.

    Values of a path or query whose names say that they are secrets are replaced, too. A text that
    begins with an address and names no other is taken for one address, spaces and all: it may lose
    more than its password, never show it.
    """
    text = _ENCODED_URL.sub(r"\1***", text)  # a part of another address
    if _URL.match(text) and not _ANOTHER_URL.search(text):
        return mask_url(text)
    return _URL.sub(lambda found: mask_url(found[0]), text)


def mask_url(url: str) -> str:
    """Replace user, password and named secrets in one URL."""
    scheme, _, rest = url.partition("://")
    if scheme.lower() == "file" and is_path_alone(rest):
        return url
    # Up to the last @: a password may hold @, / and : where somebody forgot to percent-encode it.
    if "@" in rest:
        rest = "***@" + rest.rpartition("@")[2]
    return f"{scheme}://" + "&".join(mask_piece(piece) for piece in rest.split("&"))


def is_path_alone(rest: str) -> bool:
    """Return True where the rest of a file:// URL is a path alone: @ and = belong to its names."""
    host, slash, path = rest.partition("/")
    return (
        bool(slash)
        and host in ("", "localhost")
        and not any(mark in path for mark in ("://", "?", "#"))
    )


def mask_piece(piece: str) -> str:
    """Replace the secret in a piece between two &.

    Some cameras take `/user=admin&password=…` as well as `?token=…`.
    """
    words = piece.split("=")
    for index, word in enumerate(words[:-1]):
        name = re.split("[/?;#]", word)[-1]
        if _SECRET.search(unquote(name)):
            return "=".join([*words[: index + 1], "***"])
    return piece


def of_server(options: Mapping[str, Any]) -> str:
    """Return the address of a Redis client's server, without user and password.

    options: the keyword arguments of its connections.
    """
    if "path" in options:
        return str(options["path"])
    return f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"


def is_file(url: str) -> bool:
    return url.startswith(("/", "file:"))


def check(url: str, media_dir: Path) -> None:
    """Raise SourceRefusedError, with the reason, unless `url` is one that Lookout opens."""
    if not url or any(ord(character) < 0x21 for character in url if character != " "):
        raise SourceRefusedError("the url is empty or holds control characters")
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
            "the file's name cannot be used (file:///absolute/path or an absolute path)"
        ) from None


def media_file(url: str, media_dir: Path) -> Path:
    """Return the file below the media folder that a url names.

    Raises SourceRefusedError, ValueError, OSError or RuntimeError.
    """
    path = parse_file_url(url).resolve()
    if not path.is_relative_to(media_dir.resolve()):
        raise SourceRefusedError("the file is not below the media folder (LOOKOUT_MEDIA_DIR)")
    if media_dir.is_dir() and not path.is_file():
        raise SourceRefusedError("there is no such file in the media folder")
    return path


def parse_file_url(url: str) -> Path:
    """Return the path of a file:// URL or absolute path. Raises SourceRefusedError."""
    if url.startswith("/"):
        return Path(url)
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise SourceRefusedError("a file is named file:///absolute/path")
    return Path(unquote(parts.path))


def check_rtsp(url: str) -> None:
    """Raise SourceRefusedError, with the reason, unless `url` is a usable RTSP address."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port  # raises ValueError where it is no number
    except ValueError:
        raise SourceRefusedError(
            "the url cannot be read; percent-encode @ / : % in its user and password "
            "(%40 %2F %3A %25)"
        ) from None
    if parts.scheme not in ("rtsp", "rtsps"):
        raise SourceRefusedError(
            "a camera is rtsp://, rtsps://, file:/// or an absolute path below the media folder"
        )
    if any(map(must_be_encoded, url)):
        raise SourceRefusedError(
            "the url holds a space, a quote, < > \\ or an invisible character; percent-encode it "
            "(%20 %22 %27 %3C %3E %5C)"
        )
    if not host:
        raise SourceRefusedError("the url names no host")


def must_be_encoded(character: str) -> bool:
    """Return True for spaces, invisible characters, and characters that end a url in a text."""
    return character in _TO_BE_ENCODED or unicodedata.category(character)[0] in "CZ"
