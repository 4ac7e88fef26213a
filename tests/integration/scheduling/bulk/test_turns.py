"""Turns of bulk operations: exactly the jobs present at the start, each once, and an abort at any time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scheduling.bulk import queries as reads
from scheduling.bulk import starting, turns
from scheduling.bulk.queries import find_operations, get_operation
from scheduling.bulk.records import actor_of
from scheduling.bulk.starting import plan_bulk_operation
from scheduling.bulk.stopping import abort_bulk_operation, undo_bulk_operation
from scheduling.bulk.turns import MAX_FAILURES, note_failure, open_operations, take_turn
from scheduling.exceptions import (
    BulkFilterEmptyError,
    BulkNotUndoableError,
    BulkNumberError,
    BulkOperationEndedError,
    BulkOperationNotFoundError,
    BulkPreviewStaleError,
    PayloadInvalidError,
    QueueNotFoundError,
    RateLimitedError,
    TooManyBulkOperationsError,
)
from scheduling.jobs import retries
from scheduling.jobs.filters import FilterSyntaxError
from scheduling.models import BulkFormer, BulkOperation, Job, JobEvent, WorkerPool
from scheduling.upkeep.retention import platform_rows
from tenants.context import acting_as, all_tenants, tenant_context
from tenants.exceptions import DomainError, FieldInvalidError, ReasonRequiredError
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.backlog import assert_nothing_is_lost
from tests.integration.scheduling.bulk.conftest import ALICE, STELLA, Start, reload_operation, take_turns
from tests.integration.scheduling.bulk.test_acts import states_of
from tests.integration.scheduling.job_helpers import reload, submit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a turn change three jobs and read seven."""
    monkeypatch.setattr(turns, "FIRST_ROWS", 3)
    monkeypatch.setattr(turns, "CHUNK_ROWS", 3)
    monkeypatch.setattr(reads, "WINDOW_ROWS", 7)


def entries(tenant: Tenant | None, action: str) -> list[AuditLogEntry]:
    with all_tenants():
        return list(AuditLogEntry.objects.filter(tenant=tenant, action=f"bulk_operation.{action}").order_by("id"))


@pytest.mark.usefixtures("small_chunks")
def test_turns_change_each_job_once(acme: Tenant, pool: WorkerPool, start_bulk: Start) -> None:
    jobs = []
    for _ in range(4):
        jobs += submit(acme, 4)
        submit(acme, 6, kind="sleep", payload={"seconds": 1})
    operation = start_bulk(acme, "kind:noop", "cancel")
    assert take_turns() > 4
    operation = reload_operation(operation)
    assert (operation.seen, operation.changed, operation.ineligible) == (16, 16, {})
    assert states_of(jobs) == {"cancelled": 16}
    with all_tenants():
        assert JobEvent.objects.filter(name="job.cancelled").count() == 16
    assert_nothing_is_lost(pool)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(("owner", "broken"), [(BulkOperation, "save"), (turns, "end_operation")])
def test_crash_in_a_turn_repeats_and_skips_no_job(
    acme: Tenant, start_bulk: Start, monkeypatch: pytest.MonkeyPatch, owner: object, broken: str
) -> None:
    jobs = submit(acme, 8)
    operation = start_bulk(acme, "kind:noop", "reprioritise", parameters={"priority": 1})
    (opened,) = open_operations()
    take_turn(opened)
    before = reload_operation(operation)
    with monkeypatch.context() as patch:

        def crash(*_: Any) -> None:
            raise RuntimeError("killed")

        patch.setattr(owner, broken, crash)
        if broken == "end_operation":
            take_turn(opened)
            before = reload_operation(operation)
        with pytest.raises(RuntimeError, match="killed"):
            take_turn(opened)
    after = reload_operation(operation)
    assert (after.position, after.seen, after.changed) == (before.position, before.seen, before.changed)
    take_turns()
    operation = reload_operation(operation)
    assert (operation.state, operation.seen, operation.changed) == ("completed", 8, 8)
    with all_tenants():
        assert JobEvent.objects.filter(name="job.reprioritised").count() == 8
        assert Job.objects.filter(pk__in=[job.pk for job in jobs], priority=1).count() == 8


