"""The pages of failures: causes merged over tenants, and the occurrences of an error, isolated by tenant."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape, strip_tags
from django.utils.http import urlencode

from scheduling.errors.causes import find_causes
from scheduling.models import JobError
from tenants.access.memberships import add_member
from tenants.context import all_tenants, tenant_context
from tenants.models import Role, Tenant
from tests.integration.console.conftest import Work
from tests.integration.console.test_dead_letters import START, store_dead_letters

pytestmark = pytest.mark.django_db
Console = Callable[[User], Client]
PAGE = "/admin/failures/"


def note_error(work: Work, fingerprint: str = "") -> str:
    """Store the error of the failed job as a settlement does; return its fingerprint."""
    fingerprint = fingerprint or str(work.failed.error_fingerprint)
    with tenant_context(work.tenant):
        JobError.objects.create(
            tenant=work.tenant,
            job_id=work.failed.pk,
            execution_id=work.execution.pk,
            kind="noop",
            error_type="ParseError",
            error_message=f"{work.tenant.slug} broke",
            error_fingerprint=fingerprint,
            at=timezone.now(),
        )
    return fingerprint


def page_of(client: Client, **query: str) -> str:
    answer = client.get(PAGE, query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_member_sees_only_the_failures_of_its_tenant(
    console: Console, acme_user: User, acme_work: Work, globex_work: Work
) -> None:
    mine, theirs = note_error(acme_work), note_error(globex_work)
    client = console(acme_user)
    page = page_of(client)
    assert "acme broke" in page
    assert reverse("admin:error_occurrences", args=[mine]) in page
    assert "globex" not in page
    assert "Tenants</th>" not in page
    assert theirs not in page
    assert client.get(reverse("admin:error_occurrences", args=[theirs])).status_code == 404


def test_platform_sees_a_cause_of_several_tenants_once(
    console: Console, staff: User, acme_work: Work, globex_work: Work
) -> None:
    for work in (acme_work, acme_work, globex_work):
        note_error(work, "e" * 16)
    page = page_of(console(staff))
    assert page.count(reverse("admin:error_occurrences", args=["e" * 16])) == 1
    assert "acme (2), globex (1)" in strip_tags(page)
    occurrences = console(staff).get(reverse("admin:error_occurrences", args=["e" * 16])).content.decode()
    assert len(re.findall(r"<td><a [^>]*>acme</a></td>", occurrences)) == 2


def test_cause_has_its_errors_and_its_dead_letters(acme: Tenant, acme_work: Work, globex_work: Work) -> None:
    store_dead_letters(acme, 3)
    store_dead_letters(acme, 1, kind="sleep", payload={"seconds": 1})
    note_error(acme_work, "f" * 16)
    note_error(globex_work, "f" * 16)
    until = timezone.now() + timedelta(minutes=1)
    with all_tenants():
        found = find_causes(since=until - timedelta(hours=1), until=until).causes
    causes = {cause.fingerprint: cause for cause in found}
    cause = causes["f" * 16]
    assert (cause.kinds, cause.errors, cause.letters.value) == (["noop", "sleep"], 2, 4)
    assert cause.tenants == [("acme", 4), ("globex", 1)]
    # Only the newest part of the hour has errors.
    assert (sum(cause.trend), cause.trend[0]) == (2, 0)


def test_causes_are_listed_with_links_and_requeue(console: Console, acme_user: User, acme: Tenant) -> None:
    store_dead_letters(acme, 3)
    page = page_of(console(acme_user))
    assert "row # is bad" in page
    assert "row 2 is bad" in page  # the newest, in full, beside its pattern
    query = urlencode({"operation": "requeue", "filter": f"kind:noop fingerprint:{'f' * 16} requeued:no"})
    assert escape(f"{START}?{query}") in page
    letters = urlencode({"requeued": "no", "kind": "noop", "q": "f" * 16})
    assert escape(f"{reverse('admin:scheduling_deadletter_changelist')}?{letters}") in page


def test_viewer_sees_causes_and_is_offered_no_act(console: Console, acme: Tenant) -> None:
    viewer = User.objects.create_user("vera", is_staff=True)
    add_member(tenant=acme, user=viewer, role=Role.VIEWER)
    store_dead_letters(acme, 1)
    page = page_of(console(viewer))
    assert "row # is bad" in page
    assert "Requeue all" not in page


def test_occurrence_links_to_its_job_traceback_and_dead_letter(
    console: Console, acme_user: User, acme_work: Work
) -> None:
    fingerprint = note_error(acme_work)
    page = console(acme_user).get(reverse("admin:error_occurrences", args=[fingerprint])).content.decode()
    assert reverse("admin:scheduling_job_change", args=[acme_work.failed.pk]) in page
    assert reverse("admin:scheduling_deadletter_change", args=[acme_work.letter.pk]) in page
    assert "Traceback (most recent call last)" in page


def test_range_applies_to_errors(
    console: Console, acme_user: User, acme_work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    fingerprint = note_error(acme_work, "e" * 16)
    later = timezone.now() + timedelta(hours=3)
    monkeypatch.setattr(timezone, "now", lambda: later)
    client = console(acme_user)
    assert fingerprint not in page_of(client, range="hour")
    assert fingerprint in page_of(client, range="week")
    # An unknown range is the first one.
    assert fingerprint in page_of(client, range="century")


def test_page_without_failures_names_the_next_step(console: Console, acme_user: User, acme: Tenant) -> None:
    assert "No attempt failed in this range" in page_of(console(acme_user))


def test_navigation_links_to_the_failures(console: Console, acme_user: User) -> None:
    page = console(acme_user).get(reverse("admin:index")).content.decode()
    assert page.count(f'href="{PAGE}"') >= 1
    assert 'data-place="failures"' in page
