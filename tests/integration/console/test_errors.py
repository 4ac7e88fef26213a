"""The page of errors: grouped, with occurrences, isolated by tenant."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from scheduling.models import JobError
from tenants.context import tenant_context
from tests.integration.console.conftest import Work

pytestmark = pytest.mark.django_db
Console = Callable[[User], Client]


def note_error(work: Work) -> str:
    """Store the error of the failed job as a settlement does; return its fingerprint."""
    with tenant_context(work.tenant):
        JobError.objects.create(
            tenant=work.tenant,
            job_id=work.failed.pk,
            execution_id=work.execution.pk,
            kind="noop",
            error_type="ParseError",
            error_message=f"{work.tenant.slug} broke",
            error_fingerprint=work.failed.error_fingerprint,
            at=timezone.now(),
        )
    return str(work.failed.error_fingerprint)


def test_member_sees_only_the_errors_of_its_tenant(
    console: Console, acme_user: User, acme_work: Work, globex_work: Work
) -> None:
    mine, theirs = note_error(acme_work), note_error(globex_work)
    client = console(acme_user)
    page = client.get(reverse("admin:errors")).content.decode()
    assert "acme broke" in page
    assert reverse("admin:error_occurrences", args=[mine]) in page
    assert "globex" not in page
    assert theirs not in page
    assert client.get(reverse("admin:error_occurrences", args=[theirs])).status_code == 404


def test_platform_sees_the_errors_of_all_tenants(
    console: Console, staff: User, acme_work: Work, globex_work: Work
) -> None:
    note_error(acme_work)
    note_error(globex_work)
    page = console(staff).get(reverse("admin:errors")).content.decode()
    assert "acme broke" in page
    assert "globex broke" in page


def test_occurrence_links_to_its_job_traceback_and_dead_letter(
    console: Console, acme_user: User, acme_work: Work
) -> None:
    fingerprint = note_error(acme_work)
    page = console(acme_user).get(reverse("admin:error_occurrences", args=[fingerprint])).content.decode()
    assert reverse("admin:scheduling_job_change", args=[acme_work.failed.pk]) in page
    assert reverse("admin:scheduling_deadletter_change", args=[acme_work.letter.pk]) in page
    assert "Traceback (most recent call last)" in page


def test_range_without_errors_is_explained(
    console: Console, acme_user: User, acme_work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    note_error(acme_work)
    later = timezone.now() + timedelta(hours=3)
    monkeypatch.setattr(timezone, "now", lambda: later)
    client = console(acme_user)
    assert "acme broke" not in client.get(reverse("admin:errors"), {"range": "hour"}).content.decode()
    assert "No attempt failed" in client.get(reverse("admin:errors"), {"range": "hour"}).content.decode()
    assert "acme broke" in client.get(reverse("admin:errors"), {"range": "week"}).content.decode()
    # An unknown range is the first one.
    assert "acme broke" in client.get(reverse("admin:errors"), {"range": "century"}).content.decode()


def test_page_of_dead_letters_links_to_the_errors(console: Console, acme_user: User) -> None:
    letters = console(acme_user).get(reverse("admin:scheduling_deadletter_changelist")).content.decode()
    assert reverse("admin:errors") in letters
