"""Log-ins by an OpenID provider, authlib's own server on loopback, which errs where it is told."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from websockets.exceptions import ConnectionClosed

from lookout.service.api.app import create_app
from lookout.service.api.auth import oidc_login, oidc_provider
from lookout.service.api.auth.oidc import OidcError
from lookout.service.api.auth.token import COOKIE
from lookout.service.core.errors import SettingsError
from lookout.service.core.settings import load_settings
from lookout.service.storage.connections import open_bus, open_store
from lookout.service.storage.store.store import Store
from tests.conftest import Urls
from tests.e2e.browser import complaints
from tests.oidc_provider import CLIENT_ID, SECRET, OidcProvider, new_key, running_provider
from tests.service.api_server import (
    BEARER,
    TOKEN,
    Api,
    camera,
    free_port,
    is_problem,
    running_api,
    settings_for,
)
from tests.service.page_browser import at_size, chrome, is_live, one, text, violations
from tests.waiting import wait_until

__all__ = ["chrome"]

ROLES = "guards=operator, admins=admin, tv=viewer"


@pytest.fixture(scope="module")
def one_provider() -> Iterator[OidcProvider]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")  # of the provider alone: http on loopback
        with running_provider() as running:
            yield running


@pytest.fixture
def provider(one_provider: OidcProvider) -> OidcProvider:
    one_provider.set_up()
    return one_provider


@pytest.fixture
def given(provider: OidcProvider, tmp_path: Path) -> dict[str, Any]:
    """Settings of log-ins by the provider."""
    secret = tmp_path / "client-secret"
    secret.write_text(SECRET + "\n")
    return {
        "oidc_issuer": provider.url,
        "oidc_client_id": CLIENT_ID,
        "oidc_client_secret_file": secret,
        "oidc_roles": ROLES,
    }


@pytest.fixture
def api(urls: Urls, tmp_path: Path, given: dict[str, Any]) -> Iterator[Api]:
    settings = settings_for(urls, tmp_path, token=SecretStr(TOKEN), **given)
    with running_api(settings) as running:
        yield running


class Browser:
    """A browser that follows the provider's redirects, with a jar of cookies."""

    def __init__(self, api: Api, provider: OidcProvider) -> None:
        self.origin = f"http://127.0.0.1:{api.port}"
        provider.redirect_uris[:] = [f"{self.origin}/login"]
        self.http = httpx.Client(base_url=f"{self.origin}/api/v1", headers={"Origin": self.origin})

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_error: object) -> None:
        self.http.close()

    def begin(self) -> str:
        """Return the provider's address."""
        answer = self.http.post("/session/oidc")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["address"])

    def come_back(self, address: str) -> dict[str, str]:
        """Return what the provider sends the browser back with."""
        answer = httpx.get(address)
        assert answer.status_code == 302, answer.text
        back = urlsplit(answer.headers["location"])
        assert f"{back.scheme}://{back.netloc}{back.path}" == f"{self.origin}/login"
        return {name: values[0] for name, values in parse_qs(back.query).items()}

    def finish(self, sent: dict[str, str]) -> httpx.Response:
        return self.http.post("/session/oidc/login", json=sent)

    def log_in(self) -> httpx.Response:
        return self.finish(self.come_back(self.begin()))

    def me(self) -> dict[str, Any]:
        answer = self.http.get("/me")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
def browser(api: Api, provider: OidcProvider) -> Iterator[Browser]:
    with Browser(api, provider) as made:
        yield made


def test_a_person_logs_in_with_the_role_of_the_claim(
    api: Api, provider: OidcProvider, browser: Browser, store: Store
) -> None:
    assert browser.http.get("/session").json() == {"needed": True, "oidc": "127.0.0.1"}
    answer = browser.log_in()
    assert answer.status_code == 204
    assert browser.me() == {
        "name": "anna",
        "role": "operator",
        "cameras": None,
        "by": "oidc",
        "is_user": False,
    }
    cookie = next(line for line in answer.headers.get_list("set-cookie") if COOKIE in line)
    assert {"HttpOnly", "SameSite=strict", "Max-Age=43200"} <= set(cookie.split("; "))
    assert store.accounts().users["anna"].by == "oidc"
    users = api.http.get("/api/v1/users", headers=BEARER).json()["items"]
    assert [(user["name"], user["by"]) for user in users] == [("anna", "oidc")]
    line = api.http.get("/api/v1/audit", headers=BEARER).json()["items"][0]
    assert (line["who"], line["action"]) == ("anna", "POST /session/oidc/login")
    assert browser.http.get("/session/oidc").json() == {
        "address": f"{provider.url}/log-out?client_id={CLIENT_ID}"
    }
    assert browser.http.delete("/session").status_code == 204
    assert browser.http.get("/me").status_code == 401


