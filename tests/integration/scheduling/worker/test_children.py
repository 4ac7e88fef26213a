"""Children: a job submits them, waits for them without a slot, and continues when the last has ended."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scheduling.jobs.batches.cancelling import tend_cancellations
from scheduling.jobs.batches.folding import fold_batches
from scheduling.jobs.batches.queries import children_of
from scheduling.jobs.cancellation import cancel_job
from scheduling.kit.base import AwaitChildren, Complete, JobContext, Yielded
from scheduling.models import Batch, Job
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.acceptance.helpers import event_names
from tests.integration.scheduling.bulk.conftest import take_turns
from tests.integration.scheduling.job_helpers import reasons_of, reload, submit
from tests.integration.scheduling.worker.conftest import Run, outcomes

type Follow = Callable[..., None]


def fan_out(context: JobContext) -> object:
    """Submit two children and wait in the first start; return their results in the second."""
    if context.payload.get("is_child"):
        if context.payload["number"] == 1:
            raise_permanent()
        return Complete({"number": context.payload["number"]})
    if not context.state:
        for number in range(2):
            context.submit_child("scripted", {"is_child": True, "number": number}, tags=("child",))
        return AwaitChildren({"has_asked": True})
    return Complete({"found": [[child.state, child.result, child.error_type] for child in context.children()]})


def raise_permanent() -> None:
    from scheduling.kit.base import PermanentError

    raise PermanentError("no", code="odd_number")


def children(parent: Job) -> list[Job]:
    with all_tenants():
        return list(children_of(parent.pk))


def test_parent_continues_when_the_last_child_has_ended(acme: Tenant, run: Run, set_processor: Follow) -> None:
    set_processor(fan_out)
    (parent,) = submit(acme, kind="scripted")
    parent = run(parent)
    assert parent.state == "suspended"
    first, second = children(parent)
    assert (first.parent_id, first.tags, first.batch_id) == (parent.pk, ["child"], second.batch_id)
    with tenant_context(acme):
        assert [(reason.code, reason.detail) for reason in reasons_of(parent)] == [
            ("awaits_children", "Waits for its children: 0 of 2 have ended.")
        ]
    run(first)
    fold_batches()
    assert reload(parent).state == "suspended"
    assert run(second).state == "discarded"
    fold_batches()
    assert reload(parent).state == "available"
    parent = run(parent)
    assert parent.state == "completed"
    assert parent.result == {"found": [["completed", {"number": 0}, ""], ["discarded", None, "odd_number"]]}
    assert outcomes(parent) == ["yielded", "completed"]
    assert parent.attempt == 0
    assert "execution.awaits_children" in event_names(parent)
    assert "job.children_ended" in event_names(parent)


def test_parent_awaiting_no_children_continues_at_once(acme: Tenant, run: Run, set_processor: Follow) -> None:
    set_processor(
        lambda context: Complete({"n": len(context.children())}) if context.state else AwaitChildren({"a": 1})
    )
    (parent,) = submit(acme, kind="scripted")
    assert run(parent).state == "suspended"
    fold_batches()
    assert run(parent).result == {"n": 0}


@pytest.mark.parametrize("ending", ["completed", "yielded"])
def test_children_are_submitted_without_awaiting_them(
    acme: Tenant, run: Run, set_processor: Follow, ending: str
) -> None:
    def process(context: JobContext) -> object:
        if context.payload or context.state:
            return None
        context.submit_child("scripted", {"is_child": True})
        return Complete() if ending == "completed" else Yielded({"is_next": True})

    set_processor(process)
    (parent,) = submit(acme, kind="scripted")
    run(parent)
    with tenant_context(acme):
        assert Job.objects.filter(parent_id=parent.pk, payload={"is_child": True}).count() == 1
        batch = Batch.objects.get()
    assert (batch.total, batch.waiting_job_id, batch.closed_at is not None) == (1, None, True)


def test_failed_attempt_submits_no_children(acme: Tenant, run: Run, set_processor: Follow) -> None:
    def process(context: JobContext) -> object:
        context.submit_child("scripted", {"is_child": True})
        raise ValueError("no")

    set_processor(process)
    (parent,) = submit(acme, kind="scripted")
    assert run(parent).state == "retryable"
    with tenant_context(acme):
        assert not Batch.objects.exists()


def test_refused_child_fails_its_parent_and_leaves_no_other(acme: Tenant, run: Run, set_processor: Follow) -> None:
    def process(context: JobContext) -> object:
        context.submit_child("scripted", {})
        context.submit_child("sleep", {"seconds": "x"})
        return AwaitChildren({"a": 1})

    set_processor(process)
    (parent,) = submit(acme, kind="scripted")
    parent = run(parent)
    assert (parent.state, parent.error_type) == ("discarded", "payload_invalid")
    with tenant_context(acme):
        assert Job.objects.count() == 1
        assert not Batch.objects.exists()


def test_too_many_children_are_refused(acme: Tenant, run: Run, set_processor: Follow) -> None:
    def process(context: JobContext) -> object:
        for _ in range(1_001):
            context.submit_child("noop")
        return None

    set_processor(process)
    (parent,) = submit(acme, kind="scripted")
    assert run(parent).error_type == "too_many_children"


def test_parent_cancelled_while_submitting_has_no_children(acme: Tenant, run: Run, set_processor: Follow) -> None:
    (parent,) = submit(acme, kind="scripted")

    def process(context: JobContext) -> object:
        context.submit_child("noop")
        with tenant_context(acme):
            cancel_job(job_id=parent.pk)
        return AwaitChildren({"a": 1})

    set_processor(process)
    assert run(parent).state == "cancelled"
    with tenant_context(acme):
        assert Job.objects.count() == 1


def test_orphaned_children_are_cancelled(acme: Tenant, run: Run, set_processor: Follow) -> None:
    set_processor(fan_out)
    (parent,) = submit(acme, kind="scripted")
    run(parent)
    with tenant_context(acme):
        cancel_job(job_id=parent.pk)
    assert tend_cancellations() == 1
    take_turns()
    fold_batches()
    with tenant_context(acme):
        assert Batch.objects.get().state == "cancelled"
    assert [child.state for child in children(parent)] == ["cancelled", "cancelled"]
    assert reload(parent).state == "cancelled"
