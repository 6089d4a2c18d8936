"""Web push: messages that a browser's push service passes on and cannot read.

A browser's subscription has keys by which a message is encrypted (RFC 8291). The service has a key
of its own by which push services know it (VAPID, RFC 8292). pywebpush is imported where it is
needed: an extra installs it.
"""

from __future__ import annotations

import base64
import hashlib
import time
from typing import Annotated, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, model_validator

from lookout.service.core.camera import STRICT

KNOWN_FOR_S = 12 * 3600  # at most 24 h, by RFC 8292
KEPT_FOR_S = 24 * 3600
"""So long a push service keeps a message for a browser that is away."""

TOPIC_CHARACTERS = 32
EXAMPLE_KEY = (
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
)
"""A point of the curve P-256, of RFC 8291."""


class PushKeys(BaseModel):
    """The keys of a browser's subscription, as `PushSubscription.toJSON()` has them."""

    model_config = STRICT

    p256dh: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{87}=?$")] = Field(
        description="public key of the browser, on the curve P-256",
        examples=[EXAMPLE_KEY],
    )
    auth: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{22}(==)?$")] = Field(
        description="secret that the browser shares with Lookout; never shown",
        examples=["BTBZMqHH6r4Tts7J_aSIgg"],
        repr=False,
    )

    @model_validator(mode="after")
    def check_point(self) -> Self:
        """Raise ValueError where the public key is none."""
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

        try:
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unpadded(self.p256dh))
        except ValueError:
            raise ValueError("p256dh is no point of the curve P-256") from None
        return self


class PushRequest(NamedTuple):
    """Headers and body of a POST to a push service."""

    headers: dict[str, str]
    body: bytes


def unpadded(text: str) -> bytes:
    """Return the bytes of a base64url text without its padding."""
    return base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))


def encoded(data: bytes) -> str:
    """Return bytes as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def new_private_key() -> str:
    """Return a new key of the service: the number of a key on P-256, as base64url."""
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    number = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
    return encoded(number.to_bytes(32, "big"))


def public_key(private_key: str) -> str:
    """Return the public key of the service, as a browser's `applicationServerKey`."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    number = int.from_bytes(unpadded(private_key), "big")
    key = ec.derive_private_key(number, ec.SECP256R1()).public_key()
    form = serialization.PublicFormat.UncompressedPoint
    return encoded(key.public_bytes(serialization.Encoding.X962, form))


def push_request(
    url: str, keys: PushKeys, private_key: str, contact: str, message: bytes, topic: str
) -> PushRequest:
    """Return the request that sends a message to a subscription.

    contact: `mailto:` or `https://`, for the push service's operator; message: up to 3,993 bytes;
    topic: a later message of the same one takes the place of one that still waits.
    Raises ImportError.
    """
    from py_vapid import Vapid02  # noqa: PLC0415
    from pywebpush import WebPusher  # noqa: PLC0415

    server = urlsplit(url)
    claims = {
        "sub": contact,
        "aud": f"{server.scheme}://{server.netloc}",
        "exp": int(time.time()) + KNOWN_FOR_S,
    }
    signed = Vapid02.from_raw(private_key.encode()).sign(claims)
    body = WebPusher({"endpoint": url, "keys": keys.model_dump()}).encode(message)["body"]
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Encoding": "aes128gcm",
        "TTL": str(KEPT_FOR_S),
        "Urgency": "high",
        "Topic": encoded(hashlib.sha256(topic.encode()).digest())[:TOPIC_CHARACTERS],
        **signed,
    }
    return PushRequest(headers, body)
