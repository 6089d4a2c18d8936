# ruff: noqa: ARG002, ARG005  authlib names the arguments of what it calls
"""A small OpenID provider on loopback, by authlib: one client, one person, and every mistake."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import flask
import werkzeug.serving
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, InvalidRequestError
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import UserInfo
from authlib.oidc.core.grants import OpenIDCode
from joserfc.jwk import KeySet, RSAKey

CLIENT_ID = "lookout"
SECRET = "a-secret:of the/client"  # noqa: S105


class Client(ClientMixin):  # type: ignore[misc]
    """The one client, which may come back to `redirect_uris`."""

    def __init__(self, redirect_uris: list[str]) -> None:
        self.redirect_uris = redirect_uris

    def get_client_id(self) -> str:
        return CLIENT_ID

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uris[0]

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass
class Code:
    """A code that was given out: a class of what authlib asks for."""

    code: str
    redirect_uri: str
    scope: str
    nonce: str
    code_challenge: str
    code_challenge_method: str

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str:
        return self.nonce

    def get_auth_time(self) -> int:
        return int(time.time())

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


@dataclass
class OidcProvider:
    """The answers of the provider; a test changes them."""

    url: str
    redirect_uris: list[str] = field(default_factory=list)
    claims: dict[str, Any] = field(default_factory=dict)  # of the person
    token: dict[str, Any] = field(default_factory=dict)  # in the place of true claims of the token
    document: dict[str, Any] = field(default_factory=dict)  # in the place of true addresses
    refuses: str = ""  # an error in the place of a code
    key: RSAKey = field(default_factory=lambda: new_key("first"))
    published: list[RSAKey] = field(default_factory=list)
    codes: dict[str, Code] = field(default_factory=dict)
    ended: list[dict[str, str]] = field(default_factory=list)  # queries of the page that logs out

    def set_up(self) -> None:
        """Be an honest provider again, with a person of the group `guards`."""
        self.claims = {"sub": "1", "preferred_username": "anna", "groups": ["guards"]}
        self.token, self.document, self.refuses = {}, {}, ""
        self.published = [self.key]
        self.codes.clear()
        self.ended.clear()


def new_key(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"}, private=True)


def server_of(provider: OidcProvider, app: flask.Flask) -> AuthorizationServer:
    """Return authlib's server with the code flow, PKCE and ID tokens."""

    class Grant(AuthorizationCodeGrant):  # type: ignore[misc]
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)

        def save_authorization_code(self, code: str, request: Any) -> None:
            sent = request.payload.data
            provider.codes[code] = Code(
                code,
                request.payload.redirect_uri,
                request.payload.scope,
                sent["nonce"],
                sent["code_challenge"],
                sent["code_challenge_method"],
            )

        def query_authorization_code(self, code: str, client: Client) -> Code | None:
            return provider.codes.get(code)

        def delete_authorization_code(self, authorization_code: Code) -> None:
            del provider.codes[authorization_code.code]

        def authenticate_user(self, authorization_code: Code) -> dict[str, Any]:
            return provider.claims

    class IdToken(OpenIDCode):  # type: ignore[misc]
        def exists_nonce(self, nonce: str, request: Any) -> bool:
            return any(code.nonce == nonce for code in provider.codes.values())

        def resolve_client_private_key(self, client: Client) -> RSAKey:
            return provider.key

        def get_encode_header(self, client: Client) -> dict[str, str]:
            return {"alg": "RS256", "kid": str(provider.key.kid)}

        def get_client_algorithm(self, client: Client) -> str:
            return "RS256"

        def get_client_claims(self, client: Client) -> dict[str, Any]:
            now = int(time.time())
            return {"iss": provider.url, "aud": [CLIENT_ID], "iat": now, "exp": now + 300}

        def get_compatible_claims(self, request: Any) -> dict[str, Any]:
            return self.get_client_claims(request.client)

        def get_authorization_code_claims(self, authorization_code: Code) -> dict[str, Any]:
            return {**super().get_authorization_code_claims(authorization_code), **provider.token}

        def generate_user_info(self, user: dict[str, Any], scope: str) -> UserInfo:
            return UserInfo(user)

    client = Client(provider.redirect_uris)
    server = AuthorizationServer(
        app,
        query_client=lambda name: client if name == CLIENT_ID else None,
        save_token=lambda token, request: None,
    )
    server.register_grant(Grant, [IdToken(require_nonce=True), CodeChallenge(required=True)])
    return server


def app_of(provider: OidcProvider) -> flask.Flask:
    app = flask.Flask("provider")
    server = server_of(provider, app)

    @app.get("/.well-known/openid-configuration")
    def document() -> Any:
        names = {
            "authorization_endpoint": "authorize",
            "token_endpoint": "token",
            "jwks_uri": "keys",
            "end_session_endpoint": "log-out",
        }
        addresses = {name: f"{provider.url}/{path}" for name, path in names.items()}
        return {"issuer": provider.url, **addresses, **provider.document}

    @app.get("/keys")
    def keys() -> Any:
        return KeySet([*provider.published]).as_dict(private=False)

    @app.get("/authorize")
    def authorize() -> Any:
        """Let the person in at once, as where they are logged in already."""
        if provider.refuses:
            back, state = flask.request.args["redirect_uri"], flask.request.args["state"]
            return flask.redirect(f"{back}?error={provider.refuses}&state={state}")
        if flask.request.args.get("code_challenge_method") != "S256":
            raise InvalidRequestError("this provider wants PKCE")
        grant = server.get_consent_grant(end_user=provider.claims)
        return server.create_authorization_response(grant_user=provider.claims, grant=grant)

    @app.post("/token")
    def token() -> Any:
        return server.create_token_response()

    @app.get("/log-out")
    def log_out() -> Any:
        provider.ended.append(dict(flask.request.args))
        return flask.redirect(flask.request.args["post_logout_redirect_uri"])

    return app


@contextlib.contextmanager
def running_provider() -> Iterator[OidcProvider]:
    """Run a provider in a thread of this process, on a port of its own."""
    provider = OidcProvider("")
    server = werkzeug.serving.make_server("127.0.0.1", 0, app_of(provider), threaded=True)
    provider.url = f"http://127.0.0.1:{server.server_port}"
    provider.set_up()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
