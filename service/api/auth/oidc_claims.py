"""The ID token of an OpenID provider: whether it is valid, and what its person may do here."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import ClaimError, ExpiredTokenError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import extract_compact
from pydantic import TypeAdapter, ValidationError

from lookout.service.api.auth.oidc import Admission, NoRoleError, OidcError, Person, shown
from lookout.service.core.accounts import OF_PROVIDER, RESERVED, ROLES, AccountName
from lookout.service.core.camera import CameraId
from lookout.service.core.settings import Settings, role_rules

LEEWAY_S = 60  # that both clocks may differ by
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""By a key pair alone: with `none` or the client's secret others could sign."""

MOST_CAMERAS = 1000
NAME = TypeAdapter(AccountName)
CAMERAS = TypeAdapter(list[CameraId])


class ClaimReader:
    """Reads ID tokens, by the settings."""

    def __init__(self, settings: Settings, issuer: str, host: str, client_id: str) -> None:
        """host: the issuer's, for people."""
        self._settings = settings
        self._issuer = issuer
        self._host = host
        self._client_id = client_id
        self._roles = role_rules(settings.oidc_roles)

    def knows_key(self, token: str, keys: KeySet) -> bool:
        """Tell whether a token's key is one of these; one that names none may be any."""
        try:
            kid = extract_compact(token.encode()).headers().get("kid")
        except (JoseError, ValueError):
            return True  # no token: `valid` says so
        return kid is None or any(key.kid == kid for key in keys.keys)

    def valid(self, token: str, keys: KeySet, nonce: str, access_token: Any) -> dict[str, Any]:
        """Return the claims of a token that is signed, for us, and of now. Raises OidcError."""
        try:
            found = jwt.decode(token, keys, ALGORITHMS)
        except (JoseError, ValueError) as error:
            raise OidcError(
                f"the answer of {self._host} is not signed as it should be: {error}"
            ) from None
        claims = CodeIDToken(
            found.claims,
            found.header,
            {
                "iss": {"essential": True, "value": self._issuer},
                "aud": {"essential": True, "value": self._client_id},
            },
            {"nonce": nonce, "client_id": self._client_id, "access_token": access_token},
        )
        try:
            claims.validate(leeway=LEEWAY_S)
        except ClaimError as error:
            raise OidcError(self.wrong_claim(error, claims)) from None
        except (ValueError, TypeError, KeyError):
            raise OidcError(f"the answer of {self._host} cannot be read") from None
        return dict(claims)

    def wrong_claim(self, error: ClaimError, claims: Mapping[str, Any]) -> str:
        """Return what is wrong with an answer."""
        name = str(error.claim)
        found = shown(claims.get(name, "nothing"))
        if isinstance(error, ExpiredTokenError):
            ago_s = time.time() - claims["exp"]
            return (
                f"the answer of {self._host} expired {ago_s:.0f} s ago: is a clock wrong, its or "
                "this machine's?"
            )
        if name in ("iat", "nbf") and isinstance(claims.get(name), int | float):
            ahead_s = claims[name] - time.time()
            return (
                f"the answer of {self._host} is from {ahead_s:.0f} s ahead: is a clock wrong, its "
                "or this machine's?"
            )
        reasons = {
            "iss": f"the answer is of another issuer, {found}, and not of {self._issuer}",
            "aud": f"the answer is for another program, {found}, and not for {self._client_id}",
            "nonce": "the answer is to another log-in: begin again",
        }
        return reasons.get(name, f"the answer of {self._host} has a wrong {name!r}")

    def admission(self, claims: Mapping[str, Any]) -> Admission:
        """Return what the person of valid claims may do here. Raises OidcError."""
        settings = self._settings
        name = claim_at(claims, settings.oidc_name_claim)
        try:
            NAME.validate_python(name, strict=True)
        except ValidationError:
            name = None
        if name is None or name in RESERVED:
            raise OidcError(
                f"{self._host} gives no name that a user can have (letters, digits and . _ @ -, up "
                f"to 64): see LOOKOUT_OIDC_NAME_CLAIM, now {settings.oidc_name_claim!r}"
            )
        subject = hashlib.sha256(f"{self._issuer}\n{claims['sub']}".encode()).hexdigest()
        person = Person(name, OF_PROVIDER + subject)
        values = {"*", *texts(claim_at(claims, settings.oidc_role_claim))}
        roles = [role for value, role in self._roles.items() if value in values]
        if not roles:
            raise NoRoleError(
                person,
                f"{name} has no role here: {self._host} says nothing in "
                f"{settings.oidc_role_claim!r} that LOOKOUT_OIDC_ROLES names; ask an admin",
                code="oidc_no_role",
                name=name,
                host=self._host,
            )
        role = max(roles, key=ROLES.index)
        if role == "admin" or settings.oidc_cameras_claim is None:
            return Admission(person, role, None)
        wanted = texts(claim_at(claims, settings.oidc_cameras_claim))
        try:
            cameras = sorted(set(CAMERAS.validate_python(wanted)))
        except ValidationError:
            cameras = []
        if not 1 <= len(cameras) <= MOST_CAMERAS:
            raise NoRoleError(
                person,
                f"{name} sees no camera here: {self._host} lists none in "
                f"{settings.oidc_cameras_claim!r}; ask an admin",
                code="oidc_no_camera",
                name=name,
                host=self._host,
            )
        return Admission(person, role, cameras)


def claim_at(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim by its name, or by the path of it: `realm_access.roles`."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def texts(value: Any) -> list[str]:
    """Return the texts of a claim that is a text or a list."""
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str)]
