"""Camera addresses: which ones are taken, and how they are shown without their passwords."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from service.errors import SourceRefusedError

# Greedy up to the last @ of the word: a password may hold @, / and : where somebody forgot to percent-encode it.
_CREDENTIALS = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s\"'<>]*@")


def mask(text: str) -> str:
    """Replace user and password in every URL of `text`."""
    return _CREDENTIALS.sub(r"\1***@", text)


def is_file(url: str) -> bool:
    return url.startswith(("/", "file:"))


def check(url: str, media_dir: Path) -> None:
    """Raise SourceRefusedError, with the reason, unless `url` is one that Lookout opens."""
    if not url or any(ord(character) < 0x21 for character in url if character != " "):
        raise SourceRefusedError("the url is empty or holds control characters")
    if is_file(url):
        file_path(url, media_dir)
    else:
        _check_rtsp(url)


def file_path(url: str, media_dir: Path) -> Path:
    """The file that a `file:///` URL or absolute path names, links followed.

    Raises SourceRefusedError when it is not below the media folder, or when the folder is here and the file is not.
    """
    path = _plain_path(url).resolve()
    if not path.is_relative_to(media_dir.resolve()):
        raise SourceRefusedError("the file is not below the media folder (LOOKOUT_MEDIA_DIR)")
    if media_dir.is_dir() and not path.is_file():
        raise SourceRefusedError("there is no such file in the media folder")
    return path


def _plain_path(url: str) -> Path:
    if url.startswith("/"):
        return Path(url)
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise SourceRefusedError("a file is named file:///absolute/path")
    return Path(unquote(parts.path))


def _check_rtsp(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise SourceRefusedError(
            "the url cannot be read; percent-encode @ / : % in its user and password (%40 %2F %3A %25)"
        ) from None
    if parts.scheme not in ("rtsp", "rtsps"):
        raise SourceRefusedError("a camera is rtsp://, rtsps://, file:/// or an absolute path below the media folder")
    if not host or " " in url:
        raise SourceRefusedError("the url names no host, or holds a space")
