"""Headless Chromium with the whole platform: web server, dispatcher, workers and beat, started by `run_platform`."""

from __future__ import annotations

import itertools
import os
import socket
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, sync_playwright

# Processes and database are those of the acceptance tests.
from tests.acceptance.conftest import (  # noqa: F401 - fixtures
    START_SECONDS,
    Platform,
    acceptance_broker_url,
    acceptance_database,
    acme,
    db,
    globex,
    initech,
    shared_platform,
)
from tests.acceptance.processes import eventually
from tests.conftest import PASSWORD

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SLOTS = 2
# Labels of both fields and of the button of the log-in form, and the heading of the page after it.
LOG_IN_WORDS = {
    "en-US": ("Username", "Password", "Log in", "Overview"),
    "zh-CN": ("用户名", "密码", "登录", "概览"),
}
_numbers = itertools.count(1)


@dataclass
class Console:
    """Page of the console, and everything that Chromium reported while it was open."""

    page: Page
    url: str
    user: User
    log_in_words: tuple[str, str, str, str]
    faults: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("response", lambda response: self._note_status(response.status, response.url))

    def log_in(self) -> None:
        """Log in by the form."""
        self.open("/admin/")
        name, password, log_in, overview = self.log_in_words
        self.page.get_by_label(name).fill(self.user.username)
        self.page.get_by_label(password).fill(PASSWORD)
        self.page.get_by_role("button", name=log_in).click()
        self.page.get_by_role("heading", name=overview).wait_for()
        # The heading is rendered before the scripts with the shortcuts.
        self.page.wait_for_load_state("domcontentloaded")

    def open(self, path: str) -> None:
        self.page.goto(f"{self.url}{path}")

    def act(self, label: str, reason: str, *, until: str = "") -> None:
        """Press the button of an action, fill in its dialog and confirm."""
        self.page.locator(".console-actions").get_by_role("button", name=label, exact=True).click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_label("Reason, for the audit log").fill(reason)
        if until:
            dialog.get_by_label("Until (UTC)").fill(until)
        dialog.get_by_role("button", name=label, exact=True).click()

    def _note(self, kind: str, text: str) -> None:
        # A page with another status is recorded by its status and address.
        if kind in {"error", "warning"} and not text.startswith("Failed to load resource"):
            self.faults.append(f"{kind}: {text}")

    def _note_status(self, status: int, url: str) -> None:
        if status >= 400:
            self.faults.append(f"{status}: {url}")


@pytest.fixture(scope="package")
def console_url(shared_platform: Platform) -> Iterator[str]:  # noqa: F811 - the fixture above
    """Return the address of the platform's web server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        bind = f"127.0.0.1:{probe.getsockname()[1]}"
    process = shared_platform.start("run_platform", f"--bind={bind}", "--web-workers=1", f"--slots={SLOTS}")
    for is_there, what in (
        (lambda: _answers(f"http://{bind}/health/live"), "the console answers"),
        (lambda: " ready." in process.log, "the worker is ready"),
    ):
        eventually(lambda is_there=is_there: is_there() or not process.is_running, within=START_SECONDS, what=what)
        assert process.is_running, process.log
    yield f"http://{bind}"
    process.stop()


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.fail(f"{CHROMIUM} is missing. Cure: apt-get install chromium", pytrace=False)
    with sync_playwright() as playwright:
        # Playwright's loop runs in this thread, so Django would consider the test asynchronous.
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def console(chromium: Browser, console_url: str, db: None) -> Iterator[Console]:  # noqa: F811 - the fixture above
    """Open a window of platform staff, not yet logged in. The test fails if Chromium reports anything."""
    yield from _open_window(chromium, console_url, locale="en-US")


@pytest.fixture
def chinese_console(chromium: Browser, console_url: str, db: None) -> Iterator[Console]:  # noqa: F811
    """Open the same window in a Chinese browser."""
    yield from _open_window(chromium, console_url, locale="zh-CN")


def _open_window(chromium: Browser, url: str, *, locale: str) -> Iterator[Console]:
    user = User.objects.create_superuser(f"stella-{next(_numbers)}", password=PASSWORD)
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light", locale=locale)
    context.set_default_timeout(20_000)
    window = Console(context.new_page(), url, user, LOG_IN_WORDS[locale])
    window.watch()
    yield window
    context.close()
    assert window.faults == []


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False
