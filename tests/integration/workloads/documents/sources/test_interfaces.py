"""Sources of documents in the API and in the console, their rights, their schedule and their secrets."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from scheduling.models import Job
from scheduling.schedules.definitions import create_schedule
from scheduling.schedules.runs import run_schedule_now
from tenants.context import Actor, acting_as, all_tenants, tenant_context
from tenants.models import AuditLogEntry, Tenant
from tenants.secrets.errors import SecretUseDeniedError
from tests.integration.workloads.documents.sources.conftest import (
    bucket_source,
    execute,
    make_source,
    publish,
    put,
    site_source,
    sync,
)
from tests.web_server import WebServer
from workloads.documents.models import Dataset
from workloads.documents.sources import service
from workloads.documents.sources.models import ContentSource
from workloads.documents.sources.processor import DocumentSync
from workloads.documents.sources.service import update_source

pytestmark = pytest.mark.django_db

URL = "/api/v1/document-sources/"
PAGES = "/admin/document_sources/contentsource/"
SITE = {"url": "https://docs.example.com/"}


@pytest.fixture
def member(acme_user: User) -> Client:
    client = Client()
    client.force_login(acme_user)
    return client


def new(dataset: Dataset, **changes: Any) -> dict[str, Any]:
    return {"name": "site", "dataset": str(dataset.pk), "connector": "sitemap", "config": SITE} | changes


def test_api_creates_changes_and_deletes_a_source(acme_api: APIClient, dataset: Dataset) -> None:
    created = acme_api.post(URL, new(dataset), format="json")
    assert created.status_code == 201, created.content
    source = created.json()
    assert (source["sync_status"], source["counts"], source["gone_items"]) == ("never", {}, "delete")
    one = f"{URL}{source['id']}/"
    assert acme_api.patch(one, {"max_documents": 5}, format="json").json()["max_documents"] == 5
    assert [row["id"] for row in acme_api.get(URL).json()["results"]] == [source["id"]]
    assert acme_api.delete(one).status_code == 204
    assert acme_api.get(one).status_code == 404
    with all_tenants():
        actions = AuditLogEntry.objects.filter(action__startswith="document_source.").order_by("id")
        assert [entry.action.rpartition(".")[2] for entry in actions] == ["created", "updated", "deleted"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"connector": "ftp"}, "field_invalid"),
        ({"config": {}}, "source_invalid"),
        ({"config": SITE | {"unknown": 1}}, "source_invalid"),
        ({"config": {"url": "http://10.0.0.1/"}}, "source_invalid"),
        ({"config": {"url": "http://user:pass@docs.example.com/"}}, "source_invalid"),
        ({"config": SITE | {"delay_seconds": 0}}, "source_invalid"),
        ({"config": SITE | {"include": ["x" * 600]}}, "source_invalid"),
        ({"credentials": {"secret_key": "a"}}, "source_invalid"),
        ({"connector": "s3", "config": {"bucket": "../x"}}, "source_invalid"),
        ({"connector": "s3", "config": {"bucket": "abc"}, "credentials": {"secret_key": "A Value!"}}, "source_invalid"),
        ({"max_documents": 0}, "invalid"),
        ({"gone_items": "hide"}, "invalid"),
        ({"name": ""}, "invalid"),
    ],
)
def test_api_refuses_invalid_sources(acme_api: APIClient, dataset: Dataset, changes: dict[str, Any], code: str) -> None:
    answer = acme_api.post(URL, new(dataset, **changes), format="json")
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert answer.json()["errors"]


def test_name_and_number_of_sources_are_limited(
    acme_api: APIClient, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme_api.post(URL, new(dataset), format="json")
    assert acme_api.post(URL, new(dataset), format="json").json()["code"] == "source_name_taken"
    monkeypatch.setattr(service, "MAX_SOURCES", 1)
    assert acme_api.post(URL, new(dataset, name="b"), format="json").json()["code"] == "too_many_sources"


def test_sources_of_other_tenants_are_invisible(globex_api: APIClient, acme: Tenant, dataset: Dataset) -> None:
    source = make_source(dataset, "sitemap", SITE)
    one = f"{URL}{source.pk}/"
    assert globex_api.get(one).status_code == globex_api.get(f"{one}items/").status_code == 404
    assert globex_api.post(f"{one}sync/").status_code == globex_api.delete(one).status_code == 404
    assert globex_api.post(URL, new(dataset), format="json").status_code == 404
    assert globex_api.get(URL).json()["results"] == []


def test_api_starts_one_sync_and_shows_its_items(acme_api: APIClient, dataset: Dataset, site: WebServer) -> None:
    publish(site, {"/a": "Alpha.", "/b": "Beta."})
    site.answers["/b"] = (404, {}, b"")
    source = site_source(dataset, site)
    one = f"{URL}{source.pk}/"
    started = acme_api.post(f"{one}sync/")
    assert (started.status_code, started.json()["sync_status"]) == (202, "running")
    again = acme_api.post(f"{one}sync/")
    assert (again.status_code, again.json()["code"]) == (409, "sync_running")
    execute(source, job_id=UUID(started.json()["job"]))
    shown = acme_api.get(one).json()
    assert (shown["counts"]["listed"], shown["counts"]["failed"]) == (2, 1)
    items = {row["key"].removeprefix(site.url): row for row in acme_api.get(f"{one}items/").json()["results"]}
    assert (items["/a"]["state"], items["/b"]["state"]) == ("current", "error")
    assert (items["/b"]["error_code"], items["/b"]["document"]) == ("http_404", None)
    assert "404" in items["/b"]["error_message"]
    assert acme_api.get(f"/api/v1/documents/{items['/a']['document']}/").status_code == 200


def test_disabled_source_is_not_synced_by_hand(acme_api: APIClient, dataset: Dataset) -> None:
    source = make_source(dataset, "sitemap", SITE, is_enabled=False)
    answer = acme_api.post(f"{URL}{source.pk}/sync/")
    assert (answer.status_code, answer.json()["code"]) == (409, "source_disabled")


def test_reference_to_a_secret_needs_the_right_to_use_secrets(dataset: Dataset) -> None:
    config = {"bucket": "manuals", "access_key": "AKIAEXAMPLE"}
    actor = Actor(kind="user", is_of_tenant=True, may_use_secrets=False)
    with acting_as(actor), pytest.raises(SecretUseDeniedError):
        make_source(dataset, "s3", config, credentials={"secret_key": "bucket_key"})
    source = make_source(dataset, "s3", config, credentials={"secret_key": "bucket_key"})
    with tenant_context(dataset.tenant_id), acting_as(actor):
        update_source(source_id=source.pk, changes={"max_documents": 3})
        with pytest.raises(SecretUseDeniedError):
            update_source(source_id=source.pk, changes={"credentials": {"secret_key": "another"}})


def test_error_of_an_item_is_stored_sealed(acme_api: APIClient, dataset: Dataset, bucket: Any, s3_server: str) -> None:
    put(bucket, a_txt="x" * 20)
    source = bucket_source(dataset, s3_server, max_file_bytes=10)
    sync(source)
    with tenant_context(dataset.tenant_id):
        stored = str(source.items.values_list("error_message", flat=True).get())
    assert "more than 10 bytes" not in stored
    (item,) = acme_api.get(f"{URL}{source.pk}/items/").json()["results"]
    assert "more than 10 bytes" in item["error_message"]


def test_schedule_submits_syncs(acme: Tenant, dataset: Dataset) -> None:
    source = make_source(dataset, "sitemap", SITE)
    payload = {"source": str(source.pk)}
    values = {"name": "nightly", "kind": "document_sync", "payload": payload, "cron": "0 3 * * *", "timezone": "UTC"}
    schedule = create_schedule(tenant=acme, values=values)
    with tenant_context(acme):
        run_schedule_now(schedule_id=schedule.pk)
    with all_tenants():
        job = Job.objects.get(kind="document_sync")
    assert job.payload == payload


def test_jobs_are_about_the_datasets_of_their_sources(dataset: Dataset) -> None:
    source = make_source(dataset, "sitemap", SITE)
    payloads = [{"source": str(source.pk)}, {"source": str(uuid4())}, {"source": 7}, {}]
    with tenant_context(dataset.tenant_id):
        assert DocumentSync.subjects_of(payloads) == [dataset.pk, None, None, None]


def test_console_adds_syncs_and_deletes_a_source(member: Client, dataset: Dataset, site: WebServer) -> None:
    publish(site, {"/a": "Alpha."})
    form = {
        "name": "our site",
        "dataset": dataset.pk,
        "connector": "sitemap",
        "config": json.dumps({"url": site.url}),
        "credentials": "{}",
        "max_documents": 10,
        "max_file_bytes": 1_000,
        "gone_items": "keep",
        "is_enabled": "on",
    }
    answer = member.post(f"{PAGES}add/", form)
    assert answer.status_code == 302, answer.content.decode()[-3_000:]
    with tenant_context(dataset.tenant_id):
        source = ContentSource.objects.get()
    page = f"{PAGES}{source.pk}/change/"
    shown = member.get(page).content.decode()
    assert "Sync by a schedule" in shown
    assert f"source__id__exact={source.pk}" in shown
    sync(source)
    assert "1 listed, 1 new" in member.get(page).content.decode()
    assert "our site" in member.get(PAGES).content.decode()
    items = member.get(f"/admin/document_sources/sourceitem/?source__id__exact={source.pk}")
    assert site.url in items.content.decode()


def test_console_shows_the_faults_of_a_configuration(member: Client, dataset: Dataset) -> None:
    form = {
        "name": "our site",
        "dataset": dataset.pk,
        "connector": "sitemap",
        "config": '{"url": "http://10.0.0.1/"}',
        "credentials": "{}",
        "max_documents": 10,
        "max_file_bytes": 1_000,
        "gone_items": "keep",
    }
    answer = member.post(f"{PAGES}add/", form)
    assert answer.status_code == 200
    assert "not allowed" in answer.content.decode()


def test_link_offers_the_payload_of_a_schedule(member: Client, dataset: Dataset) -> None:
    source = make_source(dataset, "sitemap", SITE)
    query = {"kind": "document_sync", "payload": json.dumps({"source": str(source.pk)})}
    shown = member.get("/admin/scheduling/schedule/add/", query).content.decode()
    assert str(source.pk) in shown
    for payload in ("[" * 3_000, "[1]", "x", '{"a": 1' + "0" * 5_000):
        answer = member.get("/admin/scheduling/schedule/add/", query | {"payload": payload})
        assert answer.status_code == 200


def test_unknown_source_is_404(acme_api: APIClient) -> None:
    assert acme_api.get(f"{URL}{uuid4()}/").status_code == 404
