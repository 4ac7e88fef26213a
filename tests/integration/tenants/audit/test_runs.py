"""Verifications of a tenant's chain on request: by API and console, run by workers, visible to the tenant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import translation
from rest_framework.test import APIClient

from scheduling.celery import publishing
from scheduling.models import TenantUpkeepRun
from scheduling.upkeep.runs import run_upkeep
from scheduling.upkeep.tenant_runs import AUDIT_TASK, request_tenant_run, run_tenant_upkeep
from tenants.access.memberships import add_member
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Role, Tenant
from tests.conftest import PASSWORD
from tests.integration.tenants.audit.conftest import seals_of
from tests.polled import is_answered_304

pytestmark = pytest.mark.django_db(transaction=True)
ADDRESS = "/api/v1/upkeep-runs/"
ASKED = {"task": AUDIT_TASK}
VERIFY = reverse("admin:scheduling_tenantupkeeprun_verify")
LIST = reverse("admin:scheduling_tenantupkeeprun_changelist")
CHINESE = {"accept-language": "zh-hans"}


@pytest.fixture(autouse=True)
def published(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, UUID | None]]:
    """Return the runs that are published instead of being sent."""
    sent: list[tuple[str, UUID | None]] = []

    def publish(name: str, tenant_id: UUID | None = None) -> None:
        sent.append((name, tenant_id))

    monkeypatch.setattr(publishing, "publish_upkeep", publish)
    return sent


def spoil(owner: Any, tenant: Tenant, place: int = 4) -> UUID:
    """Edit an entry of the chain; return its id."""
    entry = seals_of(tenant.pk)[place].entry_id
    owner.execute("UPDATE tenants_auditlogentry SET reason = 'x' WHERE id = %s", [entry])
    return entry


def console_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def run_to_end(tenant: Tenant) -> TenantUpkeepRun:
    return run_tenant_upkeep(name=AUDIT_TASK, tenant_id=tenant.pk, seconds=60)


def now_of(run: TenantUpkeepRun) -> str:
    return reverse("admin:scheduling_tenantupkeeprun_now", args=[run.pk])


def test_api_requests_a_run_and_reports_its_end(
    sealed_log: None,
    acme: Tenant,
    api_client: Callable[[Tenant], APIClient],
    published: list[tuple[str, UUID | None]],
) -> None:
    client = api_client(acme)
    answer = client.post(ADDRESS, ASKED, format="json")
    body = answer.json()
    assert (answer.status_code, body["outcome"], body["is_open"], body["progress"]) == (202, "requested", True, 0.0)
    assert answer["Location"].endswith(f"{ADDRESS}{body['id']}/")
    assert published == [(AUDIT_TASK, acme.pk)]
    again = client.post(ADDRESS, ASKED, format="json")
    assert (again.status_code, again.json()["id"]) == (200, body["id"])
    assert run_to_end(acme).outcome == "ok"
    body = client.get(answer["Location"]).json()
    assert (body["outcome"], body["is_open"], body["progress"], body["findings"]) == ("ok", False, 1.0, [])
    # The request itself may have been sealed in between.
    assert body["counts"]["seals"] in {len(seals_of(acme.pk)), len(seals_of(acme.pk)) - 1}
    with all_tenants():
        entry = AuditLogEntry.objects.get(action="upkeep.requested")
    assert (entry.tenant_id, entry.target_id) == (acme.pk, body["id"])


def test_api_reports_a_finding_in_the_readers_language(
    sealed_log: None,
    owner: Any,
    acme: Tenant,
    api_client: Callable[[Tenant], APIClient],
    caplog: pytest.LogCaptureFixture,
) -> None:
    entry = spoil(owner, acme)
    client = api_client(acme)
    path = client.post(ADDRESS, ASKED, format="json")["Location"]
    assert run_to_end(acme).outcome == "failed"
    assert "audit.altered" in [record.message for record in caplog.records if record.levelname == "ERROR"]
    body = client.get(path).json()
    assert (body["outcome"], body["finding_count"]) == ("failed", 1)
    (finding,) = body["findings"]
    assert finding == {
        "code": "entry_edited",
        "text": "The entry differs from the sealed one.",
        "chain": str(acme.pk),
        "sequence": 5,
        "entry": str(entry),
    }
    (finding,) = client.get(path, headers=CHINESE).json()["findings"]
    assert finding["text"] == "该记录与封存时不一致。"


def test_long_chain_is_continued_to_the_same_end(
    sealed_log: None, owner: Any, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenants.audit.verification.BATCH_SEALS", 2)
    monkeypatch.setattr("tenants.audit.verification.BATCH_ENTRIES", 2)
    spoil(owner, acme, place=8)
    request_tenant_run(name=AUDIT_TASK, tenant=acme)
    first = run_tenant_upkeep(name=AUDIT_TASK, tenant_id=acme.pk, seconds=0)
    assert (first.outcome, first.counts["seals"]) == ("partial", 2)
    assert 0 < first.progress < 1
    last = first
    while last.is_open:
        last = run_tenant_upkeep(name=AUDIT_TASK, tenant_id=acme.pk, seconds=0)
    assert (last.pk, last.outcome, last.counts["chains"]) == (first.pk, "failed", 1)
    assert [example.values["sequence"] for example in last.sentences[0].values["examples"]] == [9]


def test_invalid_cursor_restarts_the_chain(sealed_log: None, acme: Tenant) -> None:
    request_tenant_run(name=AUDIT_TASK, tenant=acme)
    with all_tenants():
        TenantUpkeepRun.objects.update(cursor={"check": "audit", "after": {"chain": '{"check": {}}'}})
    assert run_to_end(acme).outcome == "ok"


def test_tenant_sees_only_its_own_runs(
    sealed_log: None, acme: Tenant, globex: Tenant, api_client: Callable[[Tenant], APIClient]
) -> None:
    other = request_tenant_run(name=AUDIT_TASK, tenant=globex).run
    own = request_tenant_run(name=AUDIT_TASK, tenant=acme).run
    client = api_client(acme)
    assert [row["id"] for row in client.get(ADDRESS).json()["results"]] == [str(own.pk)]
    assert client.get(f"{ADDRESS}{other.pk}/").status_code == 404
    refused = client.post(ADDRESS, {"task": "partitions"}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")


def test_console_links_to_the_run_and_polls_it(
    sealed_log: None, owner: Any, acme: Tenant, acme_user: User, published: list[tuple[str, UUID | None]]
) -> None:
    spoil(owner, acme)
    client = console_of(acme_user)
    assert client.get(VERIFY).status_code == 405
    page = client.post(VERIFY, follow=True)
    assert 'data-live data-etag="' in page.content.decode()
    assert published == [(AUDIT_TASK, acme.pk)]
    assert "A verification is already running" in client.post(VERIFY, follow=True).content.decode()
    with all_tenants():
        run = TenantUpkeepRun.objects.get()
    seen = client.get(now_of(run))
    assert 'aria-valuenow="' in seen.content.decode()
    assert is_answered_304(client, now_of(run))
    run_to_end(acme)
    after = client.get(now_of(run))
    assert "entry_edited" in after.content.decode()
    assert "The entry differs from the sealed one." in after.content.decode()
    assert "该记录与封存时不一致。" in client.get(now_of(run), headers=CHINESE).content.decode()
    assert client.get(LIST).status_code == 200


def test_staff_verifies_the_shown_tenant_or_all_chains(
    sealed_log: None, globex: Tenant, staff: User, published: list[tuple[str, UUID | None]]
) -> None:
    client = console_of(staff)
    client.post(f"{VERIFY}?tenant=globex", follow=True)
    assert "verification of all chains was requested" in client.post(VERIFY, follow=True).content.decode()
    assert published == [(AUDIT_TASK, globex.pk), (AUDIT_TASK, None)]
    assert "no tenant" in client.post(f"{VERIFY}?tenant=unknown", follow=True).content.decode().lower()
    with all_tenants():
        run = TenantUpkeepRun.objects.get()
    assert (run.tenant_id, run.requested_by) == (globex.pk, "stella")


def test_member_without_the_right_neither_sees_nor_requests_a_run(sealed_log: None, acme: Tenant) -> None:
    run = request_tenant_run(name=AUDIT_TASK, tenant=acme).run
    viewer = User.objects.create_user("vera", password=PASSWORD, is_staff=True)
    add_member(tenant=acme, user=viewer, role=Role.VIEWER)
    client = console_of(viewer)
    assert [client.get(LIST).status_code, client.get(now_of(run)).status_code] == [403, 403]
    assert client.post(VERIFY).status_code == 403
    with all_tenants():
        assert TenantUpkeepRun.objects.count() == 1


def test_platforms_run_reports_a_chain_in_the_readers_language(sealed_log: None, owner: Any, acme: Tenant) -> None:
    spoil(owner, acme)
    run = run_upkeep(name=AUDIT_TASK)
    assert run.messages[0].startswith(f"audit_chain of tenant {acme.pk}: 1.")
    assert "entry_edited. The entry differs from the sealed one." in run.messages[0]
    with translation.override("zh-hans"):
        assert "该记录与封存时不一致。" in run.sentences[0].localized