def test_role_and_cameras_are_the_providers_at_each_log_in(
    api: Api, provider: OidcProvider, browser: Browser, store: Store
) -> None:
    browser.log_in()
    with api.listen(additional_headers=cookie_of(browser)) as socket:
        provider.claims["groups"] = ["tv", "admins"]
        browser.log_in()
        assert browser.me()["role"] == "admin"
        with pytest.raises(ConnectionClosed):
            for _ in range(50):
                socket.recv(timeout=5)
    change = api.http.patch("/api/v1/users/anna", json={"role": "viewer"}, headers=BEARER)
    assert "the OpenID provider, which says" in is_problem(change, 409)
    provider.claims["groups"] = "cleaners"  # a text is a list of one
    reason = is_problem(browser.log_in(), 403)
    assert reason.startswith("anna has no role here")
    assert "anna" not in store.accounts().users
    assert browser.http.get("/me").status_code == 401


def cookie_of(browser: Browser) -> dict[str, str]:
    return {"Cookie": f"{COOKIE}={browser.http.cookies[COOKIE]}"}


def test_a_claim_lists_the_cameras_that_are_seen(
    urls: Urls, tmp_path: Path, given: dict[str, Any], provider: OidcProvider, store: Store
) -> None:
    for name in ("gate", "yard"):
        store.add_camera(camera(name))
    nested = {"oidc_role_claim": "realm_access.roles", "oidc_cameras_claim": "cameras"}
    settings = settings_for(urls, tmp_path, token=SecretStr(TOKEN), **given, **nested)
    with running_api(settings) as api, Browser(api, provider) as browser:
        provider.claims["realm_access"] = {"roles": ["guards"]}
        assert is_problem(browser.log_in(), 403).startswith("anna sees no camera here")
        provider.claims["cameras"] = ["gate", "gate"]
        assert browser.log_in().status_code == 204
        assert browser.me()["cameras"] == ["gate"]
        listed = browser.http.get("/cameras").json()["items"]
        assert [one["id"] for one in listed] == ["gate"]


def test_the_request_has_state_nonce_and_pkce(browser: Browser) -> None:
    query = parse_qs(urlsplit(browser.begin()).query)
    assert query["code_challenge_method"] == ["S256"]
    assert query["scope"] == ["openid profile"]
    assert all(len(query[name][0]) >= 32 for name in ("state", "nonce", "code_challenge"))


WRONG_TOKENS: dict[str, tuple[dict[str, Any], str]] = {
    "another issuer": ({"iss": "https://evil.example"}, "another issuer, 'https://evil.example'"),
    "another audience": ({"aud": "shop"}, "for another program, 'shop', and not for lookout"),
    "expired": ({"exp": -3600}, r"expired 360\d s ago: is a clock wrong"),
    "a clock ahead": ({"iat": 3600}, r"is from 3[56]\d\d s ahead: is a clock wrong"),
    "another nonce": ({"nonce": "x"}, "to another log-in"),
    "ours among two audiences, for the other": (
        {"aud": ["shop", CLIENT_ID], "azp": "shop"},
        "a wrong 'azp'",
    ),
}


