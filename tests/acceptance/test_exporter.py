"""A dispatcher and a worker that answer scrapes themselves, as in separate containers."""

from __future__ import annotations

from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from tenants.models import Tenant
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.helpers import submit, wait_for_all
from tests.acceptance.processes import eventually
from tests.acceptance.test_platform import free_port

TOKEN = "of this test"


def test_each_process_exports_its_own_metrics(platform: Platform, acme: Tenant, tmp_path: Path) -> None:
    assert platform.worker is not None
    assert platform.dispatcher is not None
    platform.worker.stop()
    platform.dispatcher.stop()
    ports = {name: free_port() for name in ("dispatcher", "worker")}
    variables = {
        name: {
            "METRICS_PORT": str(port),
            "METRICS_TOKEN": TOKEN,
            "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / name / "metrics"),
        }
        for name, port in ports.items()
    }
    platform.start("dispatch_jobs", **variables["dispatcher"])
    platform.start("run_worker", "--pool=default", "--slots=1", **variables["worker"])
    wait_for_all(submit(acme, "noop", *[{}] * 3), within=START_SECONDS)

    dispatched = "jobsplatform_jobs_dispatched_total"
    eventually(lambda: value_of(dispatched, ports["dispatcher"]) == 3, what="the dispatcher exports its dispatches")
    with pytest.raises(HTTPError, match="401"):
        urlopen(f"http://127.0.0.1:{ports['worker']}/metrics", timeout=5)
    # The children count, the parent answers.
    ended = "jobsplatform_executions_ended_total"
    eventually(lambda: value_of(ended, ports["worker"]) == 3, what="the worker exports its ended executions")


def value_of(metric: str, port: int) -> float | None:
    """Return the sum of a metric over its labels; None while the process does not answer."""
    try:
        scrape = Request(f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        with urlopen(scrape, timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except (URLError, OSError):
        return None
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(metric))
