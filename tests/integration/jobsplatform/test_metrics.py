"""Metrics tell depth and wait by queue, which autoscalers follow."""

import re

import pytest
from django.test import Client
from pytest_django import Settings

from scheduling.models import WorkerPool
from scheduling.services.dispatching import run_tick
from scheduling.services.submission import JobRequest, submit_jobs
from tenants.context import tenant_context
from tenants.models import Tenant

pytestmark = pytest.mark.django_db


def scrape(settings: Settings) -> dict[str, float]:
    """Return the samples as Prometheus would read them."""
    settings.METRICS_TOKEN = "right"
    response = Client().get("/metrics", headers={"authorization": "Bearer right"})
    assert response.status_code == 200
    samples = re.findall(r"^(\w+(?:\{.*?\})?) (\S+)$", response.content.decode(), re.MULTILINE)
    return {name: float(value) for name, value in samples}


def test_every_queue_and_pool_is_there_before_any_job(settings: Settings) -> None:
    samples = scrape(settings)
    assert samples['jobsplatform_queue_waiting_jobs{queue="dataset"}'] == 0
    assert samples['jobsplatform_queue_oldest_wait_seconds{queue="dataset"}'] == 0
    assert samples['jobsplatform_pool_slots{pool="default"}'] == 0


def test_waiting_jobs_are_counted_in_their_queue(settings: Settings, acme: Tenant) -> None:
    with tenant_context(acme):
        submit_jobs(tenant=acme, requests=[JobRequest(kind="noop", payload={}) for _ in range(3)])
    # The tick counts what waits; without a worker it hands nothing out.
    run_tick(WorkerPool.objects.get(name="default").pk)
    samples = scrape(settings)
    assert samples['jobsplatform_queue_waiting_jobs{queue="workflow_team"}'] == 3


def test_no_tenant_is_named(settings: Settings, acme: Tenant) -> None:
    assert "acme" not in " ".join(scrape(settings))
