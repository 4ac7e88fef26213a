"""A routing strategy of an installed package chooses in a web server that has it; another web server falls back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from scheduling.jobs.routing import strategies
from scheduling.models import Job, QueueStanding, RoutingRule
from scheduling.topology.service import create_queue, create_routing_rule, create_worker_pool
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.processes import eventually
from tests.acceptance.serving import is_ready
from tests.acceptance.test_platform import free_port, is_answering
from tests.installing import found_by_this_process
from tests.keys import issue_api_key

SLOTS = {"few": 1, "many": 4}
STRATEGY = "acme_by_length"
LONG, SHORT = {"texts": ["x" * 20_000]}, {"texts": ["x"]}


@pytest.fixture
def rule(platform: Platform, example_folder: Path) -> Iterator[RoutingRule]:
    """Run a worker in each of two pools, and send the jobs of a kind to the pool that the strategy chooses."""
    targets = {}
    for name in SLOTS:
        create_worker_pool(name=name)
        targets[create_queue(name=name, pool=name).pk] = 1
    workers = [platform.begin_worker(pool=name, concurrency=slots) for name, slots in SLOTS.items()]
    with found_by_this_process(example_folder):
        strategies.reset()
        row = create_routing_rule(values={"position": 1, "kind": "noop", "balance": STRATEGY}, targets=targets)
    strategies.reset()
    eventually(lambda: all(map(is_ready, workers)), within=START_SECONDS, what="the workers are ready")
    eventually(lambda: measured_slots() == SLOTS, within=START_SECONDS, what="the slots are measured")
    yield row
    with all_tenants():
        row.delete()


def measured_slots() -> dict[str, int]:
    with all_tenants():
        return dict(QueueStanding.objects.filter(queue__name__in=SLOTS).values_list("queue__name", "slots"))


class Caller:
    """A client of one web server."""

    def __init__(self, port: int, tenant: Tenant) -> None:
        self.url = f"http://127.0.0.1:{port}/api/v1/"
        self.key = issue_api_key(tenant=tenant, name=f"caller of {port}").token

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"Authorization": f"Api-Key {self.key}", "Content-Type": "application/json"}
        request = Request(self.url + path, None if body is None else json.dumps(body).encode(), headers)
        with urlopen(request, timeout=30) as response:
            answer: dict[str, Any] = json.load(response)
        return answer

    def submit(self, payload: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
        """Return the id of a new job, its queue, and the data of its first event."""
        job = self.ask("jobs/", {"kind": "noop", "payload": payload})
        events = self.ask(f"jobs/{job['id']}/events/")["results"]
        (data,) = [event["data"] for event in events if event["name"] == "job.submitted"]
        return job["id"], job["queue"], data


def test_strategy_of_a_package_chooses_where_it_is_installed(
    platform: Platform, rule: RoutingRule, example_folder: Path, acme: Tenant
) -> None:
    ports = free_port(), free_port()
    platform.start_web(ports[0], PYTHONPATH=str(example_folder))
    platform.start_web(ports[1])
    eventually(
        lambda: all(is_answering(f"127.0.0.1:{port}") for port in ports),
        within=START_SECONDS,
        what="the web servers answer",
    )
    having, lacking = (Caller(port, acme) for port in ports)
    long_job, queue, data = having.submit(LONG)
    assert (queue, data) == (
        "many",
        {"strategy": STRATEGY, "reason": "20000 characters: the pool with the most slots"},
    )
    assert having.submit(SHORT)[2] == {"strategy": STRATEGY, "reason": "a short text: the pool that is free first"}
    _, queue, data = lacking.submit(LONG)
    assert queue in SLOTS
    assert data == {"strategy": STRATEGY, "fallback": "least_loaded", "cause": "not_installed"}
    eventually(lambda: is_completed(long_job), what="a worker of the chosen pool runs the job")


def is_completed(job_id: str) -> bool:
    with all_tenants():
        return Job.objects.filter(pk=job_id, state="completed").exists()
