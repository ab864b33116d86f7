"""One headless Chromium per test, and what a person would notice on a page in it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_SECONDS = 60
STAYS_HERE = frozenset({"file", "data", "blob", "about"})


def missing_browser() -> str | None:
    """Returns what to install before pages can be looked at, None where nothing is missing."""
    if shutil.which("chromium") and shutil.which("chromedriver"):
        return None
    return "Chromium is missing: `apt-get install chromium chromium-driver`"


@contextmanager
def open_browser(profile: Path, *, width: int = 1600, height: int = 1200) -> Iterator[Chrome]:
    """Yields a Chromium that keeps all it writes in `profile`, a new folder."""
    profile.mkdir(parents=True)
    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    service = Service(shutil.which("chromedriver"), env=os.environ | {"HOME": str(profile)})
    browser = Chrome(options=options, service=service)
    try:
        resize(browser, width, height)
        yield browser
    finally:
        browser.quit()


def resize(browser: Chrome, width: int, height: int) -> None:
    """Gives the page this size in CSS pixels, which may be smaller than a window can be."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def wait_for(browser: Chrome, condition: Callable[[], Any], what: str) -> Any:
    """Returns the condition's value as soon as it is true.

    Raises:
        TimeoutException: it did not become so; the message says what was waited for, and the page.
    """
    return WebDriverWait(browser, PATIENCE_SECONDS, poll_frequency=0.2).until(
        lambda _: condition(), f"{what} did not show on {browser.current_url}"
    )


def text_of(browser: Chrome) -> str:
    """Returns the text that the page shows."""
    return str(browser.execute_script("return document.body.innerText"))


def pictures(browser: Chrome) -> list[str]:
    """Returns how each picture that has loaded or failed to begins and what it is called."""
    return [str(each["name"]) for each in _pictures(browser)]


def broken_pictures(browser: Chrome) -> list[str]:
    """Returns the pictures that show nothing."""
    return [str(each["name"]) for each in _pictures(browser) if each["width"] == 0]


def _pictures(browser: Chrome) -> list[dict[str, Any]]:
    script = """
        const done = arguments[0];
        const all = [...document.querySelectorAll("img")];
        Promise.all(all.map(each => each.decode().catch(() => null))).then(() => done(all.map(
            each => ({name: each.alt || each.src.slice(0, 60), width: each.naturalWidth}))));
    """
    found: list[dict[str, Any]] = browser.execute_async_script(script)
    return found


def complaints(browser: Chrome) -> list[str]:
    """Returns the errors on the console since it was last asked for."""
    entries = browser.get_log("browser")  # type: ignore[no-untyped-call]
    return [str(entry["message"]) for entry in entries if entry["level"] == "SEVERE"]


def external_requests(browser: Chrome) -> list[str]:
    """Returns the addresses outside itself that the page on show asked for since it was opened."""
    entries = browser.get_log("performance")  # type: ignore[no-untyped-call]
    events = [json.loads(entry["message"])["message"] for entry in entries]
    addresses = [
        str(event["params"]["request"]["url"])
        for event in events
        if event["method"] == "Network.requestWillBeSent"
        and event["params"]["documentURL"] == browser.current_url
    ]
    return [address for address in addresses if urlsplit(address).scheme not in STAYS_HERE]


def overflow_pixels(browser: Chrome) -> int:
    """Returns how far the page reaches beyond its right edge."""
    script = "const page = document.documentElement; return page.scrollWidth - page.clientWidth"
    return int(browser.execute_script(script))
