"""Third-party kinds: an installed package appears in the API, the console and the routes."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from jobsplatform.settings.env import BASE_DIR
from scheduling.celery.fair_tasks import FairTaskUnlistedError, fair_task
from scheduling.exceptions import KindUnknownError, PayloadInvalidError, RouteMissingError
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.kit import registry
from scheduling.models import Job, Queue, RoutingRule
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.form_data import posted
from tests.integration.api.test_access import API, assert_problem

COUNT, GREETING = "acme_word_count", "acme_greeting"
pytestmark = pytest.mark.usefixtures("example")


def tasks() -> Any:
    return importlib.import_module("acme_word_count.tasks")


def test_platform_source_does_not_name_the_package() -> None:
    sources = [
        path for part in ("jobsplatform", "scheduling", "tenants", "workloads", "templates") for path in walk(part)
    ]
    assert len(sources) > 500
    assert [path for path in sources if "acme_" in path.read_text(encoding="utf-8", errors="ignore")] == []


def walk(part: str) -> list[Any]:
    return [path for path in (BASE_DIR / part).rglob("*") if path.suffix in {".py", ".html"}]


def test_api_lists_the_kind_with_its_schema_and_package(acme_api: APIClient) -> None:
    listed = {row["kind"]: row for row in acme_api.get(API + "job-kinds/").json()["results"]}
    assert {COUNT, GREETING, "noop"} <= listed.keys()
    row = listed[COUNT]
    assert (row["title"], row["timeout_seconds"], row["max_retries"]) == ("Count words (Acme)", 60, 1)
    assert row["description"].startswith("Counts the words of many texts, and tells the commonest.\n\nIt goes on")
    assert row["payload_schema"]["required"] == ["texts"]
    assert (row["package"], row["package_version"]) == ("acme-word-count", "0.1.0")
    assert row["queues"] == ["tasks_team"]
    assert listed[GREETING]["queues"] == ["dataset"]
    assert listed[GREETING]["payload_schema"]["properties"]["times"] == {"type": "integer"}
    assert listed["noop"]["package"] == ""
    assert acme_api.get(API + f"job-kinds/{COUNT}/").json() == row
    assert_problem(acme_api.get(API + "job-kinds/nope/"), 404, "not_found")


def test_kind_is_listed_among_those_that_can_be_paused(staff_api: APIClient) -> None:
    assert COUNT in [row["name"] for row in staff_api.get(API + "kinds/").json()["results"]]
    assert staff_api.post(API + f"kinds/{COUNT}/pause/", {"reason": "a bug"}).json()["is_paused"]
    row = staff_api.get(API + f"job-kinds/{GREETING}/").json()
    assert row["queues"] == ["dataset"]


@pytest.mark.parametrize("kind", [COUNT, "acme_corpus_count"])
def test_console_submits_a_job_by_fields_of_its_schema(
    client: Client, acme: Tenant, acme_user: User, kind: str
) -> None:
    member = "texts" if kind == COUNT else "documents"
    client.force_login(acme_user)
    data = posted(client.get(reverse("admin:scheduling_job_submit"), {"kind": kind}).content.decode())
    fields = f"{reverse('admin:scheduling_job_payload')}?name=payload&kind={kind}"
    for _row in range(2):
        data |= posted(client.post(fields, data | {"payload-act": f"add:/{member}"}).content.decode())
    data |= {f"payload/{member}/0": "to be", f"payload/{member}/1": "or not"}
    done = client.post(reverse("admin:scheduling_job_submit"), data)
    assert done.status_code == 302, (
        done.context["form"].fields["payload"].widget.faults,
        {k: v for k, v in data.items() if k.startswith("payload")},
    )
    with tenant_context(acme):
        [job] = Job.objects.filter(kind=kind)
        assert job.payload == {member: ["to be", "or not"]}


def test_payload_is_validated_by_the_kinds_schema(acme_api: APIClient) -> None:
    refused = acme_api.post(API + "jobs/", {"kind": COUNT, "payload": {"texts": [7]}})
    assert_problem(refused, 422, "payload_invalid")
    assert refused.json()["errors"][0]["field"] == "$.texts[0]"
    assert acme_api.post(API + "jobs/", {"kind": COUNT, "payload": {"texts": ["to be"]}}).status_code == 201
    refused = acme_api.post(API + "jobs/", {"kind": GREETING, "payload": {"name": "Ann", "times": "twice"}})
    assert_problem(refused, 422, "payload_invalid")
    answer = acme_api.post(API + "jobs/", {"kind": GREETING, "payload": {"name": "Ann"}})
    assert (answer.status_code, answer.json()["queue"]) == (201, "dataset")


def test_console_shows_the_kind(client: Client, acme: Tenant, acme_user: User) -> None:
    job = submit_job(tenant=acme, request=JobRequest(kind=COUNT, payload={"texts": ["to be"]})).job
    client.force_login(acme_user)
    kinds = client.get(reverse("admin:job_kinds")).content.decode()
    for words in ("Count words (Acme)", "from the package acme-word-count 0.1.0", "&quot;maxItems&quot;: 1000", "noop"):
        assert words in kinds
    jobs = client.get(reverse("admin:scheduling_job_changelist"), {"kind": COUNT})
    assert COUNT in jobs.content.decode()
    assert client.get(reverse("admin:scheduling_job_change", args=[job.pk])).status_code == 200


def test_kind_can_be_paused_in_the_console(client: Client, staff: User) -> None:
    client.force_login(staff)
    assert COUNT in client.get(reverse("admin:scheduling_kindpause_add")).content.decode()
    assert client.get(reverse("admin:job_kinds")).status_code == 200


def test_routing_rule_sends_the_kind_to_another_queue(staff_api: APIClient, acme: Tenant) -> None:
    trial = {"kind": GREETING, "tier": "team", "payload": {"name": "Ann"}}
    assert staff_api.post(API + "routing-rules/test/", trial).json()["queue"] == "dataset"
    pipeline = Queue.objects.get(name="pipeline")
    with all_tenants():
        RoutingRule.objects.create(position=1, kind=GREETING, queue=pipeline)
    assert staff_api.post(API + "routing-rules/test/", trial).json()["queue"] == "pipeline"
    job = submit_job(tenant=acme, request=JobRequest(kind=GREETING, payload={"name": "Ann"})).job
    assert job.queue_id == pipeline.pk


def test_missing_default_queue_is_named(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "default_queue", lambda kind: "nowhere")
    with pytest.raises(RouteMissingError, match="The default queue nowhere of acme_greeting"):
        submit_job(tenant=acme, request=JobRequest(kind=GREETING, payload={"name": "Ann"}))


def test_fair_task_called_for_a_tenant_becomes_a_job(acme: Tenant) -> None:
    greet = tasks().greet
    job = greet.for_tenant("acme", priority=1, tags=("hello",)).delay("Ann", times=2)
    assert (job.kind, job.payload, job.priority, job.tags) == (GREETING, {"name": "Ann", "times": 2}, 1, ["hello"])
    assert job.max_retries == 2
    later = greet.for_tenant(acme).apply_async(("Ann",), {"times": 3}, countdown=60, expires=600)
    assert later.state == "scheduled"
    assert later.deadline_at is not None
    assert greet.for_tenant(acme, idempotency_key="k").delay("Ann").pk == (
        greet.for_tenant(acme, idempotency_key="k").delay("Ann").pk
    )


def test_keys_of_a_fair_task_call_reach_the_job(acme: Tenant) -> None:
    keys = {"concurrency_key": "account-7", "unique_key": "greeting", "unique_until": "started"}
    greet = tasks().greet.for_tenant(acme, **keys)
    job = greet.delay("Ann")
    assert {name: getattr(job, name) for name in keys} == keys
    assert greet.apply_async(("Bob",), countdown=60).pk == job.pk


def test_fair_task_call_is_rolled_back_with_its_transaction(acme: Tenant) -> None:
    def submit_and_fail() -> None:
        with transaction.atomic():
            tasks().greet.for_tenant(acme).delay("Ann")
            raise LookupError

    with pytest.raises(LookupError):
        submit_and_fail()
    with tenant_context(acme):
        assert not Job.objects.exists()


def test_fair_task_call_with_invalid_arguments_is_refused(acme: Tenant) -> None:
    greet = tasks().greet
    with pytest.raises(TypeError, match="missing a required argument: 'name'"):
        greet.for_tenant(acme).delay()
    with pytest.raises(PayloadInvalidError):
        greet.for_tenant(acme).delay("Ann", times="twice")
    with pytest.raises(PayloadInvalidError):
        greet.for_tenant(acme).delay(b"Ann")
    with tenant_context(acme):
        assert not Job.objects.exists()


def test_unlisted_fair_task_is_refused_with_a_hint(acme: Tenant) -> None:
    @fair_task(kind="unlisted")
    def unlisted() -> None: ...

    with pytest.raises(FairTaskUnlistedError, match="processors"):
        unlisted.for_tenant(acme).delay()
    with pytest.raises(KindUnknownError):
        submit_job(tenant=acme, request=JobRequest(kind="unlisted"))
