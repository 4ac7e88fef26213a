"""The broker is killed: API and console continue to work, and jobs run again after its return."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from scheduling.limits.usage import REDIS_AWAY
from scheduling.models import Execution, Job, Queue
from tenants.context import all_tenants
from tenants.limits.service import set_tenant_limit
from tenants.models import Tenant
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.helpers import fetch, wait_for, wait_for_all
from tests.acceptance.own_broker import OwnBroker
from tests.acceptance.processes import eventually
from tests.acceptance.test_platform import free_port, is_answering
from tests.checks import faults_of
from tests.keys import issue_api_key

# Promised times; doubled on a machine that runs other tests.
FLOW_SECONDS, EMPTIED_SECONDS = 5.0, 15.0
PATIENCE = 2.0
REQUEST_SECONDS = 30.0
CSRF_TOKEN = "a" * 32


@dataclass
class Outside:
    """The platform as seen by a tenant's program and by platform staff, and control of its broker."""

    api: httpx.Client
    console: httpx.Client
    broker: OwnBroker

    def submit(self, kind: str = "noop", **payload: Any) -> Job:
        answer = self.api.post("jobs/", json={"kind": kind, "payload": payload})
        assert answer.status_code == 201, answer.text
        with all_tenants():
            return Job.objects.get(pk=answer.json()["id"])

    def page(self, name: str, *arguments: object) -> str:
        answer = self.console.get(reverse(f"admin:{name}", args=arguments), follow_redirects=True)
        assert answer.status_code == 200, (name, answer.status_code)
        return answer.text

    def act(self, name: str, *arguments: object, **values: str) -> str:
        """Submit a form of the console; return the resulting page."""
        answer = self.console.post(
            reverse(f"admin:{name}", args=arguments),
            data={"csrfmiddlewaretoken": CSRF_TOKEN, **values},
            follow_redirects=True,
        )
        assert answer.status_code == 200, (name, answer.status_code)
        return answer.text


@pytest.fixture
def outside(platform: Platform, acme: Tenant, tmp_path: Path) -> Iterator[Outside]:
    """Start a complete platform on its own broker, and complete one job."""
    for process in (platform.worker, platform.dispatcher):
        assert process is not None
        process.stop()
    platform.worker = platform.dispatcher = None
    broker = OwnBroker(tmp_path)
    address = f"127.0.0.1:{free_port()}"
    # One web process, so that there is one bucket per process.
    supervisor = platform.start(
        "run_platform",
        f"--bind={address}",
        "--slots=2",
        "--web-workers=1",
        REDIS_URL=broker.url,
        CACHE_URL=broker.url,
    )
    eventually(lambda: is_answering(address), within=START_SECONDS, what="the API answers")
    browser = Client()
    browser.force_login(User.objects.create_superuser(f"stella-{acme.slug}"))
    cookies = {"sessionid": browser.cookies["sessionid"].value, "csrftoken": CSRF_TOKEN}
    token = issue_api_key(tenant=acme, name="tests").token
    with (
        httpx.Client(
            base_url=f"http://{address}/api/v1/",
            headers={"Authorization": f"Api-Key {token}"},
            timeout=REQUEST_SECONDS,
        ) as api,
        httpx.Client(
            base_url=f"http://{address}", cookies=cookies, headers={"Host": "localhost"}, timeout=REQUEST_SECONDS
        ) as console,
    ):
        outside = Outside(api, console, broker)
        wait_for(outside.submit(), "completed", within=START_SECONDS)
        yield outside
        assert supervisor.stop() == 0
    broker.kill()


def test_jobs_are_accepted_during_broker_outage_and_run_after_it(outside: Outside) -> None:
    outside.broker.kill()
    jobs = [outside.submit() for _ in range(10)]
    ready = outside.console.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert {fetch(job).state for job in jobs} == {"available"}

    outside.broker.start()
    eventually(lambda: count_completed(jobs) > 0, within=PATIENCE * FLOW_SECONDS, what="jobs complete again")
    wait_for_all(jobs)
    # New jobs, too, run as quickly as before.
    wait_for(outside.submit(), "completed", within=PATIENCE * FLOW_SECONDS)
    assert faults_of("ledger") == []


def test_console_works_during_broker_outage_and_reports_it(outside: Outside, acme: Tenant) -> None:
    outside.broker.kill()
    job, unwanted = outside.submit(), outside.submit()
    assert outside.api.get("usage/").status_code == 200
    eventually(lambda: "The broker is unavailable" in outside.page("index"), what="the overview says so")
    assert "The dispatcher is silent" not in outside.page("index")
    for model in admin.site._registry:
        outside.page(f"{model._meta.app_label}_{model._meta.model_name}_changelist")
    assert "the message broker is unavailable" in outside.page("scheduling_job_change", job.pk)
    assert REDIS_AWAY in outside.page("tenants_tenant_change", acme.pk)
    assert "does not respond" in outside.page("diagnosis")

    outside.act("scheduling_job_act", unwanted.pk, "cancel", reason="not now")
    assert fetch(unwanted).state == "cancelled"
    queue = Queue.objects.get(name="dataset")
    outside.act("scheduling_queue_act", queue.pk, "pause", reason="a look at it")
    queue.refresh_from_db()
    assert queue.is_paused
    outside.act("scheduling_queue_act", queue.pk, "resume", reason="done")
    assert "The broker is unavailable. Try again later" in outside.act("scheduling_upkeeprun_run", "verify_ledger")

    outside.broker.start()
    wait_for(job, "completed")
    eventually(lambda: "The broker is unavailable" not in outside.page("index"), what="the overview says nothing more")


def test_rate_limit_is_counted_per_process_during_broker_outage(outside: Outside, acme: Tenant) -> None:
    outside.broker.kill()
    set_tenant_limit(tenant=acme, key="submits_per_minute", value=1, reason="a test")
    set_tenant_limit(tenant=acme, key="submit_burst", value=3, reason="a test")
    answers = [outside.api.post("jobs/", json={"kind": "noop"}) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 429, 429]
    assert answers[-1].json()["code"] == "rate_limited"
    assert "Retry-After" in answers[-1].headers
    lines = {line["key"]: line for line in outside.api.get("usage/").json()["limits"]}
    assert lines["submit_burst"]["note"] == REDIS_AWAY
    outside.broker.start()


def test_flushed_broker_under_load_loses_no_job(outside: Outside) -> None:
    jobs = [outside.submit("sleep", seconds=0.05) for _ in range(40)]
    eventually(lambda: count_completed(jobs) > 5, what="jobs complete")
    outside.broker.empty()
    before = count_completed(jobs)
    assert before < len(jobs)
    more = EMPTIED_SECONDS * PATIENCE
    eventually(lambda: count_completed(jobs) > before, within=more, what="jobs complete again")
    wait_for_all(jobs, within=2 * more)
    assert count_completed(jobs) == len(jobs)
    assert faults_of("ledger") == []


def count_completed(jobs: list[Job]) -> int:
    with all_tenants():
        return Execution.objects.filter(job_id__in=[job.pk for job in jobs], outcome="completed").count()
