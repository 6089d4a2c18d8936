"""Headless Chromium for tests, driven by selenium.

Debian's own binaries, a fresh profile, nothing from the net.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


@contextlib.contextmanager
def browser(width: int = 1440, height: int = 900) -> Iterator[Chrome]:
    """A browser window of its own; its console is kept."""
    with tempfile.TemporaryDirectory(
        prefix="lookout-browser-", ignore_cleanup_errors=True
    ) as profile:
        options = ChromeOptions()
        options.binary_location = CHROMIUM
        options.accept_insecure_certs = True  # a proxy's, made for a test
        for switch in (*SWITCHES, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
            options.add_argument(switch)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = Chrome(
            options=options, service=Service(DRIVER)
        )  # a named driver: selenium looks for none
        try:
            yield driver
        finally:
            driver.quit()


def complaints(driver: Chrome, *expected: str) -> list[str]:
    """Return the console's errors, and what the page's content policy refused.

    Lines that hold one of `expected` are left out. The console hands each line out once.
    """
    entries: list[dict[str, str]] = driver.get_log("browser")  # type: ignore[no-untyped-call]
    lines = [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]
    return [line for line in lines if not any(part in line for part in expected)]
