"""Remains of jobs with real workers: daemons are ended, and exhausted processes are replaced."""

from __future__ import annotations

import pytest

from tenants.models import Tenant
from tests.acceptance.helpers import event_names, executions_of, submit, wait_for, wait_for_all
from tests.acceptance.processes import ManagedProcess, eventually
from tests.acceptance.test_job_logs import log_of
from tests.chaos.plugin.litter import is_running

pytestmark = pytest.mark.slow

KIND = "chaos_litter"


@pytest.mark.parametrize("is_deaf", [False, True])
def test_daemons_end_with_their_job(plugin_worker: ManagedProcess, acme: Tenant, is_deaf: bool) -> None:
    (job,) = submit(acme, KIND, {"is_deaf": is_deaf})
    pids = wait_for(job, "completed").result["pids"]
    assert [pid for pid in pids if is_running(pid)] == []
    lines = [line.fields for line in log_of(job).lines if "was ended" in line.message]
    assert {line["left_pid"] for line in lines} >= set(pids)
    assert {line["command"] for line in lines} >= {"sleep"}
    (execution,) = executions_of(job)
    assert execution.outcome == "completed"
    # After their end the process is usable again.
    assert "child.replaced" not in plugin_worker.log


def test_daemons_end_with_the_process_of_their_job(plugin_worker: ManagedProcess, acme: Tenant) -> None:
    (job,) = submit(acme, KIND, {"crashes": True})
    pids = wait_for(job, "completed").result["pids"]
    eventually(lambda: not [pid for pid in pids if is_running(pid)], what="all daemons have ended")
    assert all(f"left_pid={pid}" in plugin_worker.log.replace("'", "") for pid in pids), plugin_worker.log


def test_worker_process_without_free_descriptors_is_replaced(plugin_worker: ManagedProcess, acme: Tenant) -> None:
    greedy = submit(acme, KIND, *[{"takes_descriptors": True}] * 4)
    others = submit(acme, "noop", *[{}] * 40)
    wait_for_all([*greedy, *others])
    assert [execution.outcome for job in greedy for execution in executions_of(job)] == ["completed"] * 4
    assert {len(executions_of(job)) for job in others} == {1}
    assert all("execution.returned" not in event_names(job) for job in others)
    assert plugin_worker.log.count("child.exhausted") == 4
    pids = [pid for job in greedy for pid in wait_for(job, "completed").result["pids"]]
    eventually(lambda: not [pid for pid in pids if is_running(pid)], what="all daemons have ended")
