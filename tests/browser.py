"""A real browser for the tests of the page: Debian's chromium, driven by selenium.

Both are for these tests only; where one is missing they are skipped, with the reason.
"""

import shutil
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from tests.http_of import where
from tests.nodes import Node, eventually

DRIVER = shutil.which("chromedriver")
CHROMIUM = shutil.which("chromium")

WHY_NOT = (
    "no selenium here; install tests/browser-requirements.txt"
    if find_spec("selenium") is None
    else "no chromium here; Debian's packages chromium and chromium-driver have it"
    if DRIVER is None or CHROMIUM is None
    else ""
)
"""Why there is no browser; "": there is one."""

ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # the tests may be root, and look at nothing but this program's own page
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


class Browser:
    """A window, with what tests ask of the page in it."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, node: Node) -> None:
        """A binder's page, once it is live."""
        self.driver.get(f"http://127.0.0.1:{where(node)[1]}/")
        self.wait(lambda: self.banner[0] == "live")

    def run(self, script: str, *arguments: object) -> Any:
        """What a script in the page returns."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition: Any) -> None:
        """Until that is so."""
        eventually(condition)

    @property
    def banner(self) -> tuple[str, str]:
        """The state of the connection, and what is said about it."""
        state, text = self.run("const b = $('banner'); return [b.dataset.state, b.textContent]")
        return state, text

    @property
    def cells(self) -> dict[str, str]:
        """The state that is shown of each address."""
        return self.run(
            "return Object.fromEntries([...document.querySelectorAll('#list .cell')]"
            ".map((one) => [one.address, one.dataset.state]))"
        )

    @property
    def addresses(self) -> list[str]:
        """Of the cells, as they stand in the page."""
        return self.run(
            "return [...document.querySelectorAll('#list .cell')].map((one) => one.address)"
        )

    def text(self, id_: str) -> str:
        """What an element says."""
        return self.run("return $(arguments[0]).textContent", id_)

    def click_cell(self, address: str) -> None:
        """Open what is known of an instance."""
        self.run(
            "[...document.querySelectorAll('#list .cell')]"
            ".find((one) => one.address === arguments[0]).click()",
            address,
        )

    def press(self, *keys: str) -> None:
        """Keys, one after the other, to what has the focus."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    @property
    def layouts(self) -> int:
        """How often the page has been laid out."""
        self.driver.execute_cdp_cmd("Performance.enable", {})
        metrics = self.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        return next(int(one["value"]) for one in metrics if one["name"] == "LayoutCount")

    def emulate(self, width: int, height: int, scheme: str = "light") -> None:
        """A screen of that size, in pixels, for who likes that scheme of colours."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


@contextmanager
def browsing():
    """A browser for a while."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ARGUMENTS:
        options.add_argument(argument)
    driver = Chrome(options, Service(DRIVER))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
