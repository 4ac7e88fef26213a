"""The limit of pending messages: new jobs are refused at it, and what was accepted is carried out."""

from __future__ import annotations

import time

import pytest

from scheduling.dispatch.effects import IDLE_SECONDS, EffectDuties
from scheduling.exceptions import QuotaExceededError
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.limits.declared import OUTBOX_PENDING
from scheduling.models import Job, OutboxMessage, OutboxRoute
from scheduling.outbox import pending
from scheduling.outbox.pending import PendingCounter
from scheduling.outbox.relay import RELAY_SECONDS
from tenants.context import acting_as, all_tenants, command_actor, tenant_context
from tenants.limits.service import set_tenant_limit
from tenants.limits.usage import read_stored
from tenants.limits.usage_queries import read_usage
from tenants.models import LimitWarning, Tenant
from tests.integration.scheduling.job_helpers import submit
from tests.integration.scheduling.outbox.conftest import Deliver, states
from tests.integration.scheduling.outbox.test_outbox import emit, run_script, store
from tests.integration.workloads.webhooks.conftest import Run

pytestmark = pytest.mark.usefixtures("transactional_db")


def counted(tenant: Tenant) -> int:
    with all_tenants():
        return read_stored(tenant.pk, OUTBOX_PENDING)


@pytest.fixture
def limited(acme: Tenant) -> Tenant:
    """Return a tenant that may have two pending messages."""
    with acting_as(command_actor("test")):
        set_tenant_limit(tenant=acme, key=OUTBOX_PENDING.key, value=2, reason="a test")
    return acme


@pytest.mark.parametrize("pool", ["prefork"])
@pytest.mark.parametrize("kind", ["scripted"], indirect=True)
def test_new_jobs_are_refused_at_the_limit_and_running_ones_keep_their_messages(
    limited: Tenant, kind: str, run: Run, route: OutboxRoute, deliver: Deliver
) -> None:
    run_script(run, limited, kind, emit(1, 2))
    (waiting,) = submit(limited, kind=kind)
    PendingCounter().take_turn(has_pending=True)
    with pytest.raises(QuotaExceededError, match=r"2 outbox messages.*2 may be\. Repair their receivers") as refused:
        submit_job(tenant=limited, request=JobRequest(kind))
    assert refused.value.limit is not None
    assert (refused.value.limit.key, refused.value.limit.used) == (OUTBOX_PENDING.key, 2)
    run(waiting)
    assert states() == ["pending"] * 4
    # Delivery jobs and children are accepted.
    assert deliver() == 1
    with tenant_context(limited):
        parent = Job.objects.get(pk=waiting.pk)
    assert submit_job(tenant=limited, request=JobRequest(kind), parent=parent).created
    assert states() == ["delivered"] * 4
    PendingCounter().take_turn(has_pending=False)
    assert counted(limited) == 0
    assert submit(limited, kind=kind)


def test_usage_shows_the_number_and_warns_near_the_limit(limited: Tenant, route: OutboxRoute, globex: Tenant) -> None:
    store(limited, route, 1, 2)
    PendingCounter().take_turn(has_pending=True)
    with tenant_context(limited):
        (line,) = (line for line in read_usage(limited.pk).lines if line.limit is OUTBOX_PENDING)
        assert (line.used, line.allowed, line.left, line.state) == (2, 2, 0, "exceeded")
        assert set(LimitWarning.objects.values_list("percent", flat=True)) == {80, 100}
    assert counted(globex) == 0


def test_counter_counts_until_there_are_none(acme: Tenant, route: OutboxRoute, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "COUNT_SECONDS", 0.0)
    counter = PendingCounter()
    store(acme, route, 1)
    counter.take_turn(has_pending=True)
    assert counted(acme) == 1
    with all_tenants():
        OutboxMessage.objects.update(state="delivered")
    counter.take_turn(has_pending=False)
    assert counted(acme) == 0
    store(acme, route, 2)
    counter.take_turn(has_pending=False)
    assert counted(acme) == 0, "it rests until a message is seen"


def test_idle_duties_rest_longer_and_find_new_messages(acme: Tenant, route: OutboxRoute) -> None:
    duties = EffectDuties()
    assert (duties.relay(), duties.compensate()) == (0, 0)
    assert (duties.relay_seconds(), duties.compensation_seconds()) == (IDLE_SECONDS, IDLE_SECONDS)
    store(acme, route, 1)
    started = time.monotonic()
    while not duties.relay():
        assert time.monotonic() - started < 10.0
    assert duties.relay_seconds() == RELAY_SECONDS
    assert states() == ["pending"]
