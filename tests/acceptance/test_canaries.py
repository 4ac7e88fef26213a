"""A worker with heartbeats that reads no message is detected and restarted; a busy worker is not."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis

from scheduling.models import Worker
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.helpers import submit, wait_for, wait_for_all
from tests.acceptance.processes import eventually
from tests.acceptance.proxy import Proxy
from tests.acceptance.test_platform import free_port

# The promise about half-open connections.
WORKING_AGAIN_SECONDS = 30.0


@pytest.fixture
def proxy(acceptance_broker_url: str) -> Iterator[Proxy]:
    """Run a proxy to the broker."""
    parts = urlsplit(acceptance_broker_url)
    opened = Proxy((parts.hostname or "127.0.0.1", parts.port or 6379))
    yield opened
    opened.close()


def test_half_open_connections_are_detected_and_jobs_run_again(
    platform: Platform, acme: Tenant, proxy: Proxy, acceptance_broker_url: str
) -> None:
    for process in (platform.worker, platform.dispatcher):
        assert process is not None
        process.stop()
    platform.worker = platform.dispatcher = None
    url = url_through(proxy, acceptance_broker_url)
    supervisor = platform.start(
        "run_platform",
        f"--bind=127.0.0.1:{free_port()}",
        "--slots=2",
        "--web-workers=1",
        REDIS_URL=url,
        CACHE_URL=url,
    )
    eventually(answering_worker, within=START_SECONDS, what="the worker answers its canaries")
    wait_for(*submit(acme, "noop"), "completed")

    assert proxy.freeze() > 2
    (job,) = submit(acme, "noop")
    wait_for(job, "completed", within=WORKING_AGAIN_SECONDS)
    # The dispatcher's connection passed through it, too.
    assert "service=dispatcher status" not in supervisor.log
    assert "service_died" not in supervisor.log or "status=75" in supervisor.log
    supervisor.stop()


def test_worker_with_heartbeats_that_reads_no_message_exits(
    platform: Platform, acme: Tenant, acceptance_broker_url: str
) -> None:
    assert platform.worker is not None
    platform.worker.stop()
    platform.worker = None
    worker = platform.start(
        "run_worker", "--pool=default", "--slots=2", CANARY_INTERVAL_SECONDS="0.5", CANARY_LIMIT_SECONDS="3"
    )
    deaf = eventually(answering_worker, within=START_SECONDS, what="the worker answers its canaries")
    # Its idle children are suspended; only the canary can show it.
    for pid in worker.children():
        os.kill(pid, signal.SIGSTOP)
    assert worker.wait() == 75
    assert fetch_worker(deaf).stop_reason in {"canary_late", ""}
    assert "worker.canary_late" in worker.log
    platform.restart_stopped()
    wait_for(*submit(acme, "noop"), "completed")


def test_worker_full_of_long_jobs_is_not_restarted(
    platform: Platform, acme: Tenant, acceptance_broker_url: str
) -> None:
    assert platform.worker is not None
    platform.worker.stop()
    platform.worker = None
    worker = platform.start(
        "run_worker", "--pool=default", "--slots=1", CANARY_INTERVAL_SECONDS="0.5", CANARY_LIMIT_SECONDS="1"
    )
    busy = eventually(answering_worker, within=START_SECONDS, what="the worker answers its canaries")
    jobs = submit(acme, "sleep", *[{"seconds": 5}] * 2)
    wait_for_all(jobs)
    assert worker.is_running
    assert fetch_worker(busy).stop_reason == ""
    # Canaries are outside the queues of jobs: none accumulate while they cannot be read.
    with redis.Redis.from_url(acceptance_broker_url) as client:
        assert client.llen(f"canary.{busy.id.hex}") <= 1
    assert worker.stop() == 0


def url_through(proxy: Proxy, url: str) -> str:
    """Return ``url`` with the address of the proxy."""
    parts = urlsplit(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{credentials}{at}127.0.0.1:{proxy.port}"))


def answering_worker() -> Worker | None:
    """Return the live worker of the pool `default` once it has answered a canary."""
    with all_tenants():
        return Worker.objects.filter(pool__name="default", status="online", canary_at__isnull=False).first()


def fetch_worker(worker: Worker) -> Worker:
    with all_tenants():
        return Worker.objects.get(pk=worker.pk)
