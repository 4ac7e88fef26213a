"""A kind that needs a GPU is refused until a pool offers one, and then runs there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scheduling.jobs.requests import JobRequest
from scheduling.jobs.routing.resources import ResourceNotOfferedError
from scheduling.jobs.submission import submit_job
from scheduling.kit import registry
from scheduling.models import Execution, Worker
from scheduling.topology.service import create_queue, create_routing_rule, create_worker_pool
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.acceptance.conftest import Platform
from tests.acceptance.helpers import fetch, submit, wait_for
from workloads.diagnostics.processor import NoopProcessor


@pytest.fixture
def rendering(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the kind noop need a GPU where jobs are submitted."""
    monkeypatch.setattr(NoopProcessor, "needs", ("gpu",))
    registry.reset()
    yield
    registry.reset()


@pytest.mark.usefixtures("rendering")
def test_kind_runs_in_the_pool_that_offers_what_it_needs(platform: Platform, acme: Tenant) -> None:
    with pytest.raises(ResourceNotOfferedError):
        submit_job(tenant=acme, request=JobRequest(kind="noop"))
    create_worker_pool(name="cards", values={"offers": ["gpu"]})
    queue = create_queue(name="cards", pool="cards")
    worker = platform.start_worker(concurrency=1, pool="cards")
    rule = create_routing_rule(values={"position": 1, "kind": "noop", "queue": queue})
    try:
        (job,) = submit(acme, "noop")
        wait_for(job, "completed")
        assert fetch(job).queue_id == queue.pk
        with all_tenants():
            workers = Execution.objects.filter(job_id=job.pk).values("worker_id")
            assert Worker.objects.get(pk__in=workers).pid == worker.pid
    finally:
        worker.stop()
        with all_tenants():
            rule.delete()
