"""Logs of jobs with a real worker: readable while jobs run, durable, and bounded."""

from __future__ import annotations

import pytest

from scheduling import conf
from scheduling.execution.logs.queries import LogPage, read_log
from scheduling.jobs.cancellation import cancel_job
from scheduling.models import Job, JobLogTally
from tenants.context import tenant_context
from tenants.models import Tenant
from tests.acceptance.conftest import Platform
from tests.acceptance.helpers import fetch, submit, wait_for
from tests.acceptance.processes import eventually

pytestmark = [pytest.mark.slow, pytest.mark.core]


def log_of(job: Job) -> LogPage:
    with tenant_context(job.tenant_id):
        return read_log(job, limit=10_000)


def messages_of(job: Job) -> list[str]:
    return [line.message for line in log_of(job).lines]


def test_log_lines_of_running_job_are_visible(platform: Platform, acme: Tenant) -> None:
    (job,) = submit(acme, "sleep", {"seconds": 600})
    eventually(lambda: messages_of(job) == ["sleeping"], what="the line is stored")
    assert fetch(job).state == "executing"
    with tenant_context(acme):
        cancel_job(job_id=job.pk)
    wait_for(job, "cancelled")


def test_log_lines_survive_a_killed_process(platform: Platform, acme: Tenant) -> None:
    (job,) = submit(acme, "crash", {"times": 1, "seconds": 3})
    wait_for(job, "completed")
    lines = log_of(job).lines
    assert [line.message for line in lines] == ["about to kill this process"]
    assert fetch(job).crash_count == 1


def test_log_flood_without_safe_point_stays_within_the_limit(platform: Platform, acme: Tenant) -> None:
    (job,) = submit(acme, "spin", {"seconds": 0.1, "lines": 20_000}, max_retries=0)
    eventually(lambda: fetch(job).is_terminal, what="the job has ended")
    page = log_of(job)
    stored = sum(len(line.message.encode()) for line in page.lines)
    assert 0 < stored <= conf.MAX_LOG_BYTES
    assert "dropped" in page.lines[-1].message
    with tenant_context(acme):
        assert JobLogTally.objects.get(job_id=job.pk).offered_bytes >= stored
