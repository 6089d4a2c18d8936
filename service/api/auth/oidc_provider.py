"""An OpenID provider: where it sends a browser, and what its answer says of a person.

The authorization code flow with PKCE (RFC 7636), state and nonce. The provider's document and keys
are read when they are first needed and then each hour. Everything is asked within ASK_S, and only
of the issuer's own host and those of LOOKOUT_OIDC_HOSTS.
"""

from __future__ import annotations

import threading
import time
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import BaseModel, TypeAdapter, ValidationError

from lookout.service.api.auth.oidc import Admission, Attempt, OidcError, ProviderAwayError, shown
from lookout.service.api.auth.oidc_claims import ClaimReader
from lookout.service.core.errors import SettingsError
from lookout.service.core.settings import Settings, check_issuer

ASK_S = 10.0
WAIT_S = 5.0  # for a connection, and for each part of an answer
LARGEST_BYTES = 1024 * 1024
KEPT_S = 3600.0
AGAIN_S = 5.0  # after a failure; meanwhile nobody waits for a provider that is away
KEYS_EVERY_S = 10.0  # an answer that names an unknown key has them read again


class ProviderDocument(BaseModel):
    """The parts that are used of `/.well-known/openid-configuration`."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str | None = None


class Provider:
    """The provider of the settings."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError: none is set, or the client's secret cannot be read."""
        if settings.oidc_issuer is None or settings.oidc_client_id is None:
            raise SettingsError("no OpenID provider is set (LOOKOUT_OIDC_ISSUER)")
        self.issuer = settings.oidc_issuer
        self.host = urlsplit(self.issuer).hostname or ""
        self.name = settings.oidc_name or self.host
        self.login_s = settings.oidc_login_h * 3600
        self._scopes = settings.oidc_scopes
        self._client_id = settings.oidc_client_id
        self._secret = client_secret(settings)
        extra = {host.strip() for host in settings.oidc_hosts.split(",") if host.strip()}
        self._hosts = extra | {self.host}
        self._claims = ClaimReader(settings, self.issuer, self.host, self._client_id)
        self._reading = threading.Lock()
        self._document: ProviderDocument | None = None
        self._keys: KeySet | None = None
        self._read_at = 0.0  # s, monotonic
        self._failure = ""
        self._failed_at = 0.0
        self._keys_read_at = 0.0

    def address(self, attempt: Attempt) -> str:
        """Return where the browser goes to log in. Raises OidcError."""
        address: str = prepare_grant_uri(
            self.document().authorization_endpoint,
            client_id=self._client_id,
            response_type="code",
            redirect_uri=attempt.redirect_uri,
            scope=self._scopes,
            state=attempt.state,
            nonce=attempt.nonce,
            code_challenge=create_s256_code_challenge(attempt.verifier),
            code_challenge_method="S256",
        )
        return address

    def log_out_address(self) -> str | None:
        """Return where the provider ends its own log-in; None where it has no such page.

        Raises OidcError.
        """
        end = self.document().end_session_endpoint
        if end is None:
            return None
        joint = "&" if "?" in end else "?"
        return f"{end}{joint}{urlencode({'client_id': self._client_id})}"

    def admit(self, attempt: Attempt, code: str) -> Admission:
        """Exchange a code for what its person may do here. Raises OidcError."""
        document = self.document()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": attempt.redirect_uri,
            "code_verifier": attempt.verifier,
        }
        auth = None
        if self._secret is None:
            form["client_id"] = self._client_id
        else:
            auth = (quote(self._client_id, safe=""), quote(self._secret, safe=""))
        answer = self.ask("POST", document.token_endpoint, data=form, auth=auth)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise ProviderAwayError(f"{self.host} answers without an ID token: is `openid` asked?")
        claims = self.claims_of(token, attempt, answer.get("access_token"))
        return self._claims.admission(claims)

    def claims_of(self, token: str, attempt: Attempt, access_token: Any) -> dict[str, Any]:
        """Return the claims of an ID token that is valid. Raises OidcError."""
        keys = self.keys()
        if not self._claims.knows_key(token, keys):
            keys = self.keys(older_than_s=KEYS_EVERY_S)
        return self._claims.valid(token, keys, attempt.nonce, access_token)

    def keys(self, older_than_s: float = KEPT_S) -> KeySet:
        """Return the keys that the provider signs with, read anew after so long.

        Raises OidcError.
        """
        document = self.document()
        with self._reading:
            if self._keys is None or time.monotonic() - self._keys_read_at > older_than_s:
                self._keys = self.read_keys(document.jwks_uri)
                self._keys_read_at = time.monotonic()
            return self._keys

    def document(self) -> ProviderDocument:
        """Return the provider's document, read anew each hour. Raises OidcError."""
        with self._reading:
            now = time.monotonic()
            if self._document is not None and now - self._read_at <= KEPT_S:
                return self._document
            if self._failure and now - self._failed_at < AGAIN_S:
                raise ProviderAwayError(self._failure)
            try:
                self._document = self.read()
            except OidcError as error:
                self._failure = str(error)
                self._failed_at = time.monotonic()
                raise
            self._failure = ""
            self._read_at = time.monotonic()
            return self._document

    def read(self) -> ProviderDocument:
        """Read the document. Raises OidcError."""
        url = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            document = ProviderDocument.model_validate(self.ask("GET", url))
        except ValidationError as error:
            fields = ", ".join(str(part["loc"][0]) for part in error.errors())
            raise ProviderAwayError(f"the document of {self.host} lacks {fields}") from None
        if document.issuer != self.issuer:
            raise ProviderAwayError(
                f"{self.host} calls itself {shown(document.issuer)}, and LOOKOUT_OIDC_ISSUER is "
                f"{self.issuer}: both have to be the same"
            )
        addresses = document.model_dump(exclude={"issuer"}, exclude_none=True)
        for name, address in addresses.items():
            self.check_address(name, address)
        return document

    def check_address(self, name: str, address: str) -> None:
        """Raise ProviderAwayError where the document leads to a host that nobody has allowed."""
        host = urlsplit(address).hostname or ""
        if host not in self._hosts:
            raise ProviderAwayError(
                f"the document of {self.host} names the host {shown(host)} as {name}: add it to "
                "LOOKOUT_OIDC_HOSTS, or do not trust it"
            )
        try:
            check_issuer(address.partition("?")[0])
        except ValueError:
            raise ProviderAwayError(f"the {name} of {self.host} is not encrypted") from None

    def read_keys(self, url: str) -> KeySet:
        """Read the keys that the provider signs with. Raises OidcError."""
        try:
            return KeySet.import_key_set(self.ask("GET", url))  # type: ignore[arg-type]
        except (JoseError, ValueError, KeyError, TypeError):
            raise ProviderAwayError(f"the keys of {self.host} cannot be read") from None

    def ask(self, method: str, url: str, **more: Any) -> dict[str, Any]:
        """Return the JSON object of an answer. Raises OidcError."""
        try:
            status, body = fetch(method, url, **more)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ProviderAwayError(f"{self.host} cannot be reached: {reason}") from None
        try:
            answer = TypeAdapter(dict[str, Any]).validate_json(body)
        except ValidationError:
            raise ProviderAwayError(f"{self.host} answers {status}, and no JSON object") from None
        if status != 200:
            word = shown(answer.get("error", "without a reason"))
            raise OidcError(f"{self.host} answers {status}: {word}")
        return answer