def test_job_submitted_after_the_start_is_not_changed(acme: Tenant, start_bulk: Start) -> None:
    before = submit(acme, 2)
    start_bulk(acme, "kind:noop", "cancel")
    after = submit(acme, 2)
    take_turns()
    assert states_of(before) == {"cancelled": 2}
    assert states_of(after) == {"available": 2}


def test_ages_in_the_filter_count_from_the_start(acme: Tenant, start_bulk: Start) -> None:
    submit(acme)
    operation = start_bulk(acme, "age:<1h kind:noop", "cancel")
    assert operation.asked_filter == "age:<1h kind:noop"
    assert operation.filter.startswith("created:>")


@pytest.mark.usefixtures("small_chunks")
def test_abort_ends_the_operation_between_turns(acme: Tenant, start_bulk: Start) -> None:
    jobs = submit(acme, 8)
    operation = start_bulk(acme, "kind:noop", "cancel")
    (opened,) = open_operations()
    assert take_turn(opened)
    with tenant_context(acme), acting_as(STELLA):
        abort_bulk_operation(operation_id=operation.pk, reason="too many")
        with pytest.raises(BulkOperationEndedError):
            abort_bulk_operation(operation_id=operation.pk, reason="again")
    assert not take_turn(opened)
    assert take_turns() == 0
    operation = reload_operation(operation)
    assert (operation.state, operation.changed) == ("aborted", 3)
    assert states_of(jobs) == {"cancelled": 3, "available": 5}
    (aborted,) = entries(acme, "aborted")
    assert (aborted.actor_label, aborted.reason, aborted.after["changed"]) == ("stella", "too many", 3)


def test_undo_restores_jobs_unchanged_since(acme: Tenant, pool: WorkerPool, start_bulk: Start) -> None:
    one, two, three = [*submit(acme), *submit(acme, priority=1), *submit(acme)]
    operation = start_bulk(acme, "kind:noop", "reprioritise", parameters={"priority": 3})
    take_turns()
    start_bulk(acme, f"id:{three.pk}", "reprioritise", parameters={"priority": 2})
    take_turns()
    with tenant_context(acme), acting_as(ALICE):
        undo = undo_bulk_operation(operation_id=operation.pk, reason="a mistake")
        with pytest.raises(BulkNotUndoableError, match="already"):
            undo_bulk_operation(operation_id=operation.pk, reason="again")
    take_turns()
    undo = reload_operation(undo)
    assert (undo.state, undo.changed, undo.ineligible) == ("completed", 2, {"changed_meanwhile": 1})
    assert [reload(job).priority for job in (one, two, three)] == [0, 1, 2]
    assert [reload(job).rank for job in (one, two)] == [one.rank, two.rank]
    with tenant_context(acme), pytest.raises(BulkNotUndoableError):
        undo_bulk_operation(operation_id=undo.pk, reason="back and forth")
    assert_nothing_is_lost(pool)


def test_undo_moves_jobs_back_to_their_queues(acme: Tenant, pool: WorkerPool, start_bulk: Start) -> None:
    jobs = submit(acme, 3)
    operation = start_bulk(None, "tenant:acme", "move_queue", parameters={"queue": "tasks"})
    take_turns()
    with all_tenants(), acting_as(STELLA):
        assert Job.objects.filter(queue__name="tasks").count() == 3
        undo_bulk_operation(operation_id=operation.pk, reason="a mistake")
    take_turns()
    assert [reload(job).queue_id for job in jobs] == [job.queue_id for job in jobs]
    assert_nothing_is_lost(pool)


def test_undo_of_a_cancel_is_refused(acme: Tenant, start_bulk: Start) -> None:
    submit(acme)
    operation = start_bulk(acme, "kind:noop", "cancel")
    with tenant_context(acme), pytest.raises(BulkNotUndoableError):
        undo_bulk_operation(operation_id=operation.pk, reason="before its end")
    take_turns()
    with tenant_context(acme), pytest.raises(BulkNotUndoableError):
        undo_bulk_operation(operation_id=operation.pk, reason="never")


