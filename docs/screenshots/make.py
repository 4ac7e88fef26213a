"""Take the console's screenshots of real work on real processes.

`make screenshots` does it: pages with work, without any, refused, and cut off from their server, each in both themes.
Needs the packages of requirements-dev.txt and Chromium at /usr/bin/chromium. Overwrites the pictures beside it. A page
that cannot be taken is tried once more, then named at the end, and spoils no other.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402 - after the path
from playwright.sync_api import Error as BrowserError  # noqa: E402

from docs.screenshots.palette import shrink  # noqa: E402
from jobsplatform.demo.environment import run_folder  # noqa: E402

SIZE = {"width": 1440, "height": 1060}
SCHEMES = ("light", "dark")
CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
# Most of the jobs sleep: more slots than processors cost nothing.
PLATFORM_OPTIONS = ("--slots=6", "--web-workers=1")
PATIENCE_SECONDS = 300.0
PAGE_SECONDS = 90.0
TRIES = 2
FULL = {
    "jobs": "/admin/scheduling/job/",
    "queues": "/admin/scheduling/queue/",
    "workers": "/admin/scheduling/worker/",
    "dead-letters": "/admin/failures/",
    "schedules": "/admin/scheduling/schedule/",
    "tenants": "/admin/tenants/tenant/",
    "audit": "/admin/tenants/auditlogentry/",
    "diagnosis": "/admin/diagnosis/",
    "submit": "/admin/scheduling/job/submit/?kind=http_call",
}
# Taken when some minutes have passed, for they show what was.
LATE = {"overview": "/admin/", "fairness": "/admin/fairness/"}
# For a member of a tenant that has done nothing yet, and may not see what is the platform's.
EMPTY = {
    "overview-empty": "/admin/",
    "jobs-empty": "/admin/scheduling/job/",
    "fairness-empty": "/admin/fairness/",
    "dead-letters-empty": "/admin/failures/",
    "schedules-empty": "/admin/scheduling/schedule/",
}
DENIED = {"queues-denied": "/admin/scheduling/queue/"}
# Live parts by the name of their page.
STALE = {"overview-stale": ("/admin/", "overview"), "queues-stale": ("/admin/scheduling/queue/", "live-rows")}


class Camera:
    """Takes pictures and remembers which could not be taken."""

    def __init__(self, browser: Browser, address: str) -> None:
        self._browser = browser
        self._address = address
        self.taken: list[Path] = []
        self.missing: list[str] = []

    def log_in(self, username: str, password: str) -> dict[str, Page]:
        """Open a window of one log-in for each theme."""
        first = self._window("light")
        first.goto(f"{self._address}/admin/")
        first.get_by_label("Username").fill(username)
        first.get_by_label("Password").fill(password)
        first.get_by_role("button", name="Log in").click()
        first.get_by_role("heading", name="Overview").wait_for()
        return {"light": first, "dark": self._window("dark", first.context.storage_state())}

    def take(self, pages: dict[str, Page], paths: dict[str, str]) -> None:
        """Take a picture of each path in each theme."""
        for name, path in paths.items():
            for scheme, page in pages.items():
                self._keep(f"{name}-{scheme}", page, partial(self._open, page, path, name))

    def take_stale(self, pages: dict[str, Page], live: dict[str, tuple[str, str]]) -> None:
        """Pages that have had no answer for a while, and say so."""
        for name, (path, part) in live.items():
            for scheme, page in pages.items():
                amber = page.locator(f"[data-live-age={part}][data-age=amber]")
                self._open(page, path, name)
                page.context.set_offline(True)
                self._keep(f"{name}-{scheme}", page, amber.wait_for)
                page.context.set_offline(False)

    def _window(self, scheme: str, state: object = None) -> Page:
        context = self._browser.new_context(viewport=SIZE, color_scheme=scheme, storage_state=state)  # type: ignore[arg-type,unused-ignore]
        context.set_default_timeout(PAGE_SECONDS * 1_000)
        return context.new_page()

    def _open(self, page: Page, path: str, name: str) -> None:
        page.goto(f"{self._address}{path}", wait_until="networkidle")
        if name == "cfs-plan":
            # What would change is shown for what is written.
            page.locator("input[name=tiers-0-weight]").fill("8")
            page.get_by_text("decisions replayed in").first.wait_for()

    def _keep(self, name: str, page: Page, prepare: Callable[[], None]) -> None:
        path = HERE / f"{name}.png"
        for _ in range(TRIES):
            try:
                prepare()
                page.evaluate("document.fonts.ready")
                path.write_bytes(page.screenshot(animations="disabled"))
            except BrowserError as error:
                _tell(f"{name}: {error.message.splitlines()[0]}")
            else:
                self.taken.append(path)
                _tell(f"{name} is taken")
                return
        self.missing.append(name)


def main() -> int:
    """Migrate, start the platform, give it work, and take the pictures while it works."""
    # The kinds that fail on purpose are among the work.
    os.environ["DIAGNOSTIC_KINDS"] = "true"
    with run_folder() as folder:
        # After django.setup(): these modules import models.
        from docs.screenshots import work
        from jobsplatform.demo.corpus import read_corpus
        from jobsplatform.demo.processes import running_platform
        from jobsplatform.demo.provision import create_administrator, create_participants, migrate_database

        migrate_database()
        participants, administrator = create_participants(), create_administrator()
        with running_platform(folder / "platform.log", *PLATFORM_OPTIONS) as platform, sync_playwright() as playwright:
            os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # Playwright's loop runs in this thread
            work.submit_work(platform.address, participants, read_corpus())
            _wait(work.is_enough_done)
            work.start_bulk(participants[0].slug)
            camera = Camera(
                playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_ARGUMENTS),
                platform.address,
            )
            pages = camera.log_in(administrator.username, administrator.password)
            camera.take(pages, FULL | work.pages_of_rows() | LATE)
            camera.take_stale(pages, STALE)
            password = secrets.token_urlsafe(12)
            camera.take(camera.log_in(work.create_newcomer(password), password), EMPTY | DENIED)
    for path in camera.taken:
        path.write_bytes(shrink(path.read_bytes()))
    if camera.missing:
        _tell(f"Not taken: {', '.join(camera.missing)}")
    return bool(camera.missing)


def _wait(question: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not question():
        if time.monotonic() > until:
            raise TimeoutError("The work did not get there in time; see the platform's log.")
        time.sleep(0.5)


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
