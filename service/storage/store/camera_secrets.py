"""Camera addresses in the store: encrypted, since they hold passwords.

A record's `url` is then without its password, and `sealed_url` holds the whole address, encrypted
by Fernet. Keys: `LOOKOUT_SECRET_KEY`, or the key file.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lookout.service.core import urls
from lookout.service.core.camera import Camera
from lookout.service.core.errors import SettingsError
from lookout.service.core.private_files import write_new_private
from lookout.service.core.settings import Settings, fernet_keys
from lookout.service.storage.redis import codec

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

FIELD = "sealed_url"


class CameraSecrets:
    """Writes and reads the records of cameras. Without a key, addresses are written as they are."""

    def __init__(self, keys: str | None = None, key_file: Path | None = None) -> None:
        """Read no key yet: a decoder, which needs none, never does.

        keys: as `LOOKOUT_SECRET_KEY` has them; key_file: holds them where `keys` is None.
        """
        self._given = keys
        self._key_file = key_file

    @classmethod
    def of(cls, settings: Settings) -> CameraSecrets:
        """Return the secrets by the settings."""
        if settings.secret_key is not None:
            return cls(settings.secret_key.get_secret_value())
        return cls(key_file=settings.secret_key_path)

    @property
    def has_key(self) -> bool:
        """Whether addresses are encrypted."""
        return bool(self._keys[0])

    def dump(self, camera: Camera) -> str:
        """Return the record of a camera; a file's address is no secret."""
        record = camera.model_dump(mode="json", exclude={"unreadable", "mark"})
        if self.has_key and not urls.is_file(camera.url):
            record |= {
                "url": urls.mask(camera.url),
                FIELD: self._keys[0][0].encrypt(camera.url.encode()).decode(),
            }
        return json.dumps(record, separators=(",", ":"))

    def load(self, text: bytes) -> Camera:
        """Return the camera of a record; `unreadable` says why its address cannot be decrypted.

        Raises BrokenMessageError.
        """
        camera = codec.read_camera(text)
        sealed = sealed_url(text)
        if sealed is None:
            return camera
        url, reason = self._decrypt(sealed)
        if url is None:
            return camera.model_copy(update={"unreadable": reason})
        return camera.model_copy(update={"url": url})

    def resealed(self, text: bytes) -> str | None:
        """Return a record as it is written now; None where it is written so, or unreadable.

        So plain records and those of an older key are encrypted with the first key.
        """
        camera = self.load(text)
        sealed = sealed_url(text)
        if camera.unreadable is not None or not self.has_key or urls.is_file(camera.url):
            return None
        if sealed is not None and decrypted(self._keys[0][0], sealed) is not None:
            return None
        return self.dump(camera)

    def seal(self, text: str) -> str | None:
        """Return a text encrypted; None where there is no key."""
        if not self.has_key:
            return None
        return self._keys[0][0].encrypt(text.encode()).decode()

    def unseal(self, sealed: str) -> tuple[str | None, str]:
        """Return a text that was encrypted, or None and why it cannot be decrypted."""
        return self._decrypt(sealed)

    @cached_property
    def _keys(self) -> tuple[list[Fernet], str]:
        """The keys, and why there is none."""
        from cryptography.fernet import Fernet  # noqa: PLC0415

        given = self._given
        if given is None:
            if self._key_file is None:
                return [], "there is no key (LOOKOUT_SECRET_KEY)"
            try:
                given = self._key_file.read_text(encoding="ascii").strip()
            except FileNotFoundError:
                return [], f"there is no key (LOOKOUT_SECRET_KEY, or the file {self._key_file})"
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or "it is no text"
                return [], f"the key file {self._key_file} cannot be read: {reason}"
        try:
            return [Fernet(key) for key in fernet_keys(given)], ""
        except ValueError as error:
            return [], f"the key file {self._key_file} holds no key: {error}"

    def _decrypt(self, sealed: str) -> tuple[str | None, str]:
        keys, reason = self._keys
        if not keys:
            return None, reason
        found = (decrypted(key, sealed) for key in keys)
        url = next((url for url in found if url is not None), None)
        return url, "it was encrypted with another key (LOOKOUT_SECRET_KEY, or the key file)"


def sealed_url(text: bytes) -> str | None:
    """Return the encrypted address of a record that can be read; None where it has none."""
    if FIELD.encode() not in text:
        return None
    sealed = json.loads(text).get(FIELD)
    return str(sealed) if sealed is not None else None


def decrypted(key: Fernet, sealed: str) -> str | None:
    """Return the address; None where it was encrypted with another key, or damaged."""
    from cryptography.fernet import InvalidToken  # noqa: PLC0415

    try:
        return key.decrypt(sealed.encode()).decode()
    except (InvalidToken, ValueError):
        return None


def prepare_key(settings: Settings) -> None:
    """Make the key file of an embedded store at its first start, for this user alone.

    Raises SettingsError where it cannot be made, or the key that is there cannot be used.
    """
    from cryptography.fernet import Fernet  # noqa: PLC0415

    if settings.secret_key is not None:
        return
    path = settings.secret_key_path
    try:
        if settings.store_url is None and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_new_private(path, Fernet.generate_key() + b"\n")
        if path.exists():
            fernet_keys(path.read_text(encoding="ascii").strip())
    except OSError as error:
        raise SettingsError(
            f"LOOKOUT_SECRET_KEY_FILE: {path} cannot be used: {error.strerror}"
        ) from None
    except ValueError as error:
        raise SettingsError(f"LOOKOUT_SECRET_KEY_FILE: {path} holds no key: {error}") from None