def test_former_values_are_pruned_after_their_retention(
    acme: Tenant, start_bulk: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(acme)
    operation = start_bulk(acme, "kind:noop", "reprioritise", parameters={"priority": 3})
    take_turns()
    assert platform_rows.prune_platform_rows(limit=10)["bulk_formers"] == 0
    monkeypatch.setattr(platform_rows, "BULK_FORMERS", -platform_rows.BULK_FORMERS)
    assert platform_rows.prune_platform_rows(limit=10)["bulk_formers"] == 1
    with tenant_context(acme), pytest.raises(BulkNotUndoableError, match="no longer"):
        undo_bulk_operation(operation_id=operation.pk, reason="late")
    monkeypatch.setattr(platform_rows, "BULK_OPERATIONS", -platform_rows.BULK_OPERATIONS)
    assert platform_rows.prune_platform_rows(limit=10)["bulk_operations"] == 1


def test_operation_of_another_tenant_is_hidden(acme: Tenant, globex: Tenant, start_bulk: Start) -> None:
    own, foreign = submit(acme, 2), submit(globex, 2)
    operation = start_bulk(acme, "kind:noop", "reprioritise", parameters={"priority": 1})
    everywhere = start_bulk(None, "tenant:acme kind:sleep", "cancel")
    with tenant_context(globex):
        assert list(find_operations()) == []
        for act in (abort_bulk_operation, undo_bulk_operation):
            with pytest.raises(BulkOperationNotFoundError):
                act(operation_id=operation.pk, reason="curious")
        with pytest.raises(BulkOperationNotFoundError):
            get_operation(everywhere.pk)
        assert BulkFormer.objects.count() == 0
    take_turns()
    assert [reload(job).priority for job in (*own, *foreign)] == [1, 1, 0, 0]
    with tenant_context(globex):
        assert BulkFormer.objects.count() == 0


def test_many_jobs_need_their_number(acme: Tenant, start_bulk: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "UNTYPED_JOBS", 2)
    submit(acme, 3)
    for wrong in (None, 2, 4):
        with pytest.raises(BulkNumberError) as refusal:
            start_bulk(acme, "kind:noop", "cancel", number=wrong)
        assert refusal.value.number == 3
    assert start_bulk(acme, "kind:noop", "cancel", number=3).expected == 3


def test_jobs_of_several_tenants_need_their_number(acme: Tenant, globex: Tenant, start_bulk: Start) -> None:
    jobs = [*submit(acme, 2), *submit(globex, 1)]
    with pytest.raises(BulkNumberError):
        start_bulk(None, "kind:noop", "cancel")
    start_bulk(None, "kind:noop", "cancel", number=3)
    take_turns()
    assert states_of(jobs) == {"cancelled": 3}
    assert [entry.after["changed"] for entry in entries(acme, "ended")] == [2]
    assert [entry.after["changed"] for entry in entries(globex, "ended")] == [1]
    assert [entry.after["changed"] for entry in entries(None, "ended")] == [3]
    assert [entry.reason for entry in entries(None, "started")] == ["a test"]


def test_ticket_starts_only_what_its_preview_showed(
    acme: Tenant, start_bulk: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "UNTYPED_JOBS", 2)
    shown = submit(acme, 3)
    with tenant_context(acme):
        plan = plan_bulk_operation(filter_text="kind:noop", operation="cancel", parameters={})
    later = submit(acme, 2)
    with pytest.raises(BulkPreviewStaleError):
        start_bulk(acme, "kind:noop", "discard", number=3, ticket=plan.ticket)
    with pytest.raises(BulkPreviewStaleError):
        start_bulk(acme, "kind:noop", "cancel", number=3, ticket=plan.ticket[:-1])
    start_bulk(acme, "kind:noop", "cancel", number=3, ticket=plan.ticket)
    take_turns()
    assert states_of(shown) == {"cancelled": 3}
    assert states_of(later) == {"available": 2}
    monkeypatch.setattr(starting, "TICKET_SECONDS", -1)
    with pytest.raises(BulkPreviewStaleError):
        start_bulk(acme, "kind:noop", "cancel", number=3, ticket=plan.ticket)


def test_preview_shows_the_effect_and_changes_nothing(acme: Tenant, start_bulk: Start) -> None:
    jobs = submit(acme, 7)
    submit(acme, priority=1)
    start_bulk(acme, f"id:{jobs[0].pk}", "cancel")
    take_turns()
    with tenant_context(acme):
        plan = plan_bulk_operation(filter_text="kind:noop", operation="reprioritise", parameters={"priority": 1})
        assert BulkOperation.objects.count() == 1
    preview = plan.preview
    assert (preview.count.value, preview.count.is_capped, preview.eligible, preview.tenants) == (8, False, 6, 1)
    assert preview.ineligible == {"cancelled": 1, "unchanged": 1}
    assert preview.by_state == {"available": 7, "cancelled": 1}
    assert sum(preview.by_queue.values()) == 8
    assert [job.pk for job in preview.sample] == [job.pk for job in jobs[:5]]
    assert "noop" in preview.words
    assert not plan.needs_number


@pytest.mark.parametrize(
    ("filter_text", "operation", "parameters", "error"),
    [
        ("", "cancel", {}, BulkFilterEmptyError),
        ("state:nonsense", "cancel", {}, FilterSyntaxError),
        ("kind:noop", "delete", {}, FieldInvalidError),
        ("kind:noop", "reprioritise", {}, FieldInvalidError),
        ("kind:noop", "reprioritise", {"priority": True}, FieldInvalidError),
        ("kind:noop", "cancel", {"priority": 1}, FieldInvalidError),
        ("kind:noop", "move_queue", {"queue": "nowhere"}, QueueNotFoundError),
    ],
)
def test_invalid_operation_is_refused(
    acme: Tenant,
    start_bulk: Start,
    filter_text: str,
    operation: str,
    parameters: dict[str, Any],
    error: type[Exception],
) -> None:
    with pytest.raises(error):
        start_bulk(acme, filter_text, operation, parameters=parameters)
    with pytest.raises(ReasonRequiredError):
        start_bulk(acme, "kind:noop", "cancel", reason=" ")
    with all_tenants():
        assert BulkOperation.objects.count() == 0


def test_turns_failing_repeatedly_end_the_operation(acme: Tenant, start_bulk: Start) -> None:
    submit(acme)
    operation = start_bulk(acme, "kind:noop", "cancel")
    (opened,) = open_operations()
    for failures in range(1, MAX_FAILURES):
        note_failure(opened, RuntimeError("no"))
        assert reload_operation(operation).failures == failures
        assert open_operations() == []  # it is paused
    note_failure(opened, RuntimeError("no"))
    operation = reload_operation(operation)
    assert (operation.state, operation.error) == ("failed", "RuntimeError: no")
    assert [entry.after["state"] for entry in entries(acme, "ended")] == ["failed"]


@pytest.mark.parametrize("last_refusal", [RateLimitedError(retry_after_seconds=30), PayloadInvalidError()])
def test_retry_pauses_at_the_submission_rate_of_the_tenant(
    acme: Tenant, start_bulk: Start, monkeypatch: pytest.MonkeyPatch, last_refusal: DomainError
) -> None:
    jobs = submit(acme, 5)
    start_bulk(acme, "kind:noop", "cancel")
    take_turns()
    real = retries.submit_jobs

    def two_only(*, requests: list[Any], **options: Any) -> Any:
        bulk = real(requests=requests[:2], **options | {"parents": options["parents"][:2]})
        late = RateLimitedError(retry_after_seconds=30)
        bulk.rejected.extend((index, late) for index in range(2, len(requests) - 1))
        # A later refusal for another reason does not hide those of the rate.
        bulk.rejected.append((len(requests) - 1, last_refusal))
        return bulk

    monkeypatch.setattr(retries, "submit_jobs", two_only)
    operation = start_bulk(acme, "state:cancelled", "retry")
    (opened,) = open_operations()
    assert not take_turn(opened)
    operation = reload_operation(operation)
    assert (operation.seen, operation.changed, operation.ineligible) == (2, 2, {})
    assert operation.resume_at is not None
    assert open_operations() == []
    monkeypatch.setattr(retries, "submit_jobs", real)
    take_turn(opened)
    assert reload_operation(operation).changed == 5
    with all_tenants():
        assert Job.objects.filter(parent_id__in=[job.pk for job in jobs]).count() == 5


def test_open_operations_of_a_tenant_are_limited(
    acme: Tenant, globex: Tenant, start_bulk: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "MAX_OPEN", 1)
    submit(acme)
    start_bulk(acme, "kind:noop", "cancel")
    with pytest.raises(TooManyBulkOperationsError):
        start_bulk(acme, "kind:noop", "cancel")
    start_bulk(globex, "kind:noop", "cancel")
    start_bulk(None, "kind:noop", "cancel")
    take_turns()
    start_bulk(acme, "kind:noop", "cancel")


@pytest.mark.usefixtures("small_chunks")
def test_first_turn_runs_in_the_transaction_of_the_start(acme: Tenant, start_bulk: Start) -> None:
    jobs = submit(acme, 5)
    operation = reload_operation(start_bulk(acme, "kind:noop", "cancel", takes_first_turn=True))
    assert (operation.state, operation.changed, operation.after) == ("running", 3, jobs[2].pk)
    take_turns()
    assert reload_operation(operation).changed == 5
    names = [entry.action for entry in [*entries(acme, "started"), *entries(acme, "ended")]]
    assert names == ["bulk_operation.started", "bulk_operation.ended"]


def test_operation_is_run_to_its_end_without_a_dispatcher(acme: Tenant, start_bulk: Start) -> None:
    submit(acme, 2)
    operation = turns.run_to_end(start_bulk(acme, "kind:noop", "cancel"))
    assert (operation.state, operation.changed) == ("completed", 2)


def test_payload_patch_is_part_of_the_ticket(acme: Tenant, start_bulk: Start) -> None:
    submit(acme)
    start_bulk(acme, "kind:noop", "cancel")
    take_turns()
    asked = {"filter_text": "state:cancelled", "operation": "retry", "parameters": {}}
    with tenant_context(acme):
        ticket = plan_bulk_operation(**asked, payload_patch={"a": 1}).ticket
    for patch in (None, {"a": 2}):
        with pytest.raises(BulkPreviewStaleError):
            start_bulk(acme, "state:cancelled", "retry", payload_patch=patch, ticket=ticket)
    assert start_bulk(acme, "state:cancelled", "retry", payload_patch={"a": 1}, ticket=ticket).has_payload_patch
    take_turns()
    with all_tenants():
        assert Job.objects.get(parent__isnull=False).payload == {"a": 1}


def test_retry_with_a_patch_skips_jobs_in_backoff(acme: Tenant, start_bulk: Start) -> None:
    (job,) = submit(acme)
    with all_tenants():
        Job.objects.filter(pk=job.pk).update(state="retryable")
    operation = start_bulk(acme, "kind:noop", "retry", payload_patch={"a": 1})
    take_turns()
    operation = reload_operation(operation)
    assert (operation.changed, operation.ineligible) == (0, {"retryable": 1})


def test_turns_use_the_rights_of_the_actor_at_the_start(acme: Tenant, start_bulk: Start) -> None:
    submit(acme, 2, kind="http_call", payload={"url": "https://example.com/"})
    start_bulk(acme, "kind:http_call", "cancel")
    take_turns()
    actor = replace(ALICE, may_use_secrets=False, may_manage_webhooks=False)
    patch = {"headers": {"Authorization": "Bearer {{ secrets.api }}"}}
    operation = start_bulk(acme, "state:cancelled", "retry", payload_patch=patch, actor=actor)
    assert actor_of(reload_operation(operation)) == actor
    take_turns()
    operation = reload_operation(operation)
    assert (operation.changed, operation.ineligible) == (0, {"secret_use_denied": 2})
    allowed = start_bulk(acme, "state:cancelled", "retry", payload_patch=patch)
    take_turns()
    assert reload_operation(allowed).changed == 2
