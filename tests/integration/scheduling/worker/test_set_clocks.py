"""Changed database clocks: they change no charge, because workers measure by their monotonic clock.

The database's clock cannot be set in a test; moving a start by as much has the same effect.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models import F

from scheduling.dispatch.tick import run_tick
from scheduling.execution.rescue import run_sweep
from scheduling.execution.settlement import settle
from scheduling.execution.start import start_execution
from scheduling.kit import registry
from scheduling.models import Charge, Execution, LiveExecution, WorkerPool
from scheduling.statistics.rollups import fold_tallies
from scheduling.worker.child_exit import ExitCause, settlements_for_exited_child
from scheduling.worker.control_block import ControlBlock
from scheduling.worker.local_worker import LocalWorker
from tenants.context import all_tenants
from tenants.database.platform_settings import platform_settings
from tenants.models import Tenant
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import submit
from tests.integration.scheduling.worker.conftest import Run, RunMerged
from tests.unit.scheduling.worker.test_control_block import only

pytestmark = pytest.mark.django_db(transaction=True)

STEPS = [timedelta(hours=2), timedelta(hours=-2), timedelta(days=119)]
SECONDS = 0.1
# A loaded machine is slow, but no step is as short as this.
MOST_SECONDS = 60.0


def step_clock(by: timedelta) -> None:
    """Make everything in flight look as if the database's clock had been set by `by` in between."""
    with all_tenants():
        LiveExecution.objects.filter(started_at__isnull=False).update(started_at=F("started_at") - by)


def check_costs() -> None:
    """Assert that each execution was charged what ran, and that every sum agrees."""
    run_tick(WorkerPool.objects.get(name="default").pk)
    fold_tallies()
    with all_tenants():
        for execution in Execution.objects.all():
            assert SECONDS <= execution.measured_us / 1e6 < MOST_SECONDS
            charged = Charge.objects.filter(execution_id=execution.pk).values_list("microseconds", flat=True)
            assert sum(charged) == execution.measured_us
    assert faults_of("ledger") == []
    assert faults_of("usage") == []


@pytest.mark.parametrize("by", STEPS)
def test_job_is_charged_its_run_time_despite_changed_clock(
    acme: Tenant, run: Run, set_processor: Callable[..., None], by: timedelta
) -> None:
    set_processor(lambda context: (time.sleep(SECONDS), step_clock(by))[0])
    assert run(*submit(acme, kind="scripted")).state == "completed"
    check_costs()


@pytest.mark.parametrize("by", STEPS)
def test_merged_jobs_are_charged_their_run_time_despite_changed_clock(
    acme: Tenant, run_merged: RunMerged, set_processor: Callable[..., None], by: timedelta
) -> None:
    set_processor(lambda context: (time.sleep(SECONDS), step_clock(by))[0])
    assert {job.state for job in run_merged(submit(acme, 2, kind="scripted"))} == {"completed"}
    check_costs()


@pytest.mark.parametrize("by", STEPS)
def test_job_of_a_dead_child_is_charged_by_its_parent(acme: Tenant, local: LocalWorker, by: timedelta) -> None:
    submit(acme, kind="scripted")
    run_tick(WorkerPool.objects.get(name="default").pk)
    with all_tenants():
        live = LiveExecution.objects.get()
    started = start_execution(execution_id=live.pk, token=live.token, worker_id=local.registration.worker_id)
    assert started is not None
    block = ControlBlock(1)
    seat = block.take_seat(0, [live.pk])
    seat.note_started({live.pk: started.fence})
    seat.note_begun(fence=started.fence, attempt=1, crash_count=0, max_retries=3, kind=started.kind, timeout_seconds=30)
    time.sleep(SECONDS)
    step_clock(by)
    held = only(block)
    assert settle(settlements_for_exited_child(held, block.members_of(held), ExitCause.CRASHED))
    check_costs()


@pytest.mark.parametrize("by", STEPS)
def test_lost_job_is_charged_at_most_time_limit_and_lease(acme: Tenant, local: LocalWorker, by: timedelta) -> None:
    submit(acme, kind="scripted")
    run_tick(WorkerPool.objects.get(name="default").pk)
    with all_tenants():
        live = LiveExecution.objects.get()
    assert start_execution(execution_id=live.pk, token=live.token, worker_id=local.registration.worker_id)
    step_clock(by)
    with all_tenants():
        LiveExecution.objects.update(lease_expires_at=F("started_at") - timedelta(days=1))
    assert run_sweep().rescued == 1
    bound = int((registry.timeout_seconds("scripted") + platform_settings.LEASE_SECONDS) * 1e6)
    with all_tenants():
        execution = Execution.objects.get()
    assert execution.measured_us == (bound if by > timedelta() else 0)
    run_tick(WorkerPool.objects.get(name="default").pk)
    assert faults_of("ledger") == []
    assert faults_of("usage") == []
