"""The operations page in headless Chromium, as somebody sees it and types into it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from doors.browser import FLAGS
from stage import Site, until

BOSS = "boss@example.com"
PHONE = (390, 844)

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

NAMES = """
return [...document.querySelectorAll("#seasons tbody th")].map((th) => th.firstChild.data)
"""

LOOKS = """
return performance.getEntriesByType("resource")
  .filter((entry) => entry.name.endsWith("/status.json")).length
"""

CONTRAST = """
const parse = (color) => color.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b]
  .map((c) => c / 255)
  .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
let behind = arguments[0];
while (behind && (parse(getComputedStyle(behind).backgroundColor)[3] ?? 1) === 0) {
  behind = behind.parentElement;
}
const [a, b] = [getComputedStyle(arguments[0]).color, getComputedStyle(behind).backgroundColor]
  .map((color) => light(parse(color)))
  .sort((x, y) => y - x);
return (a + 0.05) / (b + 0.05);
"""


class Page:
    """The page in a browser of its own."""

    def __init__(self, site: Site, port: int, size: tuple[int, int], *, dark: bool) -> None:
        self.site, self.address = site, f"http://{site.name}:{port}/memora-srs/"
        options = webdriver.ChromeOptions()
        for flag in (
            *FLAGS,
            f"--window-size={size[0]},{size[1]}",
            # The site's name is in no name server.
            "--host-resolver-rules=MAP * 127.0.0.1",
        ):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
        if size == PHONE:
            metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 2, "mobile": True}
            self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        if dark:
            scheme = {"name": "prefers-color-scheme", "value": "dark"}
            self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def open(self, user: str = BOSS) -> None:
        """Visit it with a user's session, until it shows the site."""
        [(sid,)] = self.site.sql("SELECT sid FROM tabSessions WHERE user = %s", user)
        cookie = {"name": "sid", "value": sid, "url": self.address}
        self.driver.execute_cdp_cmd("Network.setCookie", cookie)
        self.driver.get(self.address)

    def opened(self) -> None:
        """Visit it and wait for the first look."""
        self.open()
        until("the page is live", lambda: self.pulse() == "live")

    def pulse(self) -> str | None:
        """Whether the page hears of the site."""
        return self.find("#pulse").get_attribute("data-state")

    def find(self, selector: str) -> WebElement:
        """Find the element."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def row(self, season: str) -> WebElement:
        """Find a season's row."""
        for row in self.driver.find_elements(By.CSS_SELECTOR, "#seasons tbody tr"):
            if self.text(row.find_element(By.TAG_NAME, "th")).startswith(season):
                return row
        raise AssertionError(f"{season} is not listed")

    def seasons(self) -> list[str]:
        """All seasons, as they are listed."""
        names: list[str] = self.driver.execute_script(NAMES)
        return names

    def text(self, element: WebElement) -> str:
        """An element's text, whatever is in view."""
        text: str = self.driver.execute_script("return arguments[0].textContent", element)
        return text

    def button(self, label: str) -> WebElement:
        """Find a button by what a screen reader says."""
        for button in self.driver.find_elements(By.TAG_NAME, "button"):
            if label in (button.accessible_name, button.text):
                return button
        raise AssertionError(f"no button {label}")

    def may(self, label: str) -> bool:
        """Whether a button says that it may be used."""
        return self.button(label).get_attribute("aria-disabled") == "false"

    def focused(self) -> str:
        """What a screen reader says of where the keyboard is."""
        return self.driver.switch_to.active_element.accessible_name

    def looked_again(self) -> None:
        """Wait until it has shown how the site is, twice more."""
        seen = self.looks()
        until("it has looked twice", lambda: self.looks() >= seen + 2)

    def looks(self) -> int:
        """How often it has asked how the site is."""
        count: int = self.driver.execute_script(LOOKS)
        return count

    def press(self, *keys: str) -> None:
        """Press keys, wherever the keyboard is."""
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def tab_to(self, label: str) -> None:
        """Press Tab until the keyboard is on the button."""
        for _ in range(60):
            if self.focused() == label:
                return
            self.press(Keys.TAB)
        raise AssertionError(f"Tab does not come to {label}")

    def complaints(self) -> list[str]:
        """What the browser refused to run, or could not."""
        log = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in log]

    def contrast(self, selector: str) -> float:
        """Contrast of an element's text with what is behind it, as WCAG has it."""
        ratio: float = self.driver.execute_script(CONTRAST, self.find(selector))
        return ratio


@contextmanager
def browser(
    site: Site, port: int, size: tuple[int, int] = (1280, 1000), *, dark: bool = False
) -> Iterator[Page]:
    """A browser that is closed at the end."""
    page = Page(site, port, size, dark=dark)
    try:
        yield page
    finally:
        page.driver.quit()
