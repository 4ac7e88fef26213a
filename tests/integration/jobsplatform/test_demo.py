"""The demonstration: what it creates and reads, on the real tables."""

import pytest

from jobsplatform.demo.provision import create_administrator, create_participants
from jobsplatform.demo.readings import Counts, read_counts, read_death_reasons, read_executions, read_runs, read_slots
from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from tenants.access.caller import authenticate_api_key
from tenants.context import tenant_context
from tenants.tenancy.queries import find_tenant

pytestmark = pytest.mark.django_db


def test_participants_have_keys_and_the_limits_of_three_plans():
    participants = create_participants()
    assert [each.files_per_upload for each in participants] == [5, 20, 100]
    assert [(each.claim.weight, each.claim.cap) for each in participants] == [(1, 2), (2, 5), (4, 10)]
    for each in participants:
        assert authenticate_api_key(token=each.token).tenant_id == each.tenant_id


def test_second_run_on_the_same_database_creates_its_own_tenants():
    first, second = create_participants(), create_participants()
    assert {each.slug for each in first}.isdisjoint(each.slug for each in second)
    assert create_administrator().username != create_administrator().username


def test_counts_are_by_tenant_and_state():
    sandbox, team, _ = create_participants()
    with tenant_context(sandbox.tenant_id):
        jobs = [submit_job(tenant=find_tenant(sandbox.slug), request=JobRequest("noop", {})).job for _ in range(3)]
        cancel_job(job_id=jobs[0].pk)
    counts = read_counts([sandbox.tenant_id, team.tenant_id])
    assert counts == {sandbox.tenant_id: Counts(submitted=3, ended=1)}
    assert counts[sandbox.tenant_id].waiting == 2


def test_platform_without_runs_has_empty_results():
    ids = [each.tenant_id for each in create_participants()]
    assert read_runs(ids) == []
    assert read_executions(ids) == []
    assert read_death_reasons(ids) == {}
    assert read_slots("default") == 0
