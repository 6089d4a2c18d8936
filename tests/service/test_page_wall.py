"""The page as a guard and an operator use it: one line, a wall, settings, answers, both themes."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from lookout.service.api.page import version
from lookout.service.core.camera import AlertSettings, BudgetSettings
from lookout.service.core.errors import Reason, reason_fields
from lookout.service.core.jobs import LearningJob
from lookout.service.core.messages import AlertAnswer, AlertEvent, CameraEvent, IngestReport
from lookout.service.core.sinks import SinkRecord, SinkState
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests.conftest import with_wide_forms
from tests.e2e.browser import complaints
from tests.service.api_server import (
    RTSP,
    Api,
    camera,
    fresh_api,
    report_online,
    show,
    write_checkpoint,
)
from tests.service.page_browser import (
    SESSION,
    an_alert,
    at_size,
    chrome,
    ink,
    is_live,
    look_again,
    one,
    overflow_px,
    page,
    preferring,
    text,
    texts,
    violations,
)
from tests.waiting import wait_until

__all__ = ["chrome", "fresh_api", "page"]

pytestmark = pytest.mark.browser


def fall_silent(bus: Bus, name: str) -> None:
    bus.report_ingest(name, IngestReport("reconnecting", time.time(), 1, "connection refused"))


# The line


def test_the_line_names_who_is_not_watched_and_its_card_comes_first(
    page: Chrome, store: Store, bus: Bus
) -> None:
    for name in ("attic", "yard"):
        store.add_camera(camera(name))
        report_online(bus, name)
    look_again(page)
    wait_until(lambda: text(page, "#summary") == "3 of 3 watched", "all three")
    assert one(page, "#summary").get_attribute("data-level") == "good"
    fall_silent(bus, "yard")
    look_again(page)
    wait_until(lambda: text(page, "#summary") == "2 of 3 watched · 1 blind", "the blind one")
    assert one(page, "#summary").get_attribute("data-level") == "warn"
    assert text(page, "#summary-names") == "blind: yard"

    def first() -> str:
        tops = {name: one(page, f"#camera-{name}").rect for name in ("attic", "gate", "yard")}
        return min(tops, key=lambda name: (tops[name]["y"], tops[name]["x"]))

    wait_until(lambda: first() == "yard", "the trouble first")


def test_a_file_that_has_ended_is_not_all_quiet(page: Chrome, bus: Bus) -> None:
    ended = IngestReport("ended", time.time(), 1, session=SESSION, last_seq=49)
    bus.report_ingest("gate", ended)
    look_again(page)
    wait_until(lambda: text(page, "#summary") == "0 of 1 watched · 1 ended", "the line")
    assert one(page, "#summary").get_attribute("data-level") == "calm"


def test_ready_and_summary_say_the_same_words(fresh_api: Api, store: Store, bus: Bus) -> None:
    store.add_camera(camera("gate"))
    for stage in ("ingest", "inference", "alerting"):
        bus.heartbeat(stage, "one")
    report_online(bus, "gate")
    store.save_alerting("gate", 0, {}, [AlertEvent("new", an_alert())])
    told = wait_until(
        lambda: (body := fresh_api.get("/summary").json())["alerts"] == 1 and body, "the alert"
    )
    assert told == {
        "text": "1 of 1 watched · 1 alert",
        "level": "bad",
        "enabled": 1,
        "alerts": 1,
        "cameras": {"watched": ["gate"]},
    }
    assert fresh_api.http.get("/readyz").json() == {"status": "ok", "detail": told["text"]}


# The wall


def columns(driver: Chrome) -> int:
    """Return how many cards stand beside each other."""
    cards = driver.find_elements(By.CSS_SELECTOR, ".camera")
    return len({card.rect["x"] for card in cards})


@pytest.mark.parametrize("most", with_wide_forms([16, 64], set()))
def test_the_wall_fits_its_cameras_into_the_window(
    page: Chrome, store: Store, bus: Bus, most: int
) -> None:
    found: dict[tuple[int, int], int] = {}
    counts = [count for count in (1, 6, 16, 64) if count <= most]
    names = ["gate"]
    try:
        for count in counts:
            for number in range(len(names), count):
                names.append(f"cam{number}")
                store.add_camera(camera(names[-1]))
                report_online(bus, names[-1])
            look_again(page)
            wait_until(lambda: len(texts(page, ".camera")) == len(names), "every card")
            for width_px in (390, 1440, 2560):
                at_size(page, width_px)
                found[count, width_px] = columns(page)
                assert overflow_px(page) == 0, (count, width_px)
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    columns_at_1440 = {1: 1, 6: 3, 16: 4, 64: 7}
    columns_at_390 = {1: 1, 6: 1, 16: 1, 64: 2}
    for count in counts:
        assert found[count, 1440] == columns_at_1440[count]
        assert found[count, 390] == columns_at_390[count]
    columns_at_2560 = {1: 1, 6: 4, 16: 7, 64: 14}
    assert found[most, 2560] == columns_at_2560[most]
    assert complaints(page) == []


@pytest.mark.wide
def test_a_phone_has_a_low_header_and_the_rest_in_a_menu(page: Chrome) -> None:
    try:
        at_size(page, 1440)
        assert one(page, "#theme").is_displayed()
        assert not one(page, "#menu").is_displayed()
        picture, card = one(page, "#camera-gate .screen").rect, one(page, "#camera-gate").rect
        assert picture["width"] > 0.35 * card["width"]  # one camera has the room
        at_size(page, 1024)
        assert one(page, "#menu").is_displayed()
        assert one(page, "#top").rect["height"] < 60  # a line
        at_size(page, 390)
        assert one(page, "#top").rect["height"] < 90
        wait_until(lambda: ink(page), "the curve, which is lower and has no scale any more")
        assert not one(page, "#add-open").is_displayed()
        one(page, "#menu").click()
        wait_until(lambda: one(page, "#add-open").is_displayed(), "the menu")
        assert overflow_px(page) == 0
        assert violations(page) == []
        one(page, "#add-open").click()
        wait_until(lambda: one(page, "#add-title").is_displayed(), "the form")
        one(page, "#add-cancel").click()
        assert not one(page, "#theme").is_displayed()
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert complaints(page) == []


@pytest.mark.wide
def test_a_night_is_looked_at(page: Chrome, store: Store) -> None:
    minute = int(time.time() // 60)
    store.note_peaks("gate", {minute - ago: 0.2 for ago in range(5, 305)})
    store.note_peaks("gate", {minute - 100: 0.9})
    chosen = Select(one(page, "#camera-gate .range").element)
    chosen.select_by_value("day")
    card = one(page, "#camera-gate")
    wait_until(lambda: card.get_attribute("data-minutes") == "300", "the minutes")
    rows = wait_until(lambda: table_rows(page), "the table")
    assert 5 <= len(rows) <= 7  # one an hour
    assert sum("0.90" in row for row in rows) == 1
    chosen.select_by_value("")
    wait_until(lambda: table_rows(page) != rows, "the newest scores")
    assert complaints(page) == []


def table_rows(driver: Chrome) -> list[str]:
    """Return the rows of the table that stands beside the curve of `gate`."""
    script = """
    return [...document.querySelectorAll("#camera-gate .for-readers tbody tr")].map(
        (row) => [...row.cells].map((cell) => cell.textContent).join(" "));"""
    found: list[str] = driver.execute_script(script)
    return found


@pytest.mark.wide
def test_the_curve_is_a_table_for_a_screen_reader(page: Chrome, store: Store, bus: Bus) -> None:
    show(bus, "gate", 60, 0.9, session=SESSION)
    store.save_alerting("gate", 0, {}, [AlertEvent("new", an_alert(60))])
    page.refresh()
    wait_until(lambda: is_live(page) and table_rows(page), "the table")
    rows = table_rows(page)  # 6 s of scores, in spans of 10 s
    assert rows[-1].endswith(" 0.90 1")
    page.execute_script("window.wasFirst = document.querySelector('.for-readers tbody tr')")
    show(bus, "gate", 61, 0.95, session=SESSION)
    wait_until(lambda: text(page, "#camera-gate .reading") == "0.95", "the next score")
    assert table_rows(page) == rows  # not ten times a second
    one(page, "#theme").click()  # the curve is drawn anew, and its table with it
    wait_until(lambda: table_rows(page)[-1].endswith(" 0.95 1"), "the newest score")
    kept = "return window.wasFirst === document.querySelector('.for-readers tbody tr')"
    assert page.execute_script(kept)  # whoever reads it keeps the place
    box = one(page, "#camera-gate .for-readers").rect
    assert (box["width"], box["height"]) == (1, 1)  # it takes no room
    page.execute_script("localStorage.clear()")
    assert violations(page) == []
    assert complaints(page, "/picture") == []


# Settings


def test_a_camera_is_changed_by_its_settings(page: Chrome, store: Store, fresh_api: Api) -> None:
    write_checkpoint(fresh_api.settings, "other", calibrated=True)
    gate = store.camera("gate")
    budget = AlertSettings(hysteresis=0.2, alarm_budget=BudgetSettings(per_day=2))
    store.replace_camera(gate.model_copy(update={"alert": budget}), gate)
    page.refresh()
    wait_until(lambda: is_live(page), "a live page")
    one(page, "#camera-gate .settings").click()
    wait_until(lambda: page.find_elements(By.CSS_SELECTOR, "#add-fields [name=url]"), "the fields")
    assert text(page, "#add-title") == "Settings of gate"
    assert one(page, "[name=url]").get_property("value") == "rtsp://***@camera.example/stream"
    assert not one(page, "[name=id]").is_enabled()
    assert one(page, "[name='alert.alarm_budget.per_day']").get_property("value") == "2"
    one(page, "[name=fps]").send_keys("fast")
    one(page, "#add-submit").click()
    wait_until(lambda: field_error(page, "fps") == "A number is needed.", "the refusal")
    one(page, "[name=fps]").clear()
    one(page, "[name=fps]").send_keys("5")
    one(page, "[name=memory]").choose("guarded")
    one(page, "[name='alert.alarm_budget.per_day']").clear()
    one(page, "#add-submit").click()
    wait_until(lambda: store.camera("gate").fps == 5, "the change")
    changed = store.camera("gate")
    assert (changed.url, changed.memory) == (RTSP, "guarded")  # the password is what it was
    assert changed.alert == AlertSettings(hysteresis=0.2)
    assert (changed.model, changed.pace) == (gate.model, gate.pace)
    assert complaints(page, "422") == []


def field_error(driver: Chrome, name: str) -> str:
    return text(driver, f"[id='wrong-{name}']")


def test_each_wrong_field_says_so(page: Chrome, store: Store, fresh_api: Api) -> None:
    write_checkpoint(fresh_api.settings, "square", calibrated=True)
    one(page, "#add-open").click()
    wait_until(lambda: page.find_elements(By.CSS_SELECTOR, "#add-fields [name=url]"), "the fields")
    fields = ("id", "fps", "stall_timeout_s", "alert.threshold", "alert.alarm_budget.per_day")
    one(page, "[name=url]").send_keys("http://h/live")
    for name in fields:
        one(page, f"[name='{name}']").send_keys("a b")
    one(page, "#add-submit").click()
    wait_until(lambda: all(field_error(page, name) for name in fields), "a word at each")
    assert text(page, "#add-error").startswith("Not saved: 5 fields")
    assert page.execute_script("return document.activeElement.name") == "id"
    assert one(page, "[name=fps]").get_attribute("aria-describedby") == "wrong-fps"
    assert violations(page) == []
    for name in fields:
        one(page, f"[name='{name}']").clear()
    one(page, "#add-submit").click()
    wait_until(lambda: "rtsp://" in field_error(page, "url"), "what an address is")
    assert not field_error(page, "fps")
    one(page, "[name=url]").clear()
    one(page, "[name=url]").send_keys("rtsp://h/live")
    one(page, "[name=id]").send_keys("gate")
    one(page, "#add-submit").click()
    wait_until(lambda: "already" in field_error(page, "id"), "that it is taken")
    one(page, "#add-cancel").click()
    assert complaints(page, "422", "409") == []


@pytest.mark.wide
def test_two_people_who_change_a_camera_choose_by_field(
    page: Chrome, store: Store, fresh_api: Api
) -> None:
    one(page, "#camera-gate .settings").click()
    wait_until(lambda: page.find_elements(By.CSS_SELECTOR, "#add-fields [name=fps]"), "the fields")
    meanwhile = {"fps": 7, "stall_timeout_s": 30}
    assert fresh_api.patch("/cameras/gate", meanwhile).status_code == 200
    one(page, "[name=fps]").clear()
    one(page, "[name=fps]").send_keys("5")
    one(page, "[name=memory]").choose("guarded")
    one(page, "#add-submit").click()
    rows = "#add-conflict tbody tr"
    wait_until(lambda: len(texts(page, rows)) == 2, "both versions of both fields")
    assert texts(page, f"{rows} td") == ["7", "5", "paper", "guarded"]
    assert violations(page) == []
    assert store.camera("gate").fps == 7
    one(page, f"{rows}:first-child td:nth-child(2) input").click()
    assert one(page, "[name=fps]").get_property("value") == "7"
    one(page, "#add-submit").click()
    wait_until(lambda: store.camera("gate").memory == "guarded", "the change")
    changed = store.camera("gate")
    assert (changed.fps, changed.stall_timeout_s) == (7, 30)  # nothing of the other is lost
    assert complaints(page, "412", "live.mjpeg") == []  # the zones' picture: nothing films


# Answers


def test_an_alert_is_answered_and_filtered(page: Chrome, store: Store) -> None:
    store.save_alerting(
        "gate", 0, {}, [AlertEvent("new", an_alert(5)), AlertEvent("end", an_alert(5, "closed"))]
    )
    store.save_alerting("gate", 0, {}, [AlertEvent("new", an_alert(9))])
    wait_until(lambda: len(texts(page, ".alert")) == 2, "both alerts")
    newer, older = (an_alert(number).id for number in (9, 5))

    def answer(alert: str) -> AlertAnswer:
        return store.alert_answers("gate", [alert])[0]

    def shown() -> list[str]:
        rows = page.find_elements(By.CSS_SELECTOR, ".alert")
        return [str(row.get_attribute("data-alert")) for row in rows if row.is_displayed()]

    one(page, f"[data-alert='{older}'] .seen").click()
    wait_until(lambda: "seen by anybody" in text(page, f"[data-alert='{older}'] .answer"), "seen")
    one(page, f"[data-alert='{older}'] [data-verdict=false_alarm]").click()
    wait_until(lambda: answer(older).verdict == "false_alarm", "the verdict")
    one(page, "#alert-filter").choose("unseen")
    wait_until(lambda: shown() == [newer], "what nobody has seen")
    verdict = one(page, f"[data-alert='{newer}'] [data-verdict=true]")
    verdict.click()
    wait_until(lambda: verdict.get_attribute("aria-pressed") == "true", "the page knows it")
    assert answer(newer).verdict == "true"
    verdict.click()
    wait_until(lambda: answer(newer).verdict is None, "taken back")
    one(page, "#all-seen").click()
    wait_until(lambda: shown() == [], "all seen")
    assert answer(newer).acknowledged_at is not None
    one(page, "#alert-filter").choose("")
    wait_until(lambda: shown() == [newer, older], "all")
    page.refresh()
    wait_until(lambda: "false alarm" in text(page, f"[data-alert='{older}'] .answer"), "kept")
    assert complaints(page, "/picture") == []  # the alerts have none


# For integrators


@pytest.mark.wide
def test_the_api_is_documented_without_the_net(chrome: Chrome, fresh_api: Api) -> None:
    complaints(chrome)  # of the tests before
    chrome.get(f"http://127.0.0.1:{fresh_api.port}/docs")
    wait_until(lambda: "/api/v1/cameras" in texts(chrome, ".opblock-summary-path"), "the paths")
    assert len(texts(chrome, ".opblock")) > 30
    loaded = chrome.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    assert {urlsplit(url).hostname for url in loaded if not url.startswith("data:")} == {
        "127.0.0.1"
    }
    assert complaints(chrome) == []
    chrome.get("about:blank")


# For everybody


@pytest.mark.parametrize("theme", with_wide_forms(["light", "dark"], {"dark"}))
def test_axe_finds_nothing(page: Chrome, store: Store, bus: Bus, theme: str) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    store.add_camera(camera("yard"))
    fall_silent(bus, "yard")
    event = CameraEvent("tampered", "gate", SESSION, 10, SESSION / 1000, "it went dark")
    store.add_camera_event(event)
    show(bus, "gate", 60, 0.9, session=SESSION)
    store.save_alerting("gate", 0, {}, [AlertEvent("new", an_alert())])
    look_again(page)
    wait_until(lambda: "1 alert · 1 blind" in text(page, "#summary"), "the line")
    assert violations(page) == []
    one(page, "#camera-gate .settings").click()
    wait_until(lambda: page.find_elements(By.CSS_SELECTOR, "#add-fields [name=url]"), "the fields")
    assert violations(page) == []


def test_the_theme_is_chosen_by_hand_and_kept(page: Chrome) -> None:
    def ground() -> str:
        return str(one(page, "body").element.value_of_css_property("color"))

    button = one(page, "#theme")
    assert button.text == "Theme: system"
    button.click()
    light = ground()
    button.click()
    assert button.text == "Theme: dark"
    assert ground() != light
    page.refresh()
    wait_until(lambda: is_live(page), "a live page")
    assert one(page, "#theme").text == "Theme: dark"
    one(page, "#theme").click()
    assert complaints(page) == []


COUNT_TONES = """
    window.tones = 0;
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function (at) {
      if (this.context.state === "running") tones += 1;
      start.call(this, at);
    };"""


def test_a_new_alert_sounds_where_somebody_asked_for_it(page: Chrome, store: Store) -> None:
    def tones() -> int:
        return int(page.execute_script("return tones"))

    page.execute_script(COUNT_TONES)
    button = one(page, "#sound")
    assert button.text == "Sound: off"
    store.save_alerting("gate", 0, {}, [AlertEvent("new", an_alert(4))])
    wait_until(lambda: len(texts(page, ".alert .name")) == 1, "an alert")
    assert tones() == 0
    button.click()
    assert button.text == "Sound: on"
    wait_until(lambda: tones() == 2, "the sound that was asked for")
    page.refresh()
    wait_until(lambda: is_live(page), "a live page")
    assert one(page, "#sound").get_attribute("aria-pressed") == "true"
    page.execute_script(COUNT_TONES)
    one(page, "#summary").click()  # browsers wait for a press
    script = "return navigator.userActivation.isActive"
    wait_until(lambda: page.execute_script(script), "the press")
    store.save_alerting("gate", 0, {}, [AlertEvent("new", an_alert())])
    wait_until(lambda: tones() == 2, "the sound of the alert")
    one(page, "#sound").click()
    assert one(page, "#sound").text == "Sound: off"
    page.execute_script("localStorage.clear()")
    assert complaints(page, "/picture") == []


def test_every_button_of_a_card_names_its_camera(page: Chrome) -> None:
    labels = [
        str(button.get_attribute("aria-label"))
        for button in page.find_elements(By.CSS_SELECTOR, "#camera-gate button")
    ]
    assert len(labels) >= 5
    assert all(label.endswith(" gate") for label in labels)


# Languages


@pytest.mark.wide
def test_the_page_speaks_the_readers_language(page: Chrome, store: Store, bus: Bus) -> None:
    show(bus, "gate", 60, 0.91, session=SESSION)
    opened = replace(an_alert(), opened_at=1_700_000_000.0)
    store.save_alerting("gate", 0, {}, [AlertEvent("new", opened)])
    with preferring(page, "de-AT,en-GB"):
        assert page.execute_script("return document.documentElement.lang") == "de"
        wait_until(lambda: text(page, "#summary") == "1 von 1 überwacht · 1 Alarm", "the line")
        assert text(page, "#camera-gate .reading") == "0,91"
        assert text(page, ".alert .badge") == "noch offen"
        assert text(page, ".alert .peak").startswith("Spitze 0,90 um ")
        in_utc = one(page, ".alert time").get_attribute("title")
        assert in_utc == "2023-11-14T22:13:20.000Z"
        one(page, "#camera-gate .settings").click()
        wait_until(lambda: page.find_elements(By.CSS_SELECTOR, "#add-fields [name=url]"), "fields")
        assert text(page, "#add-title") == "Einstellungen von gate"
        assert "Längstes Schweigen (s)" in text(page, "#add-fields")
        one(page, "[name=fps]").clear()
        one(page, "[name=fps]").send_keys("-1")
        one(page, "#add-submit").click()
        wait_until(lambda: field_error(page, "fps") == "Es ist größer als 0.", "the refusal")
        assert violations(page) == []
        one(page, "#add-cancel").click()
        one(page, "#language").choose("en")  # by hand, and kept
        wait_until(lambda: text(page, "#summary") == "1 of 1 watched · 1 alert", "English")
        page.refresh()
        wait_until(lambda: text(page, "#camera-gate .reading") == "0.91", "English numbers")
    with preferring(page, "fr-FR,it"):
        assert page.execute_script("return document.documentElement.lang") == "en"


def test_the_reasons_of_a_camera_and_its_job_are_in_the_readers_language(
    page: Chrome, store: Store, bus: Bus
) -> None:
    reset = Reason("the connection was reset", code="source_reset")
    broke_off = Reason(f"the stream broke off: {reset}", code="source_broke_off", why=reset)
    away = IngestReport("reconnecting", time.time(), 1, **reason_fields("last_error", broke_off))
    bus.report_ingest("gate", away)
    low = Reason("1200 MB are free", code="disk_low", free=1200, least=2048)
    lack = Reason(f"nothing is recorded: {low}", code="footage_none", why=low)
    waited = Reason(f"not enough in 1.5 h: {lack}", code="job_waited", hours=1.5, why=lack)
    job = store.add_job(LearningJob("gate", "queued", 0.0, 0.0, 300.0, 600.0, "rule"))
    failed = replace(job, state="failed", **reason_fields("reason", waited))
    assert store.save_job(job, failed)
    with preferring(page, "de"):
        wait_until(lambda: text(page, "#camera-gate .error"), "the reason")
        said = "Der Stream brach ab: Die Verbindung wurde abgebrochen."
        assert text(page, "#camera-gate .error") == said
        wait_until(lambda: text(page, "#camera-gate .job span"), "the job")
        assert text(page, "#camera-gate .job span").endswith(
            "In 1,5 h kam nicht genug zusammen: Es wird nichts aufgezeichnet: 1.200 MB sind frei, "
            "und unter 2.048 wird nichts geschrieben (LOOKOUT_LEARNING_FREE_MB)."
        )
        one(page, "#camera-gate .live").click()
        refusal = f"gate hat kein Live-Bild: verbindet neu ({said})"
        wait_until(lambda: text(page, "#camera-gate .error") == refusal, "the refusal")
        bus.report_ingest("gate", replace(away, last_error_code="of_a_later_version"))
        as_it_comes = str(broke_off)
        wait_until(lambda: text(page, "#camera-gate .error") == as_it_comes, "an unknown code")
    assert complaints(page, "404") == []


def test_times_are_in_the_readers_zone_and_in_utc_on_hover(page: Chrome, store: Store) -> None:
    page.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Tokyo"})
    try:
        opened = replace(an_alert(), opened_at=1_700_000_000.0)
        store.save_alerting("gate", 0, {}, [AlertEvent("new", opened)])
        page.refresh()
        wait_until(lambda: text(page, ".alert time"), "the alert")
        shown = text(page, ".alert time").replace("\u202f", " ")
        assert shown == "Nov 15, 2023 7:13:20 AM"
        assert one(page, ".alert time").get_attribute("title") == "2023-11-14T22:13:20.000Z"
    finally:
        page.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": ""})


# The service itself


NOTIFICATIONS = """
    const registration = await navigator.serviceWorker.ready;
    const shown = await registration.getNotifications();
    return shown.map(({ title, body, tag }) => [title, body, tag]);"""


def push(driver: Chrome, message: dict[str, str]) -> None:
    """Have the page's service worker get a message, as by the browser's push service."""
    driver.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["notifications"]})
    driver.execute_cdp_cmd("ServiceWorker.enable", {})
    origin = driver.execute_script("return location.origin")
    for number in range(50):  # of workers of other tests' servers, too, which do not get it
        words = {"origin": origin, "registrationId": str(number), "data": json.dumps(message)}
        driver.execute_cdp_cmd("ServiceWorker.deliverPushMessage", words)


def test_the_system_view_shows_what_fails(page: Chrome, store: Store, bus: Bus) -> None:
    bus.heartbeat("ingest", "edge-1", 10.0)
    store.add_camera(camera("yard"))
    fall_silent(bus, "yard")
    store.add_sink(SinkRecord(id="pager", url="https://hooks.example/x", created_at=1.0))
    store.save_sink_state("pager", SinkState(failing_since=time.time(), last_error="HTTP 500"))
    one(page, "#to-system").click()
    wait_until(lambda: "edge-1" in text(page, "#system-stages"), "the worker")
    rows = texts(page, "#system-stages tr")
    assert "ingest\tedge-1\t10.0" in rows
    assert "inference\tno worker" in rows
    bad = texts(page, "#system tr.bad th")
    wait_until(lambda: "yard" in texts(page, "#system-cameras tr.bad th"), "the silent camera")
    assert "pager (webhook)" in bad
    assert "HTTP 500" in text(page, "#system-sinks")
    assert text(page, "#system-disk-text").endswith(" GiB free")
    assert version() in text(page, "#system-versions")
    assert violations(page) == []
    page.execute_async_script("navigator.serviceWorker.ready.then(arguments[0])")
    wait_until(lambda: one(page, "#push-toggle").is_displayed(), "the offer to notify")
    assert text(page, "#push-state") == "This browser is told of nothing."
    push(page, {"title": "Camera gate", "text": "Opened", "alert": "gate:1-1"})
    shown = ["Camera gate", "Opened", "gate:1-1"]
    wait_until(lambda: page.execute_script(NOTIFICATIONS) == [shown], "the notification")
    one(page, "#to-wall").click()
    wait_until(lambda: one(page, "#cameras").is_displayed(), "the wall")
    assert complaints(page) == []


@pytest.mark.wide
def test_an_old_page_loads_itself_once_and_spares_a_form(
    page: Chrome, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_as_before() -> bool:
        return bool(page.execute_script("return window.isAsBefore === true"))

    def upgrade(name: str) -> None:
        monkeypatch.setattr("lookout.service.api.page.version", lambda: name)
        page.execute_script("window.isAsBefore = true")

    upgrade("a-newer-one")
    one(page, "#add-open").click()
    look_again(page)
    wait_until(lambda: "once you are done" in text(page, "#newer"), "the line")
    assert is_as_before()
    one(page, "#add-cancel").click()
    wait_until(lambda: is_live(page) and not is_as_before(), "the newer page")
    assert not one(page, "#newer").is_displayed()
    # As if a cache had given the old page once more: no second time by itself.
    page.execute_script("sessionStorage.setItem('lookout.reloaded_for', 'the-newest')")
    upgrade("the-newest")
    look_again(page)
    wait_until(lambda: text(page, "#newer span").endswith("of this page."), "the line")
    assert is_as_before()
    one(page, "#newer button").click()
    wait_until(lambda: is_live(page) and not is_as_before(), "the newest page")
    assert complaints(page) == []