def client_secret(settings: Settings) -> str | None:
    """Return the client's secret, None where it has none. Raises SettingsError."""
    path = settings.oidc_client_secret_file
    if path is None:
        return None
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it holds more than text"
        raise SettingsError(
            f"LOOKOUT_OIDC_CLIENT_SECRET_FILE: {path} cannot be read: {reason}"
        ) from None
    if not secret:
        raise SettingsError(f"LOOKOUT_OIDC_CLIENT_SECRET_FILE: {path} is empty")
    return secret


def fetch(method: str, url: str, **more: Any) -> tuple[int, bytes]:
    """Return status and body of an answer; no redirect is followed.

    Raises httpx.HTTPError, and OSError for an answer that is too large or takes longer than ASK_S.
    """
    ends_at = time.monotonic() + ASK_S
    body = b""
    headers = {"Accept": "application/json"}
    with httpx.stream(method, url, headers=headers, timeout=WAIT_S, **more) as answer:
        for part in answer.iter_bytes():
            body += part
            if len(body) > LARGEST_BYTES:
                raise OSError(f"its answer is larger than {LARGEST_BYTES} bytes")
            if time.monotonic() > ends_at:
                raise OSError(f"its answer takes longer than {ASK_S:.0f} s")
        return answer.status_code, body
