"""A foreign Celery process that reads a queue of the platform returns the messages, and is reported."""

from __future__ import annotations

from scheduling.diagnosis.service import Health, diagnose
from tenants.models import Tenant
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.helpers import submit, wait_for
from tests.acceptance.processes import eventually


def test_jobs_complete_beside_foreign_consumer_that_raises_an_alarm(platform: Platform, acme: Tenant) -> None:
    foreign = platform.start_celery(
        "worker",
        "--queues=tasks_team",
        "--concurrency=2",
        "--loglevel=INFO",
        # The tests' user of Redis may not publish to other processes.
        "--without-mingle",
        "--without-gossip",
        app="tests.acceptance.foreign_app",
    )
    eventually(lambda: " ready." in foreign.log or not foreign.is_running, within=START_SECONDS, what="it reads")
    assert foreign.is_running, foreign.log
    for job in [submit(acme, "noop")[0] for _ in range(12)]:
        wait_for(job, "completed")
    eventually(lambda: "message.returned" in foreign.log, what="it has received a message")
    check = next(check for check in diagnose().checks if check.name == "foreign consumers")
    assert check.state is Health.FAILURE
    assert "NoWorkerError" not in foreign.log
