"""Recipients of mails: members of the tenant, and domains that the platform allows it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.models import Job
from tenants.context import tenant_context
from tenants.models import Tenant
from tests.integration.workloads.webhooks.conftest import Run, pool, run  # noqa: F401 - fixtures
from tests.smtp_server import Mailbox, smtp_server
from workloads.mail.sending import find_strangers

pytestmark = pytest.mark.usefixtures("transactional_db")


@pytest.fixture
def mailbox(settings: Settings) -> Iterator[Mailbox]:
    with smtp_server() as running:
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = "127.0.0.1", running.port, False
        yield running


@pytest.fixture
def members(acme_user: User, globex_user: User) -> None:
    for user in (acme_user, globex_user):
        user.email = f"{user.username.title()}@example.com"
        user.save(update_fields=["email"])


def submit(tenant: Tenant, *to: str) -> Job:
    payload = {"to": list(to), "subject": "Done", "text": "It is done."}
    job: Job = submit_job(tenant=tenant, request=JobRequest(kind="send_mail", payload=payload)).job
    return job


def test_mail_of_a_job_reaches_a_member(acme: Tenant, members: None, mailbox: Mailbox, run: Run) -> None:  # noqa: F811
    job = run(submit(acme, "alice@example.com"))
    assert job.state == "completed", job.error_message
    ((recipients, mail),) = mailbox.mails
    assert (recipients, mail["Message-ID"][:37]) == (["alice@example.com"], f"<{job.pk}")


def test_mail_to_a_stranger_fails_without_a_retry(
    acme: Tenant,
    members: None,
    mailbox: Mailbox,
    run: Run,  # noqa: F811
) -> None:
    job = run(submit(acme, "alice@example.com", "greta@example.com"))
    assert (job.state, job.error_type) == ("discarded", "recipient_not_allowed")
    assert mailbox.mails == []


def test_former_members_are_strangers(acme: Tenant, acme_user: User, members: None) -> None:
    assert find_strangers(acme.pk, ["ALICE@example.com", "x@allowed.example"], {"allowed.example"}) == []
    acme_user.is_active = False
    acme_user.save(update_fields=["is_active"])
    assert find_strangers(acme.pk, ["alice@example.com"], set()) == ["alice@example.com"]
    with tenant_context(acme):
        assert not Job.objects.exists()
