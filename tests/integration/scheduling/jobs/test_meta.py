"""Meta of jobs: checked at submission, found by filters through an index, and removed with the jobs."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from scheduling.exceptions import OptionInvalidError
from scheduling.jobs.filters import parse
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.queries import find_jobs
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.retries import retry_job
from scheduling.jobs.submission import submit_job, submit_jobs
from scheduling.models import Job, JobMeta
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.databases import connect_as_owner
from tests.integration.scheduling.job_helpers import submit

pytestmark = pytest.mark.django_db
JOBS = "/api/v1/jobs/"
META = {"order": 4711, "region": "eu-1", "is_big": True, "ratio": 0.5, "none": None, "list": [1], "long": "x" * 201}
AT_SIZE = 10_000
# A hundredth of each tenant's jobs has one value, and each of the others a value of its own.
_FILL = """
INSERT INTO scheduling_job_meta (tenant_id, job_id, name, value)
SELECT r.tenant_id, r.id, 'order', CASE WHEN n %% 100 = 0 THEN 'common' ELSE 'order-' || n END FROM (
    SELECT (jsonb_populate_record(j, jsonb_build_object('id', uuidv7()))).*, n
    FROM scheduling_job j, generate_series(1, %(jobs)s) AS n WHERE j.id = %(like)s
) r
"""
_FILL_JOBS = """
INSERT INTO scheduling_job SELECT (t.r).* FROM (
    SELECT jsonb_populate_record(j, jsonb_build_object('id', m.job_id)) AS r
    FROM scheduling_job j, scheduling_job_meta m WHERE j.id = %(like)s AND m.tenant_id = j.tenant_id
) t
"""


@pytest.fixture
def acme_api(acme: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    return api_client(acme)


def found(tenant: Tenant, text: str) -> set[Any]:
    with tenant_context(tenant):
        return {job.pk for job in find_jobs(parse(text))}


def test_meta_is_stored_and_its_members_are_found(acme: Tenant, globex: Tenant) -> None:
    (job,) = submit(acme, meta=META)
    (other, _plain) = submit(acme, meta={"order": 4712}) + submit(acme)
    submit(globex, meta=META)
    with tenant_context(acme):
        assert Job.objects.get(pk=job.pk).meta == META
        members = dict(JobMeta.objects.filter(job_id=job.pk).values_list("name", "value"))
    assert members == {"order": "4711", "region": "eu-1", "is_big": "true", "ratio": "0.5"}
    for text in ("meta.order:4711", "META.region:eu-1", "meta.is_big:true meta.ratio:0.5", "meta:region"):
        assert found(acme, text) == {job.pk}, text
    assert found(acme, "meta.order:4711,4712") == found(acme, "meta:order") == {job.pk, other.pk}
    assert found(acme, "meta:order -meta.order:4711") == {other.pk}
    assert found(acme, "meta.Order:4711") == found(acme, "meta.none:null") == set()


@pytest.mark.parametrize(
    "meta",
    [
        {"a b": 1},
        {"": 1},
        {"x" * 65: 1},
        {f"m{n}": n for n in range(21)},
        {"a": "ü" * 2_048},
        {"a": float("nan")},
        {"a": object()},
        {"a": "\x00"},
    ],
)
def test_invalid_meta_is_refused(acme: Tenant, meta: dict[str, Any]) -> None:
    with pytest.raises(OptionInvalidError, match=r"^meta "):
        submit_job(tenant=acme, request=JobRequest("noop", meta=meta))


def test_meta_of_many_jobs_is_stored_with_each(acme: Tenant) -> None:
    metas: list[dict[str, Any]] = [{"n": 1}, {}, {"n": True}, {"n": 1.0}, {"n": 1}]
    bulk = submit_jobs(tenant=acme, requests=[JobRequest("noop", meta=meta) for meta in metas])
    jobs = [done.job.pk for _, done in bulk.accepted]
    with tenant_context(acme):
        assert [json.dumps(Job.objects.get(pk=pk).meta) for pk in jobs] == [json.dumps(meta) for meta in metas]
    assert found(acme, "meta.n:1") == {jobs[0], jobs[4]}


def test_api_takes_and_shows_meta(acme: Tenant, acme_api: APIClient) -> None:
    answer = acme_api.post(JOBS, {"kind": "noop", "meta": {"order": 4711}}, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["meta"]) == (201, {"order": 4711})
    [row] = acme_api.get(JOBS, {"q": "meta.order:4711"}).json()["results"]
    assert (row["id"], row["meta"]) == (answer.json()["id"], {"order": 4711})
    other = acme_api.post(JOBS, {"kind": "noop", "meta": {"order": 4712}}, headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert acme_api.post(JOBS, {"kind": "noop", "meta": [1]}).status_code == 422


def test_command_takes_meta(acme: Tenant) -> None:
    call_command("submit_job", "noop", "--tenant", "acme", "--meta", '{"order": 1}', stdout=io.StringIO())
    assert len(found(acme, "meta.order:1")) == 1


def test_replay_keeps_meta(acme: Tenant) -> None:
    (job,) = submit(acme, meta={"order": 4711})
    with tenant_context(acme):
        Job.objects.filter(pk=job.pk).update(state=JobState.CANCELLED, finished_at=timezone.now())
        new = retry_job(job_id=job.pk).job
    assert found(acme, "meta.order:4711") == {job.pk, new.pk}


def test_filter_on_meta_needs_no_scan() -> None:
    for text in ("meta.order:4711", "meta.order:1 age:<1h"):
        assert not parse(text).needs_scan, text
    for text in ("meta:order", "meta.order:1,2", "-meta.order:1", "meta.order:1 kind:noop"):
        assert parse(text).needs_scan, text
    assert parse("Meta.Order:7 meta:x").text == "meta.Order:7 meta:x"
    assert parse("meta.order:4711").in_words() == "Jobs with meta order = 4711."
    assert parse("-meta:order").in_words() == "Jobs without meta order."


def plan_of(text: str, scope: AbstractContextManager[Any]) -> str:
    with scope:
        rows = parse(text).apply(Job.objects.order_by("-pk"), now=timezone.now())
        return str(rows[:26].explain())


@pytest.mark.django_db(transaction=True)
def test_members_are_found_by_their_index(
    transactional_db: None, acme: Tenant, globex: Tenant, django_db_setup: Any
) -> None:
    for tenant in (acme, globex):
        (job,) = submit(tenant)
        with all_tenants(), connection.cursor() as cursor:
            cursor.execute(_FILL, {"jobs": AT_SIZE, "like": job.pk})
            cursor.execute(_FILL_JOBS, {"like": job.pk})
    with connect_as_owner(django_db_setup.name) as owner:
        owner.execute("ANALYZE scheduling_job, scheduling_job_meta")
    for text in ("meta.order:order-7", "meta.order:absent", "meta.order:order-7 age:<1h"):
        for plan in (plan_of(text, tenant_context(acme)), plan_of(text, all_tenants())):
            assert "job_meta_member" in plan, (text, plan)
            assert "Seq Scan on scheduling_job" not in plan, (text, plan)
    common = plan_of("meta.order:common", tenant_context(acme))
    assert "Seq Scan on scheduling_job " not in common, common
