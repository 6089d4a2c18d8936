"""The page in a real browser, fed with made-up scores."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from lookout.models.scoring.alarm_budget import AlarmBudget
from lookout.models.scoring.alert_policy import AlertPolicy
from lookout.models.vision.overlay import jpeg
from lookout.service.core.camera import AlertSettings, BudgetSettings, CameraSpec
from lookout.service.core.jobs import HeldOut
from lookout.service.core.messages import (
    Alert,
    AlertEvent,
    CameraEvent,
    InferenceReport,
    IngestReport,
)
from lookout.service.core.schedule import ScheduleSettings
from lookout.service.storage import pictures
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests.conftest import Urls, with_wide_forms
from tests.e2e.browser import complaints
from tests.owning import add_frames
from tests.service.api_server import (
    BEARER,
    TOKEN,
    Api,
    camera,
    frame,
    fresh_api,
    log_in,
    report_online,
    running_api,
    settings_for,
    show,
    write_checkpoint,
)
from tests.service.page_browser import (
    SESSION,
    an_alert,
    chrome,
    ink,
    is_live,
    look_again,
    one,
    page,
    text,
    texts,
    violations,
)
from tests.waiting import wait_until

__all__ = ["chrome", "fresh_api", "page"]

pytestmark = pytest.mark.browser

KEPT = """
    const names = await caches.keys();
    const caches_ = await Promise.all(names.map((name) => caches.open(name)));
    const requests = await Promise.all(caches_.map((cache) => cache.keys()));
    return requests.flat().map(({ url }) => url);"""
"""The addresses of what the service worker keeps."""

EVIL = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


def points(driver: Chrome, name: str = "gate") -> int:
    return int(one(driver, f"#camera-{name}").get_attribute("data-points") or 0)


def shown_frame(driver: Chrome) -> str:
    """The id of the frame that the server sent for the picture of `gate`."""
    script = """
    const picture = document.querySelector("#camera-gate .picture");
    const answer = await fetch(picture.src, { cache: "force-cache" });
    return answer.headers.get("X-Frame-Id");"""
    return str(driver.execute_script(script))


def test_a_picture_is_the_frame_of_its_score_while_newer_frames_come(
    page: Chrome, bus: Bus
) -> None:
    for seq in (50, 60, 70):
        show(bus, "gate", seq, session=SESSION)
        add_frames(bus, frame("gate", seq + 5, session=SESSION))  # not scored
        last = f"{SESSION}-{seq}"
        picture = one(page, "#camera-gate .picture")
        wait_until(lambda: picture.get_attribute("data-frame") == last, "its picture")  # noqa: B023
        assert shown_frame(page) == last
    one(page, "#camera-gate .heat").click()
    wait_until(lambda: picture.get_attribute("data-kind") == "frame", "the plain frame")
    assert shown_frame(page) == last


def test_the_curve_moves_and_the_picture_shows(page: Chrome, bus: Bus) -> None:
    assert points(page) == 50
    assert wait_until(lambda: ink(page), "a drawn curve") > 500
    picture = wait_until(
        lambda: page.find_elements(By.CSS_SELECTOR, "#camera-gate .picture[data-kind=heatmap]"),
        "a heatmap",
    )[0]
    assert picture.get_property("naturalWidth") == 128
    first = picture.get_attribute("src")
    show(bus, "gate", 50, 0.91, session=SESSION)
    wait_until(lambda: points(page) == 51, "the new point")
    assert text(page, "#camera-gate .reading") == "0.91"
    wait_until(lambda: picture.get_attribute("src") != first, "a new picture")
    assert shown_frame(page) == f"{SESSION}-50"
    one(page, "#camera-gate .heat").click()
    wait_until(lambda: picture.get_attribute("data-kind") == "frame", "the plain frame")
    assert shown_frame(page) == f"{SESSION}-50"
    assert text(page, "#summary") == "1 of 1 watched"
    loaded = page.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    assert len(loaded) > 5
    assert {urlsplit(url).hostname for url in loaded} == {"127.0.0.1"}  # works without the net
    assert complaints(page) == []


def test_an_alert_appears_with_its_picture_and_ends(
    page: Chrome, store: Store, fresh_api: Api
) -> None:
    alert = an_alert()
    path = pictures.picture_path(fresh_api.settings.data_dir, alert.id)
    pictures.keep(path, jpeg(frame("gate", 5).pixels))
    store.save_alerting("gate", 0, {}, [AlertEvent("new", alert)])
    wait_until(lambda: text(page, ".alert .badge") == "open now", "the alert")
    wait_until(lambda: one(page, ".alert img").get_property("naturalWidth") == 128, "its picture")
    wait_until(lambda: text(page, "#summary") == "1 of 1 watched · 1 alert", "the summary")
    alarmed = "#camera-gate.alarmed"
    wait_until(lambda: page.find_elements(By.CSS_SELECTOR, alarmed), "the card of its camera")
    one(page, ".alert .thumb").click()
    wait_until(lambda: one(page, "#large-picture").is_displayed(), "the large picture")
    one(page, "#large button").click()
    store.save_alerting("gate", 0, {}, [AlertEvent("end", an_alert(state="closed"))])
    wait_until(lambda: text(page, ".alert .badge") == "over", "the end of the alert")
    wait_until(lambda: text(page, "#summary") == "1 of 1 watched", "the quiet summary")
    assert complaints(page) == []


def an_event(seq: int, kind: Any) -> CameraEvent:
    return CameraEvent(
        kind, "gate", SESSION, seq, SESSION / 1000 + seq / 10, f"seen in frame {seq}"
    )


def listed_events(driver: Chrome) -> list[str]:
    """Return the kind and the detail of each event."""
    parts = texts(driver, "#camera-gate .event .kind, #camera-gate .event .detail")
    return [" ".join(pair) for pair in zip(parts[::2], parts[1::2], strict=True)]


@pytest.mark.wide
def test_events_of_a_camera_are_listed_newest_first(page: Chrome, store: Store) -> None:
    assert not one(page, "#camera-gate .events").is_displayed()
    store.add_camera_event(an_event(10, "scene_change"))
    wait_until(lambda: listed_events(page) == ["Scene change seen in frame 10"], "the event")
    for seq, kind in ((110, "tampered"), (200, "scene_change"), (200, "restored")):
        store.add_camera_event(an_event(seq, kind))
    newest = [
        "Restored seen in frame 200",
        "Scene change seen in frame 200",
        "Tampered with seen in frame 110",
    ]
    wait_until(lambda: listed_events(page) == newest, "the newest three")
    assert one(page, "#camera-gate .events").get_attribute("aria-label")
    page.refresh()
    wait_until(lambda: listed_events(page) == newest, "the same three after a reload")
    assert complaints(page) == []


@pytest.mark.wide
def test_a_camera_that_was_tampered_with_needs_attention(page: Chrome, bus: Bus) -> None:
    assert not one(page, "#camera-gate .tampered").is_displayed()
    bus.report_inference("gate", InferenceReport("online", time.time(), 1, tampered=True))
    wait_until(lambda: text(page, "#camera-gate .tampered") == "tampered with", "the badge")
    wait_until(lambda: text(page, "#summary") == "0 of 1 watched · 1 blind", "the summary")
    assert text(page, "#summary-names") == "blind: gate"
    bus.report_inference("gate", InferenceReport("online", time.time(), 1))
    wait_until(lambda: text(page, "#summary") == "1 of 1 watched", "the quiet summary")
    # The card is told by the live reader, which may come after the summary.
    wait_until(lambda: not one(page, "#camera-gate .tampered").is_displayed(), "no badge")


def test_what_comes_from_outside_is_text(page: Chrome, store: Store, bus: Bus) -> None:
    store.add_camera(camera(EVIL, url=f"rtsp://h/{EVIL}"))
    bus.report_ingest(EVIL, IngestReport("reconnecting", time.time(), 1, f"cannot open {EVIL}"))
    bus.count(EVIL, f"dropped_{EVIL}")
    store.save_alerting(
        EVIL, 0, {}, [AlertEvent("new", Alert("x:1-2", EVIL, "open", 1.0, None, 0.75, 0.9, 1.0))]
    )
    wait_until(
        lambda: any(EVIL in error for error in texts(page, ".camera .error")),
        "the error as text",
    )
    store.add_camera_event(CameraEvent("scene_change", EVIL, 1, 2, 1.0, EVIL))
    wait_until(lambda: text(page, ".event .detail") == EVIL, "the event as text")
    assert EVIL in texts(page, ".camera .name")
    assert (
        page.find_elements(By.CSS_SELECTOR, "#cameras img[src=x], #alerts img[src=x], main script")
        == []
    )
    assert "owned" not in page.title


def test_a_camera_is_added_paused_and_removed(page: Chrome, store: Store) -> None:
    one(page, "#add-open").click()
    wait_until(
        lambda: page.find_elements(By.CSS_SELECTOR, "select[name=model] option"),
        "the list of models",
    )
    one(page, "input[name=url]").send_keys("/etc/passwd")
    one(page, "input[name=id]").send_keys("yard")
    one(page, "#add-submit").click()
    wait_until(lambda: "media folder" in text(page, "#wrong-url"), "the refusal, at the field")
    one(page, "input[name=url]").clear()
    one(page, "input[name=url]").send_keys("rtsp://user:hunter2@h/")
    one(page, "#add-submit").click()
    wait_until(
        lambda: text(page, "#camera-yard .url") == "rtsp://***@h/", "the camera with its masked URL"
    )
    assert store.camera("yard").url == "rtsp://user:hunter2@h/"
    assert "hunter2" not in page.page_source
    one(page, "#camera-yard .pause").click()
    wait_until(lambda: text(page, "#camera-yard .state") == "disabled", "the pause")
    one(page, "#camera-yard .remove").click()
    assert "yard" in store.cameras()
    one(page, "#camera-yard .remove").click()
    wait_until(lambda: not page.find_elements(By.CSS_SELECTOR, "#camera-yard"), "the camera to go")
    assert "yard" not in store.cameras()
    assert ["/etc/passwd" in line or "422" in line for line in complaints(page)] == [
        True
    ]  # the refused form


def test_a_camera_is_taught_from_its_card(
    page: Chrome, store: Store, bus: Bus, fresh_api: Api
) -> None:
    """Learn, what the job does, Cancel, Promote, Roll back."""
    learn, promote, roll_back = (
        one(page, f"#camera-gate .{name}") for name in ("learn", "promote", "rollback")
    )

    def shown(words: str) -> None:
        look_again(page)
        wait_until(lambda: words in text(page, "#camera-gate .job"), words)

    assert (learn.text, promote.is_displayed(), roll_back.is_displayed()) == ("Learn", False, False)
    learn.click()
    wait_until(lambda: store.newest_job("gate"), "the job")
    shown("waiting to learn · No learning worker is running")
    bus.heartbeat("learning", "worker")
    queued = store.job("gate:1")
    recording = replace(queued, state="recording", recorded_s=120.0, left_s=400.0, reason=EVIL)
    assert store.save_job(queued, recording)
    shown(f"recording: 120 of 300 s of normal footage · 7 min left · {EVIL}")
    training = replace(recording, state="training", progress=0.4, left_s=42.0, reason="")
    training = replace(training, before=HeldOut(31.2, 88.4), after=HeldOut(33.9, 92.1))
    assert store.save_job(recording, training)
    shown("training 40 % · 42 s left · held out 31.2 → 33.9 dB, made anomalies 88.4 → 92.1 %")
    assert learn.text == "Cancel learning"
    learn.click()
    wait_until(lambda: store.job("gate:1").state == "cancelled", "the cancel")
    wait_until(lambda: learn.text == "Learn", "the button")
    assert not one(page, "#camera-gate .job").is_displayed()

    before = store.camera("gate")
    write_checkpoint(fresh_api.settings, "gate-2", calibrated=True)
    second = store.add_job(replace(queued, promote="hand"))
    trained = replace(second, state="trained", checkpoint="gate-2", reason="it waits")
    assert store.save_job(second, trained)
    shown("trained gate-2, not in use · it waits")
    promote.click()
    wait_until(lambda: store.camera("gate").model == "gate-2", "the promotion")
    shown("learned gate-2 · by hand")
    assert not promote.is_displayed()
    roll_back.click()
    wait_until(lambda: store.camera("gate").model == before.model, "the way back")
    look_again(page)
    wait_until(lambda: not roll_back.is_displayed(), "nothing to go back to")
    assert complaints(page) == []


@pytest.mark.wide
def test_the_form_offers_every_field_of_a_camera(page: Chrome, store: Store) -> None:
    one(page, "#add-open").click()
    wait_until(lambda: page.find_elements(By.CSS_SELECTOR, "#add-fields [name=url]"), "the fields")
    names = {
        str(control.get_attribute("name"))
        for control in page.find_elements(By.CSS_SELECTOR, "#add-fields :is(input, select)")
    }
    alert = {f"alert.{name}" for name in AlertSettings.model_fields if name != "alarm_budget"}
    alert |= {f"alert.alarm_budget.{name}" for name in BudgetSettings.model_fields}
    groups = {f"schedule.{name}" for name in ScheduleSettings.model_fields} | alert
    assert names == set(CameraSpec.model_fields) - {"alert", "schedule"} | groups
    labels = texts(page, "#add-fields :is(label, legend)")
    for field in (*CameraSpec.model_fields.values(), *AlertSettings.model_fields.values()):
        assert any(label.startswith(str(field.title)) for label in labels)
    choices = texts(page, "select[name=memory] option")
    assert choices == ["paper", "guarded"]
    for name, entered in (
        ("url", "rtsp://h/"),
        ("id", "yard"),
        ("fps", "12.5"),
        ("alert.hysteresis", "0.2"),
        ("alert.alarm_budget.per_day", "2.5"),
        ("schedule.armed", '[{"begin": "22:00", "end": "06:00"}]'),
    ):
        one(page, f"[name='{name}']").send_keys(entered)
    one(page, "[name=memory] [value=guarded]").click()
    one(page, "[name=enabled]").click()
    one(page, "#add-submit").click()
    wait_until(lambda: "yard" in store.cameras(), "the camera")
    made = store.camera("yard")
    assert (made.fps, made.memory, made.enabled) == (12.5, "guarded", False)
    assert made.schedule is not None
    assert made.schedule.armed[0].end == "06:00"
    budget = BudgetSettings(per_day=2.5)
    assert made.alert == AlertSettings(hysteresis=0.2, alarm_budget=budget)
    assert complaints(page) == []


@pytest.mark.wide
def test_a_budget_is_said_in_a_sentence(page: Chrome, store: Store) -> None:
    asked = AlertSettings(alarm_budget=BudgetSettings(per_day=2))
    budget = {"scored_by": "", "state": AlarmBudget(2, AlertPolicy()).state_dict()}
    store.save_alerting("gate", 0, {"cursor": None, "budget": budget}, [])
    gate = store.camera("gate")
    store.replace_camera(gate.model_copy(update={"alert": asked}), gate)
    sentence = "0 seconds seen: a budget of 2 a day cannot be checked yet"
    wait_until(lambda: sentence in text(page, ".facts"), "the budget")
    assert complaints(page) == []


def test_a_lost_connection_is_said_and_mended(
    chrome: Chrome, urls: Urls, tmp_path: Path, store: Store, bus: Bus
) -> None:
    store.add_camera(camera("gate"))
    settings = settings_for(urls, tmp_path)
    write_checkpoint(settings, "square")
    with running_api(settings) as first:
        chrome.get(f"http://127.0.0.1:{first.port}/")
        wait_until(lambda: is_live(chrome), "a live page")
        # Its files come from the server that is about to go.
        chrome.execute_async_script("navigator.serviceWorker.ready.then(arguments[0])")
        top_px = one(chrome, "main").rect["y"]
    wait_until(lambda: "Connection lost" in text(chrome, "#banner"), "the banner")
    assert one(chrome, "main").rect["y"] == top_px  # nothing jumps where it comes
    show(bus, "gate", 0, session=SESSION)
    with running_api(first.settings, port=first.port):
        wait_until(
            lambda: is_live(chrome),
            "a live page again",
            20,
        )
        assert not one(chrome, "#banner").is_displayed()
        wait_until(lambda: points(chrome) == 1, "the point")
        assert chrome.execute_cdp_cmd("Page.getInstallabilityErrors", {}) == {
            "installabilityErrors": []
        }
    chrome.refresh()
    wait_until(lambda: "cannot be reached" in text(chrome, "#offline"), "the offline page")
    assert violations(chrome) == []
    assert text(chrome, "#offline button") == "Try again"
    kept = chrome.execute_script(KEPT)
    assert len(kept) > 5
    assert all(urlsplit(url).path.startswith("/assets/") for url in kept)  # nothing of the API
    chrome.get("about:blank")
    complaints(chrome)  # refused connections, as wanted


def test_a_connection_that_is_silent_is_said_and_caught_up(page: Chrome, bus: Bus) -> None:
    page.execute_cdp_cmd("Network.enable", {})
    line = {"offline": False, "downloadThroughput": -1, "uploadThroughput": -1}
    try:
        page.execute_cdp_cmd("Network.emulateNetworkConditions", {**line, "latency": 60_000})
        wait_until(lambda: "Connection lost" in text(page, "#banner"), "the banner")
        assert text(page, "#summary") == "Not live"
    finally:
        page.execute_cdp_cmd("Network.emulateNetworkConditions", {**line, "latency": 0})
    show(bus, "gate", 60, 0.91, session=SESSION)
    wait_until(lambda: is_live(page), "a live page again", 30)
    wait_until(lambda: text(page, "#camera-gate .reading") == "0.91", "what came meanwhile")
    wait_until(lambda: text(page, "#summary").endswith("watched"), "the line")
    complaints(page)  # requests that were given up, as wanted


def test_a_person_logs_in_and_out(
    chrome: Chrome, urls: Urls, tmp_path: Path, store: Store, bus: Bus
) -> None:
    store.add_camera(camera("gate"))
    report_online(bus, "gate")
    show(bus, "gate", 0, session=SESSION)
    with running_api(settings_for(urls, tmp_path, token=SecretStr(TOKEN))) as api:
        chrome.get(f"http://127.0.0.1:{api.port}/")
        type_token(chrome, "some-token-that-is-not-it")
        wait_until(lambda: text(chrome, "#login-error") == "The token is wrong.", "the refusal")
        type_token(chrome, TOKEN)
        wait_until(lambda: is_live(chrome), "a live page")
        wait_until(
            lambda: one(chrome, "#camera-gate .picture").get_property("naturalWidth") == 128,
            "its picture",
        )
        assert (chrome.current_url, chrome.execute_script("return document.cookie")) == (
            f"http://127.0.0.1:{api.port}/",
            "",
        )
        wait_until(lambda: one(chrome, "#log-out").is_displayed(), "the way out")
        # As if the login had ended: the page notices when it asks for news.
        chrome.delete_all_cookies()
        chrome.execute_script("document.dispatchEvent(new Event('visibilitychange'))")
        wait_until(lambda: chrome.find_elements(By.CSS_SELECTOR, "#login"), "the form")
        type_token(chrome, TOKEN)
        wait_until(lambda: is_live(chrome), "a live page")
        wait_until(lambda: one(chrome, "#log-out").is_displayed(), "the way out")
        one(chrome, "#log-out").click()
        wait_until(lambda: chrome.find_elements(By.CSS_SELECTOR, "#login"), "the form")
        assert chrome.get_cookies() == []
        copied = log_in(api)
        type_token(chrome, TOKEN)
        wait_until(
            lambda: any(
                button.is_displayed()
                for button in chrome.find_elements(By.CSS_SELECTOR, "#log-out-all")
            ),
            "the way out for all",
        )
        one(chrome, "#log-out-all").click()
        chrome.switch_to.alert.accept()
        wait_until(lambda: chrome.find_elements(By.CSS_SELECTOR, "#login"), "the form")
        assert api.http.get("/api/v1/cameras", headers=copied).status_code == 401
        chrome.get("about:blank")
    assert complaints(chrome, "401") == []


def type_token(driver: Chrome, token: str) -> None:
    one(driver, "#token").clear()
    one(driver, "#token").send_keys(token)
    one(driver, "#login-submit").click()


@pytest.mark.parametrize(
    ("role", "shown"),
    with_wide_forms(
        [
            ("viewer", {".heat"}),
            ("operator", {".heat", ".pause", ".learn"}),
            ("admin", {".heat", ".pause", ".learn", ".settings", ".remove", "#add-open"}),
        ],
        {"operator"},
    ),
)
def test_a_user_sees_the_buttons_of_the_role(
    chrome: Chrome, urls: Urls, tmp_path: Path, store: Store, role: str, shown: set[str]
) -> None:
    store.add_camera(camera("gate"))
    store.add_camera(camera("yard"))
    complaints(chrome)  # those of a former test are read
    with running_api(settings_for(urls, tmp_path, token=SecretStr(TOKEN))) as api:
        body = {"name": "anna", "password": "four-words-of-a-poem", "role": role}
        if role != "admin":
            body["cameras"] = ["gate"]  # type: ignore[assignment]
        assert api.http.post("/api/v1/users", json=body, headers=BEARER).status_code == 201
        chrome.get(f"http://127.0.0.1:{api.port}/")
        chrome.delete_all_cookies()  # of other tests, whose store was emptied
        chrome.refresh()
        one(chrome, "#user").send_keys("anna")
        type_token(chrome, "five-words-of-a-poem")
        refusal = "Name or password is wrong."
        wait_until(lambda: text(chrome, "#login-error") == refusal, "a refusal")
        type_token(chrome, body["password"])
        wait_until(lambda: is_live(chrome), "a live page")
        card = "#camera-gate "
        buttons = (".heat", ".pause", ".learn", ".settings", ".remove", "#add-open")
        places = {name: name if name.startswith("#") else card + name for name in buttons}
        wait_until(
            lambda: (
                {name for name, at in places.items() if one(chrome, at).is_displayed()} == shown
            ),
            "the buttons of the role",
        )
        assert bool(chrome.find_elements(By.CSS_SELECTOR, "#camera-yard")) == (role == "admin")
        chrome.delete_all_cookies()
        chrome.get("about:blank")
    assert complaints(chrome, "401") == []


def test_without_a_token_there_is_nothing_to_log_out_of(page: Chrome) -> None:
    assert not one(page, "#log-out").is_displayed()
    assert not one(page, "#log-out-all").is_displayed()


def test_the_page_may_load_from_its_own_server_only(fresh_api: Api) -> None:
    answer = fresh_api.http.get("/")
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.wide
def test_many_scores_stay_bounded(page: Chrome, bus: Bus) -> None:
    for seq in range(50, 1000):
        show(bus, "gate", seq, session=SESSION)
    wait_until(
        lambda: one(page, "#camera-gate").get_attribute("data-last") == f"{SESSION}-999",
        "the last point",
    )
    assert points(page) == 900
