"""Lists as files, over the API and from the console: complete, filtered, audited, of the caller's tenant only."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from rest_framework.test import APIClient

from scheduling.models import Job
from tenants.console import exports
from tenants.context import all_tenants, tenant_context
from tenants.models import ApiKey, AuditLogEntry, Tenant
from tests.integration.scheduling.job_helpers import submit
from tests.keys import issue_api_key

pytestmark = pytest.mark.django_db
API = "/api/v1/"
MANY = 7


@pytest.fixture
def jobs(acme: Tenant, globex: Tenant) -> list[str]:
    """Return the ids of acme's jobs, newest first; globex has one too."""
    submit(globex)
    return [str(submit(acme)[0].pk) for _ in range(MANY)][::-1]


@pytest.fixture
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenants.api.list_options.MAX_LIMIT", 2)
    monkeypatch.setattr(exports, "PAGE_ROWS", 2)


@pytest.fixture
def api(acme: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    return api_client(acme)


def read(response: Any) -> Any:
    assert response.status_code == 200, response.content
    return b"".join(response.streaming_content).decode()


def rows_of(response: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(read(response))))


def exported() -> AuditLogEntry:
    with all_tenants():
        return AuditLogEntry.objects.get(action="list.exported")


def test_api_export_has_the_rows_of_all_pages_and_is_audited(
    api: APIClient, jobs: list[str], short_pages: None
) -> None:
    response = api.get(f"{API}jobs/?format=csv&kind=noop&limit=1")
    assert response["Content-Disposition"] == 'attachment; filename="job.csv"'
    assert [row["id"] for row in rows_of(response)] == jobs
    entry = exported()
    assert (entry.target_type, entry.after) == ("scheduling.job", {"format": "csv", "filters": {"kind": "noop"}})
    with all_tenants():
        assert entry.tenant_id == Tenant.objects.get(slug="acme").pk


def test_api_export_follows_the_filter_and_the_order(api: APIClient, jobs: list[str], short_pages: None) -> None:
    nothing = json.loads(read(api.get(f"{API}jobs/?format=json&q=kind:other")))
    assert nothing == {"next": None, "previous": None, "results": []}
    lines = read(api.get(f"{API}jobs/?format=jsonl&ordering=id")).splitlines()
    assert [json.loads(line)["id"] for line in lines] == jobs[::-1]


def test_api_export_reads_a_page_at_a_time(api: APIClient, jobs: list[str], short_pages: None) -> None:
    stream = iter(api.get(f"{API}jobs/?format=jsonl").streaming_content)  # type: ignore[arg-type]
    for _ in range(2):
        next(stream)
    with CaptureQueriesContext(
        connection,
    ) as asked:
        next(stream)
        first = len(asked)
        next(stream)
        assert (first > 0, len(asked)) == (True, first)


def test_api_export_refuses_what_the_list_refuses(api: APIClient, jobs: list[str]) -> None:
    assert api.get(f"{API}jobs/?format=csv&kint=noop").status_code == 422
    assert api.get(f"{API}jobs/?format=xml").json()["code"] == "field_invalid"
    assert api.get(f"{API}queues/?format=csv").status_code == 403
    with all_tenants():
        assert not AuditLogEntry.objects.filter(action="list.exported").exists()


@pytest.mark.parametrize("name", ["usage", "fairness", "errors", "schedules", "batches", "dead-letters", "job-kinds"])
def test_api_exports_every_list(api: APIClient, jobs: list[str], name: str) -> None:
    page, whole = api.get(f"{API}{name}/").json(), json.loads(read(api.get(f"{API}{name}/?format=json")))
    assert set(whole) == set(page)
    for key, part in page.items():
        assert not isinstance(part, list) or len(whole[key]) == len(part)


def test_staff_exports_the_lists_of_the_platform(staff: User, acme: Tenant) -> None:
    client = APIClient()
    client.force_login(staff)
    for name in ("queues", "pools", "plans", "tiers", "tenants", "routing-rules", "workers", "upkeep"):
        assert isinstance(json.loads(read(client.get(f"{API}{name}/?format=json")))["results"], list)
    assert client.get(f"{API}queues/?format=csv&ordering=id").json()["code"] == "field_invalid"


def test_console_export_has_the_columns_and_rows_of_the_filtered_list(
    acme: Tenant, acme_user: User, jobs: list[str], short_pages: None
) -> None:
    client = Client()
    client.force_login(acme_user)
    page = client.get(reverse("admin:scheduling_job_changelist"), {"q": "kind:noop", "before": jobs[0]})
    url = page.context["export_url"]
    assert "before" not in url
    rows = rows_of(client.post(url, {"format": "csv"}))
    assert [row["id"] for row in rows] == jobs
    assert {row["Kind"] for row in rows} == {"noop"}
    entry = exported()
    assert (entry.actor_label, entry.after) == ("alice", {"format": "csv", "filters": {"q": "kind:noop"}})
    assert rows_of(client.post(f"{reverse('admin:scheduling_job_export')}?q=kind:other", {"format": "csv"})) == []


def test_console_export_of_a_list_without_keyset_is_complete(acme: Tenant, acme_user: User, short_pages: None) -> None:
    names = {issue_api_key(tenant=acme, name=f"key {number}").key.name for number in range(MANY)}
    client = Client()
    client.force_login(acme_user)
    rows = rows_of(client.post(reverse("admin:tenants_apikey_export"), {"format": "csv"}))
    assert {row["Name"] for row in rows} == names
    assert len(rows) == MANY
    with tenant_context(acme):
        hashes = list(ApiKey.objects.values_list("secret_hash", flat=True))
    assert not any(value in hashes for row in rows for value in row.values())


@pytest.mark.parametrize("query", ["kint=noop", "queue__id__exact=x", "name__lookup__x=1"])
def test_console_export_refuses_a_filter_before_the_file_begins(acme: Tenant, acme_user: User, query: str) -> None:
    client = Client()
    client.force_login(acme_user)
    assert client.post(f"{reverse('admin:tenants_apikey_export')}?{query}", {"format": "csv"}).status_code == 400
    with all_tenants():
        assert not AuditLogEntry.objects.filter(action="list.exported").exists()


def test_staff_exports_jobs_of_all_tenants_with_their_tenant(staff: User, jobs: list[str]) -> None:
    client = Client()
    client.force_login(staff)
    rows = rows_of(client.post(reverse("admin:scheduling_job_export"), {"format": "csv"}))
    assert len(rows) == MANY + 1
    assert len({row["Tenant"] for row in rows}) == 2
    with all_tenants():
        assert Job.objects.count() == MANY + 1


@pytest.mark.parametrize("name", ["failures", "fairness"])
def test_pages_of_their_own_export_the_apis_list(acme_user: User, jobs: list[str], name: str) -> None:
    client = Client()
    client.force_login(acme_user)
    url = client.get(reverse(f"admin:{name}")).context["export_url"]
    assert client.get(url).status_code == 405
    assert isinstance(json.loads(read(client.post(url, {"format": "json"}))), dict)  # as the API's
    assert client.post(url, {"format": "xml"}).status_code == 422
    assert exported().actor_label == "alice"
    assert client.post("/admin/export/jobs/", {"format": "csv"}).status_code == 404
