"""What Prometheus is told of what happened."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from prometheus_client import generate_latest

from scheduling.observability.metrics import scrape_registry
from tenants.models import Tenant
from tests.integration.scheduling.acts import Start, Tick, complete, submit

type Capture = Callable[..., AbstractContextManager[list[Callable[[], None]]]]


def scrape() -> dict[str, float]:
    """Each sample by its name with labels, as in the text that Prometheus reads."""
    lines = generate_latest(scrape_registry()).decode().splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {name: float(value) for name, value in pairs}


def test_submissions_are_counted_once_committed(acme: Tenant, django_capture_on_commit_callbacks: Capture) -> None:
    before = scrape().get('jobs_submitted_total{kind="noop"}', 0)
    with django_capture_on_commit_callbacks(execute=True):
        submit(acme, 3)
    assert scrape()['jobs_submitted_total{kind="noop"}'] == before + 3


def test_every_end_is_counted_by_its_outcome(
    acme: Tenant, start: Start, tick: Tick, django_capture_on_commit_callbacks: Capture
) -> None:
    (job,) = submit(acme)
    name = 'execution_seconds_count{kind="noop",outcome="completed"}'
    before = scrape().get(name, 0)
    tick()
    with django_capture_on_commit_callbacks(execute=True):
        complete(start, job)
    assert scrape()[name] == before + 1
