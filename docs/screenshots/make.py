"""Take the console's screenshots of real work: the demonstration's tenants and documents, on real processes.

`make screenshots` does it: pages with work, without any, refused, and cut off from their server, each in both themes.
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

from docs.screenshots.palette import shrink  # noqa: E402
from jobsplatform.demo.environment import run_folder  # noqa: E402

SIZE = {"width": 1440, "height": 1060}
CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
# Pictures are taken when this part of the work is done: every tenant still has a backlog, and shares have settled.
PART_DONE = 0.3
PATIENCE_SECONDS = 300.0
WHILE_IT_WORKS = {
    "overview": "/admin/",
    "fairness": "/admin/fairness/",
    "queues": "/admin/scheduling/queue/",
    "workers": "/admin/scheduling/worker/",
}
WHEN_IT_IS_DONE = {
    "jobs": "/admin/scheduling/job/",
    "dead-letters": "/admin/scheduling/deadletter/groups/",
    "tenants": "/admin/tenants/tenant/",
    "audit": "/admin/tenants/auditlogentry/",
    "diagnosis": "/admin/diagnosis/",
}
# For a member of a tenant that has done nothing yet, and may not see what is the platform's.
EMPTY = {"jobs-empty": "/admin/scheduling/job/", "fairness-empty": "/admin/fairness/", "overview-empty": "/admin/"}
DENIED = {"queues-denied": "/admin/scheduling/queue/"}


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
                _take_all(pages, platform.address, WHILE_IT_WORKS | {"cfs-plan": _plan_path()})
                uploads.result()
                _wait(lambda: ended() == expected)
                _take_all(pages, platform.address, WHEN_IT_IS_DONE | {"job": _dead_job_path()})
                name, password = _create_newcomer()
                theirs = {scheme: _log_in(browser, platform.address, name, password, scheme) for scheme in pages}
                _take_all(theirs, platform.address, EMPTY | DENIED)
                _take_stale(pages, platform.address)
                browser.close()


def _log_in(browser: Browser, address: str, username: str, password: str, scheme: str) -> Page:
    context = browser.new_context(viewport=SIZE, color_scheme=scheme)  # type: ignore[arg-type,unused-ignore]
    context.set_default_timeout(PATIENCE_SECONDS * 1_000)
    page = context.new_page()
    page.goto(f"{address}/admin/")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Overview").wait_for()
    return page


def _take_all(pages: dict[str, Page], address: str, paths: dict[str, str]) -> None:
    for name, path in paths.items():
        _take(pages, name, address + path)


def _take(pages: dict[str, Page], name: str, url: str) -> None:
    for scheme, page in pages.items():
        page.goto(url)
        _keep(page, f"{name}-{scheme}")


def _take_stale(pages: dict[str, Page], address: str) -> None:
    """The overview that has had no answer for a while, and says so."""
    for page in pages.values():
        page.goto(f"{address}/admin/")
        page.context.set_offline(True)
    for scheme, page in pages.items():
        page.locator("[data-live-age=overview][data-age=amber]").wait_for(timeout=60_000)
        _keep(page, f"overview-stale-{scheme}")
        page.context.set_offline(False)


def _keep(page: Page, name: str) -> None:
    page.evaluate("document.fonts.ready")
    (HERE / f"{name}.png").write_bytes(shrink(page.screenshot(animations="disabled")))


def _create_newcomer() -> tuple[str, str]:
    """The owner of a tenant of its own, where nothing was submitted."""
    import secrets

    from django.contrib.auth.models import User

    from tenants.models import Role
    from tenants.services.memberships import add_member
    from tenants.services.tenants import create_tenant

    password = secrets.token_urlsafe(12)
    user = User.objects.create_user("nora", password=password, is_staff=True)
    add_member(tenant=create_tenant(slug="hooli", plan="sandbox"), user=user, role=Role.OWNER)
    return user.username, password


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
