"""The view of who may come in, in a real browser: the first user, others, tokens and the audit."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from lookout.service.api.auth.token import TOKEN_PREFIX
from lookout.service.storage.store.store import Store
from tests.conftest import Urls
from tests.e2e.browser import complaints
from tests.service.api_server import camera, running_api, settings_for, write_checkpoint
from tests.service.page_browser import (
    at_size,
    chrome,
    is_live,
    one,
    overflow_px,
    text,
    texts,
    violations,
)
from tests.waiting import wait_until

__all__ = ["chrome"]

PASSWORD = "four-words-of-a-poem"  # noqa: S105


def log_in(page: Chrome, name: str, password: str = PASSWORD) -> None:
    wait_until(lambda: page.find_elements(By.CSS_SELECTOR, "#login"), "the form")
    one(page, "#user").send_keys(name)
    one(page, "#token").send_keys(password)
    one(page, "#login-submit").click()
    wait_until(lambda: is_live(page), "a live page")


def fill(page: Chrome, form: str, role: str = "", **fields: str) -> None:
    wait_until(one(page, f"{form} [type=submit]").is_displayed, form)
    for name, value in fields.items():
        one(page, f"{form} [name={name}]").clear()
        one(page, f"{form} [name={name}]").send_keys(value)
    if role:
        one(page, f"{form} [name=role]").choose(role)
    one(page, f"{form} [type=submit]").click()


def test_an_admin_opens_the_doors_and_closes_them(
    chrome: Chrome, urls: Urls, tmp_path: Path, store: Store
) -> None:
    store.add_camera(camera("gate"))
    complaints(chrome)  # those of a former test are read
    settings = settings_for(urls, tmp_path)
    write_checkpoint(settings, "square")
    with running_api(settings) as api:
        chrome.get(f"http://127.0.0.1:{api.port}/#accounts")
        wait_until(lambda: "nobody is asked" in text(chrome, "#own tbody"), "who asks")
        fill(chrome, "#add-user", "admin", name="anna", password=PASSWORD[:5])
        wait_until(lambda: "12" in text(chrome, "#users .error"), "the refusal")
        fill(chrome, "#add-user", "admin", name="anna", password=PASSWORD)
        log_in(chrome, "anna")  # from now on everybody is asked
        wait_until(lambda: "anna" in text(chrome, "#own tbody"), "who asks")

        fill(chrome, "#add-user", "viewer", name="bert", password=PASSWORD, cameras="gate")
        wait_until(lambda: texts(chrome, "#users tbody th") == ["anna", "bert"], "both users")
        row = "#users tbody tr:last-child"
        assert one(chrome, f"{row} input").get_property("value") == "gate"
        one(chrome, f"{row} select").choose("operator")
        one(chrome, f"{row} .save").click()
        wait_until(lambda: store.accounts().users["bert"].role == "operator", "the change")
        epoch = store.accounts().users["bert"].epoch
        one(chrome, f"{row} .end-logins").click()
        chrome.switch_to.alert.accept()
        wait_until(lambda: store.accounts().users["bert"].epoch != epoch, "the end of the logins")

        fill(chrome, "#add-token", "viewer", name="hub", days="7")
        wait_until(lambda: one(chrome, "#new-token").is_displayed(), "the token, once")
        token = one(chrome, "#new-token input").get_property("value")
        assert token.startswith(TOKEN_PREFIX)
        bearer = {"Authorization": f"Bearer {token}"}
        assert api.http.get("/api/v1/cameras", headers=bearer).status_code == 200
        for width_px in (390, 1440):
            at_size(chrome, width_px)
            assert overflow_px(chrome) == 0
            assert violations(chrome) == []
        one(chrome, "#tokens tbody button").click()
        chrome.switch_to.alert.accept()
        wait_until(lambda: not texts(chrome, "#tokens tbody th"), "the token's end")
        assert api.http.get("/api/v1/cameras", headers=bearer).status_code == 401
        wait_until(
            lambda: (
                "hub" in text(chrome, "#audit tbody") and "bert" in text(chrome, "#audit tbody")
            ),
            "what was done",
        )
        one(chrome, "#to-wall").click()
        assert not one(chrome, "#new-token").is_displayed()
        assert one(chrome, "#new-token input").get_property("value") == ""

        one(chrome, "#to-accounts").click()
        new = "five-words-of-another-poem"
        fill(chrome, "#own-password", current_password=PASSWORD, password=new)
        log_in(chrome, "anna", new)
        chrome.get("about:blank")
    assert complaints(chrome, "401", "422") == []


@pytest.mark.wide
def test_a_viewer_sees_the_own_account_alone(
    chrome: Chrome, urls: Urls, tmp_path: Path, store: Store
) -> None:
    with running_api(settings_for(urls, tmp_path)) as api:
        made = {"name": "anna", "password": PASSWORD, "role": "admin"}
        assert api.post("/users", made).status_code == 201
        chrome.get(f"http://127.0.0.1:{api.port}/#accounts")
        log_in(chrome, "anna")
        fill(chrome, "#add-user", "viewer", name="bert", password=PASSWORD)
        wait_until(lambda: "bert" in store.accounts().users, "the user")
        one(chrome, "#log-out").click()
        log_in(chrome, "bert")
        one(chrome, "#to-accounts").click()
        wait_until(lambda: "bert" in text(chrome, "#own tbody"), "who asks")
        for hidden in ("#users", "#tokens", "#audit"):
            assert not one(chrome, hidden).is_displayed()
        assert one(chrome, "#own-password").is_displayed()
        chrome.get("about:blank")
    assert complaints(chrome, "401") == []