def test_a_wrong_answer_lets_nobody_in(
    provider: OidcProvider, browser: Browser, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    for changes, reason in WRONG_TOKENS.values():
        provider.token = {
            name: int(time.time()) + value if isinstance(value, int) else value
            for name, value in changes.items()
        }
        said = is_problem(browser.log_in(), 401)
        assert re.search(reason, said), said
        assert said in caplog.text
    assert SECRET not in caplog.text
    assert store.accounts().users == {}
    assert browser.http.get("/me").status_code == 401


def test_an_answer_that_others_signed_lets_nobody_in(
    provider: OidcProvider, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert browser.log_in().status_code == 204
    monkeypatch.setattr(provider, "key", new_key("first"))  # of the same name
    assert "not signed as it should be" in is_problem(browser.log_in(), 401)


def test_new_keys_of_the_provider_are_read(
    provider: OidcProvider, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc_provider, "KEYS_EVERY_S", 0.0)
    assert browser.log_in().status_code == 204
    monkeypatch.setattr(provider, "key", new_key("second"))
    provider.published = [provider.key]
    assert browser.log_in().status_code == 204


def test_an_answer_counts_once_and_in_the_browser_that_asked(
    api: Api, provider: OidcProvider, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = browser.come_back(browser.begin())
    with Browser(api, provider) as other:  # somebody is given a link with this answer
        assert "begin again" in is_problem(other.finish(sent), 401)
        other.begin()
        assert "begin again" in is_problem(other.finish(sent), 401)
    assert browser.finish(sent).status_code == 204
    assert "begin again" in is_problem(browser.finish(sent), 401)
    sent = browser.come_back(browser.begin())
    monkeypatch.setattr(oidc_login, "ATTEMPT_S", -1)
    assert "begin again" in is_problem(browser.finish(sent), 401)


def test_what_a_provider_refuses_is_said(
    provider: OidcProvider, browser: Browser, given: dict[str, Any]
) -> None:
    provider.refuses = "access_denied"
    assert "lets nobody in: 'access_denied'" in is_problem(browser.log_in(), 401)
    provider.refuses = ""
    sent = browser.come_back(browser.begin())
    provider.codes.clear()
    assert is_problem(browser.finish(sent), 401) == "127.0.0.1 answers 400: 'invalid_grant'"


def test_a_wrong_secret_is_refused_and_not_shown(
    urls: Urls,
    tmp_path: Path,
    given: dict[str, Any],
    provider: OidcProvider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    given["oidc_client_secret_file"].write_text("not-the-secret-of-it")
    settings = settings_for(urls, tmp_path, token=SecretStr(TOKEN), **given)
    with running_api(settings) as api, Browser(api, provider) as browser:
        reason = is_problem(browser.log_in(), 401)
    assert reason == "127.0.0.1 answers 401: 'invalid_client'"
    assert "not-the-secret" not in caplog.text


WRONG_DOCUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "another issuer": ({"issuer": "https://x.example"}, "calls itself 'https://x.example'"),
    "a host that nobody allowed": (
        {"token_endpoint": "https://evil.example/token"},
        "names the host 'evil.example' as token_endpoint: add it to LOOKOUT_OIDC_HOSTS",
    ),
    "a missing address": ({"jwks_uri": None}, "lacks jwks_uri"),
}


def test_a_wrong_document_is_not_followed(
    provider: OidcProvider, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc_provider, "AGAIN_S", 0.0)
    for changes, reason in WRONG_DOCUMENTS.values():
        provider.document = changes
        assert reason in is_problem(browser.http.post("/session/oidc"), 503)
    provider.document = {}
    assert browser.log_in().status_code == 204


def test_a_provider_that_is_away_is_said(
    urls: Urls, tmp_path: Path, given: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    given["oidc_issuer"] = f"http://127.0.0.1:{free_port()}"
    settings = settings_for(urls, tmp_path, token=SecretStr(TOKEN), **given)
    with running_api(settings) as api:
        origin = {"Origin": f"http://127.0.0.1:{api.port}"}
        answer = api.http.post("/api/v1/session/oidc", headers=origin)
        assert "127.0.0.1 cannot be reached" in is_problem(answer, 503)
        assert "127.0.0.1 cannot be reached" in caplog.text
        assert api.http.get("/api/v1/cameras", headers=BEARER).status_code == 200


def test_nobody_waits_again_for_a_provider_that_is_away(
    given: dict[str, Any], urls: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fail(_method: str, url: str, **_more: Any) -> tuple[int, bytes]:
        asked.append(url)
        raise httpx.ConnectTimeout("timed out")

    monkeypatch.setattr(oidc_provider, "fetch", fail)
    provider = oidc_provider.Provider(settings_for(urls, tmp_path, **given))
    for _ in range(3):
        with pytest.raises(OidcError, match=r"cannot be reached: timed out"):
            provider.document()
    assert len(asked) == 1


def test_a_name_of_another_is_not_taken_over(
    api: Api, provider: OidcProvider, browser: Browser, store: Store
) -> None:
    body = {"name": "anna", "password": "four-words-of-a-poem", "role": "admin"}
    assert api.http.post("/api/v1/users", json=body, headers=BEARER).status_code == 201
    assert "who is not this person" in is_problem(browser.log_in(), 401)
    assert store.accounts().users["anna"].role == "admin"
    provider.claims["preferred_username"] = "bert"
    assert browser.log_in().status_code == 204
    provider.claims["sub"] = "2"  # the name went to somebody else
    assert "who is not this person" in is_problem(browser.log_in(), 401)
    for name in ("anna the guard", "token", None, 7):
        provider.claims["preferred_username"] = name
        assert "gives no name" in is_problem(browser.log_in(), 401)
    password = api.post("/session", {"user": "bert", "password": "four-words-of-a-poem"})
    assert is_problem(password, 401) == "name or password is wrong"


def test_with_a_provider_nobody_is_let_in_unasked(
    urls: Urls, tmp_path: Path, given: dict[str, Any], provider: OidcProvider
) -> None:
    """Neither a token nor a user is set: the key of the store signs logins."""
    settings = settings_for(urls, tmp_path, **given, oidc_login_h=1 / 3600)
    with running_api(settings) as api, Browser(api, provider) as browser:
        assert api.get("/cameras").status_code == 401
        assert browser.log_in().status_code == 204
        kept = cookie_of(browser)
        wait_until(lambda: api.http.get("/api/v1/me", headers=kept).status_code == 401, "the end")


def test_without_a_provider_there_is_no_such_log_in(urls: Urls, tmp_path: Path) -> None:
    with running_api(settings_for(urls, tmp_path, token=SecretStr(TOKEN))) as api:
        assert api.get("/session").json() == {"needed": True, "oidc": None}
        assert "LOOKOUT_OIDC_ISSUER" in is_problem(api.get("/session/oidc"), 404)
        assert "LOOKOUT_OIDC_ISSUER" in is_problem(api.http.post("/api/v1/session/oidc"), 404)


WRONG_SETTINGS = {
    "plain http": ({"LOOKOUT_OIDC_ISSUER": "http://login.example"}, "http:// on loopback alone"),
    "a password": ({"LOOKOUT_OIDC_ISSUER": "https://u:hunter2@x.example"}, "no credentials"),
    "no roles": ({"LOOKOUT_OIDC_ISSUER": "https://x.example"}, "and LOOKOUT_OIDC_ROLES too"),
    "no such role": ({"LOOKOUT_OIDC_ROLES": "guards=boss"}, "value=role is needed"),
    "scopes without openid": ({"LOOKOUT_OIDC_SCOPES": "profile"}, "LOOKOUT_OIDC_SCOPES"),
}


@pytest.mark.parametrize(("variables", "reason"), WRONG_SETTINGS.values(), ids=WRONG_SETTINGS)
def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], reason: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert reason in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_secret_that_cannot_be_read_ends_the_start(
    urls: Urls, tmp_path: Path, given: dict[str, Any]
) -> None:
    given["oidc_client_secret_file"] = tmp_path / "nothing"
    settings = settings_for(urls, tmp_path, **given)
    with pytest.raises(SettingsError, match=r"LOOKOUT_OIDC_CLIENT_SECRET_FILE: .* cannot be read"):
        create_app(settings, open_bus(settings), open_store(settings))


@pytest.mark.wide
@pytest.mark.browser
def test_the_page_offers_the_log_in(
    chrome: Chrome, api: Api, provider: OidcProvider, store: Store
) -> None:
    complaints(chrome)  # those of a former test are read
    store.add_camera(camera("gate"))
    url = f"http://127.0.0.1:{api.port}/"
    provider.redirect_uris[:] = [f"{url}login"]
    provider.refuses = "access_denied"
    chrome.get(url)
    wait_until(lambda: text(chrome, "#login-oidc") == "Log in with 127.0.0.1", "the button")
    at_size(chrome, 390)
    assert violations(chrome) == []
    one(chrome, "#login-oidc").click()
    wait_until(lambda: "access_denied" in text(chrome, "#login-error"), "the reason")
    assert chrome.current_url == f"{url}login"  # the answer does not stay in the history
    provider.refuses = ""
    one(chrome, "#login-oidc").click()
    wait_until(lambda: is_live(chrome), "a live page")
    assert chrome.current_url == url
    one(chrome, "#menu").click()
    one(chrome, "#log-out").click()
    wait_until(lambda: chrome.find_elements(By.CSS_SELECTOR, "#login"), "the form")
    assert provider.ended == [{"client_id": CLIENT_ID, "post_logout_redirect_uri": url}]
    chrome.get("about:blank")
    assert complaints(chrome, "401") == []
