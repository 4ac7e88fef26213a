"""The shell: changed unfold templates match their originals otherwise, and no page runs inline script."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
import unfold
from django.conf import settings
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from scheduling.models import CFSPlan
from tests.integration.console.conftest import Work

ORIGINALS = Path(unfold.__file__).parent / "templates"
OURS = Path(settings.BASE_DIR) / "templates"
# Hashes of the originals of our templates. When one differs, check what unfold changed, merge it,
# and write its new hash here.
STARTED_FROM = {
    "admin/base.html": "7428a8411d69ed81",
    "admin/index.html": "dd345254af4ffc9a",
    "admin/nav_sidebar.html": "9ded21d2f1036a58",
    "unfold/helpers/app_list.html": "aee0d40c9583f9bf",
    "unfold/helpers/boolean.html": "f6431424053f440e",
    "unfold/helpers/command.html": "e10d80a03e4657fa",
    "unfold/helpers/empty_results.html": "830db82d60f52b85",
    "unfold/helpers/navigation_user.html": "df49db2d72d7e8f2",
    "unfold/helpers/search.html": "b55f50fdc44ad5be",
    "unfold/helpers/shortcuts.html": "5521f8ee1660f082",
    "unfold/helpers/welcomemsg.html": "91ac76169f4c93b5",
    "unfold/layouts/base_simple.html": "f90e61e284c309cd",
    "unfold/layouts/skeleton.html": "062bb8d9caf56385",
    "unfold/layouts/unauthenticated.html": "768501529f1a8dae",
}
ALPINE_VERSION = re.compile(r'version:"(\d+\.\d+)')


@pytest.mark.parametrize("name", sorted(STARTED_FROM))
def test_own_template_is_based_on_the_shipped_one(name: str) -> None:
    assert (OURS / name).is_file()
    assert hashlib.sha256((ORIGINALS / name).read_bytes()).hexdigest()[:16] == STARTED_FROM[name]


def test_every_replaced_unfold_template_is_listed() -> None:
    replaced = {
        str(path.relative_to(OURS))
        for folder in ("admin", "unfold")
        for path in (OURS / folder).rglob("*.html")
        if (ORIGINALS / path.relative_to(OURS)).is_file()
    }
    assert replaced == set(STARTED_FROM)


def test_alpine_csp_build_has_unfolds_version() -> None:
    shipped = (ORIGINALS.parent / "static/unfold/js/alpine/alpine.js").read_text()
    ours = (Path(settings.BASE_DIR) / "jobsplatform/static/console/js/alpine.csp.min.js").read_text()
    assert ALPINE_VERSION.findall(ours) == ALPINE_VERSION.findall(shipped)


class _InlineFinder(HTMLParser):
    """A parser that collects what a policy of `script-src 'self'` refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script" and "src" not in given and given.get("type") != "application/json":
            self.found.append(f"<script> {given}")
        self.found += [f"{tag} {name}" for name in given if name.startswith("on")]
        self.found += [f"{tag} {value}" for value in given.values() if (value or "").startswith("javascript:")]


@pytest.mark.django_db
def test_pages_have_no_inline_script(console: Callable[[User], Client], staff: User, acme_work: Work) -> None:
    client = console(staff)
    pages = [
        reverse("admin:index"),
        reverse("admin:scheduling_job_changelist"),
        reverse("admin:scheduling_job_change", args=[acme_work.waiting.pk]),
        reverse("admin:scheduling_cfsplan_change", args=[CFSPlan.objects.get(name="cloud").pk]),
        reverse("admin:scheduling_routingrule_add"),
        reverse("admin:django_celery_beat_periodictask_add"),
        reverse("admin:auth_user_add"),
    ]
    for page in pages:
        response = client.get(page)
        finder = _InlineFinder()
        finder.feed(response.content.decode())
        assert finder.found == [], page
        assert "script-src 'self'" in response.headers["Content-Security-Policy"]
        assert "<main" in response.content.decode()
        assert "Skip to the content" in response.content.decode()


@pytest.mark.parametrize("lost", ["tenants.middleware.find_user_roles", "scheduling.overview.page.read_overview"])
def test_database_outage_is_503_with_retry_after(
    console: Callable[[User], Client], staff: User, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("server closed the connection")

    client = console(staff)
    monkeypatch.setattr(lost, refuse)
    answer = client.get(reverse("admin:index") if "middleware" in lost else reverse("admin:overview_fragment"))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "The database is unavailable" in answer.content.decode()


@pytest.mark.django_db
def test_refused_or_missing_page_states_why_and_links_on(console: Callable[[User], Client], acme_user: User) -> None:
    client = console(acme_user)
    refused = client.get(reverse("admin:scheduling_queue_changelist"))
    assert refused.status_code == 403
    missing = client.get(reverse("admin:scheduling_job_change", args=["01a2164f-0000-7000-8000-000000000000"]))
    assert missing.status_code == 404
    for page, words in ((refused, "Your role lacks the permission"), (missing, "The object does not exist")):
        text = page.content.decode()
        assert words in text
        assert reverse("admin:index") in text
        assert "<main" in text


@pytest.mark.django_db
def test_anonymous_404_reveals_nothing(client: Client) -> None:
    assert client.get("/nothing/").status_code == 404
    assert client.get("/admin/nothing/").status_code in {302, 404}
