"""The runner of bulk operations: it runs turns, stops on request, and one failing operation stops no other."""

from __future__ import annotations

import threading
import time

import pytest

from scheduling.bulk.runner import BulkRunner
from scheduling.models import BulkOperation, Queue, WorkerPool
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.scheduling.bulk.conftest import Start, reload_operation
from tests.integration.scheduling.bulk.test_acts import states_of
from tests.integration.scheduling.job_helpers import submit


@pytest.mark.django_db(transaction=True)
def test_two_runners_end_two_operations_together(acme: Tenant, globex: Tenant, start_bulk: Start) -> None:
    jobs = [*submit(acme, 30), *submit(globex, 20)]
    operations = [start_bulk(tenant, "kind:noop", "cancel") for tenant in (acme, globex)]
    stopped = threading.Event()
    threads = [threading.Thread(target=BulkRunner(stopped).run, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 60
    while any(reload_operation(operation).is_open for operation in operations) and time.monotonic() < until:
        threading.Event().wait(0.05)
    stopped.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    ended = [reload_operation(operation) for operation in operations]
    assert [(each.state, each.seen, each.changed) for each in ended] == [("completed", 30, 30), ("completed", 20, 20)]
    assert states_of(jobs) == {"cancelled": 50}


@pytest.mark.django_db
def test_failing_operation_stops_no_other(acme: Tenant, start_bulk: Start) -> None:
    jobs = submit(acme, 2)
    with all_tenants():
        gone = Queue.objects.create(name="gone", pool=WorkerPool.objects.get(name="default"))
    broken = start_bulk(None, "tenant:acme", "move_queue", parameters={"queue": "gone"})
    good = start_bulk(acme, "kind:noop", "cancel")
    with all_tenants():
        Queue.objects.filter(pk=gone.pk).delete()
    runner = BulkRunner(threading.Event())
    assert not runner.take_turns()
    broken, good = reload_operation(broken), reload_operation(good)
    assert (broken.state, broken.failures) == (BulkOperation.State.PENDING, 1)
    assert "gone" in broken.error
    assert good.state == BulkOperation.State.COMPLETED
    assert states_of(jobs) == {"cancelled": 2}
