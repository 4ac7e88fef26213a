"""Take the console's screenshots of real work: the demonstration's tenants and documents, on real processes.

    python -m jobsplatform.embedded run --fast -- python docs/screenshots/make.py

Needs the packages of requirements-dev.txt and Chromium at /usr/bin/chromium. Overwrites the pictures beside it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402 - after the path

from jobsplatform.demo.environment import run_folder  # noqa: E402

SIZE = {"width": 1440, "height": 1060}
CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
# Pictures are taken when this part of the work is done: every tenant still has a backlog, and shares have settled.
PART_DONE = 0.3
PATIENCE_SECONDS = 300.0


def main() -> None:
    """Migrate, start the platform, upload for three tenants, and take the pictures while it works."""
    with run_folder() as folder:
        # After django.setup(): these modules import models.
        from jobsplatform.demo.corpus import read_corpus
        from jobsplatform.demo.processes import running_platform
        from jobsplatform.demo.provision import create_administrator, create_participants, migrate_database
        from jobsplatform.demo.readings import read_counts
        from jobsplatform.demo.uploads import open_shelf, upload_corpus

        migrate_database()
        participants, administrator = create_participants(), create_administrator()
        corpus = read_corpus()
        ids = [each.tenant_id for each in participants]
        expected = len(ids) * len(corpus.documents)

        def ended() -> int:
            return sum(count.ended for count in read_counts(ids).values())

        with running_platform(folder / "platform.log") as platform, ThreadPoolExecutor(1) as pool:
            shelves = [open_shelf(platform.address, each) for each in participants]

            def upload_all() -> None:
                for shelf in shelves:
                    list(upload_corpus(platform.address, shelf, corpus.documents))

            uploads = pool.submit(upload_all)
            _wait(lambda: ended() >= PART_DONE * expected)
            with sync_playwright() as playwright:
                os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # Playwright's loop runs in this thread
                browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_ARGUMENTS)
                pages = {
                    scheme: _log_in(browser, platform.address, administrator.username, administrator.password, scheme)
                    for scheme in ("light", "dark")
                }
                _take(pages, "overview", platform.address + "/admin/")
                _take(pages, "cfs-plan", platform.address + _plan_path())
                uploads.result()
                _wait(lambda: ended() == expected)
                _take(pages, "job", platform.address + _dead_job_path())
                _take(pages, "jobs", platform.address + "/admin/scheduling/job/")
                browser.close()


def _log_in(browser: Browser, address: str, username: str, password: str, scheme: str) -> Page:
    context = browser.new_context(viewport=SIZE, color_scheme=scheme)  # type: ignore[arg-type,unused-ignore]
    page = context.new_page()
    page.goto(f"{address}/admin/")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Overview").wait_for()
    return page


def _take(pages: dict[str, Page], name: str, url: str) -> None:
    for scheme, page in pages.items():
        page.goto(url)
        page.evaluate("document.fonts.ready")
        page.screenshot(path=HERE / f"{name}-{scheme}.png", animations="disabled")


def _plan_path() -> str:
    from scheduling.models import CFSPlan

    return f"/admin/scheduling/cfsplan/{CFSPlan.objects.get(is_active=True).pk}/change/"


def _dead_job_path() -> str:
    from scheduling.models import DeadLetter
    from tenants.context import all_tenants

    with all_tenants():
        return f"/admin/scheduling/job/{DeadLetter.objects.latest('id').job_id}/change/"


def _wait(question: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not question():
        if time.monotonic() > until:
            raise TimeoutError("The work did not get there in time; see the platform's log.")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
