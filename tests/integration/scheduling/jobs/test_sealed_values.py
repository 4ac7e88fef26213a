"""Sealed values: payloads, checkpoints and results are encrypted in the tables and plain for permitted readers."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from scheduling.bulk import turns
from scheduling.bulk.serializers import BulkOperationSerializer
from scheduling.bulk.starting import start_bulk_operation
from scheduling.consistency.waiting import append_repair_events
from scheduling.exceptions import IdempotencyMismatchError
from scheduling.execution import policy, settlement_builders
from scheduling.execution.checkpoints import save_checkpoint
from scheduling.execution.settlement import Settlement, settle
from scheduling.fleet.workers import Registration
from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.retries import retry_job, retry_jobs
from scheduling.jobs.reveals import reveal_payload
from scheduling.jobs.submission import submit_job
from scheduling.kit.retry import RetryPolicy
from scheduling.models import Circuit, CircuitNews, Job, JobEvent, JobLog, Schedule
from scheduling.schedules.definitions import create_schedule
from scheduling.schedules.firing import fire_due_schedules
from scheduling.upkeep.stored_values import sealed_models
from tenants.context import all_tenants, tenant_context
from tenants.database.clock import read_moment
from tenants.encryption.data_keys import forget_keys
from tenants.encryption.exceptions import DataKeyUnavailableError
from tenants.encryption.fields import (
    MovedValueError,
    SealedField,
    SealedValue,
    SealedValueBrokenError,
    UnsealedWriteError,
    sealed_field,
)
from tenants.erasure import steps
from tenants.erasure.proof import find_erasure
from tenants.models import AuditLogEntry, Tenant, TenantDataKey, TenantSecret
from tests.auditing import advance_erasure
from tests.integration.scheduling.job_helpers import Start, Tick, begin, fail, reload, submit
from tests.integration.scheduling.schedules.conftest import make_due
from tests.integration.tenants.erasure.test_erasure import asked
from tests.person import client_of
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.usefixtures("no_lock_timeout")
MARKER = "a-word-used-nowhere-else"
PAYLOAD = {"iban": MARKER}


def master(fill: str) -> str:
    return base64.b64encode(fill.encode() * 32).decode()


@pytest.fixture(autouse=True)
def sealing(change_platform_settings: ChangePlatformSettings) -> Iterator[None]:
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")])
    yield
    forget_keys()


def raw(job: Job) -> dict[str, Any]:
    """Return the row as stored in the table."""
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT payload::text, checkpoint::text, result::text FROM scheduling_job WHERE id = %s", [job.pk]
        )
        names = ("payload", "checkpoint", "result")
        return {
            name: None if text is None else json.loads(text)
            for name, text in zip(names, cursor.fetchone(), strict=True)
        }


def write(job: Job, column: str, value: Any) -> None:
    """Write to a column directly, past all guards."""
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE scheduling_job SET {column} = %s WHERE id = %s", [json.dumps(value), job.pk])


def everything() -> str:
    """Return all rows of all tables as text."""
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            " AND has_table_privilege(format('%I.%I', schemaname, tablename), 'SELECT')"
        )
        found = []
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            found += [row for (row,) in cursor.fetchall()]
    return "\n".join(found)


def test_job_runs_without_plain_values_in_any_table(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    (job,) = submit(acme, payload=PAYLOAD)
    tick()
    started = begin(start, job)
    assert started.payload == PAYLOAD
    save_checkpoint(tenant_id=acme.pk, job_id=job.pk, fence=started.fence, state={"at": MARKER})
    assert MARKER not in everything()
    settle([settlement_builders.yielded(started.execution_id, started.fence, {"at": [MARKER]})])
    assert reload(job).checkpoint == {"at": [MARKER]}
    tick()
    again = begin(start, job)
    assert (again.payload, again.checkpoint) == (PAYLOAD, {"at": [MARKER]})
    settle([policy.settlement_of({"answer": MARKER}, again, RetryPolicy(max_retries=0))])
    done = reload(job)
    assert (done.state, done.result, done.payload) == (JobState.COMPLETED, {"answer": MARKER}, PAYLOAD)
    assert all(set(value) == {"$sealed"} for value in raw(job).values())
    assert MARKER not in everything()


def test_merged_jobs_of_many_tenants_start_and_settle_sealed(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    jobs = [*submit(acme, payload={"of": "acme"}), *submit(globex, payload={"of": "globex"})]
    tick()
    begun = [begin(start, job) for job in jobs]
    assert [started.payload["of"] for started in begun] == ["acme", "globex"]
    settle([Settlement.completed(started.execution_id, started.fence, {"of": MARKER}) for started in begun])
    assert [reload(job).result for job in jobs] == [{"of": MARKER}] * 2
    assert MARKER not in everything()


@pytest.mark.parametrize("value", [{}, None, [], 0, ""])
def test_empty_values_are_not_sealed(acme: Tenant, tick: Tick, worker: Registration, start: Start, value: Any) -> None:
    (job,) = submit(acme)
    tick()
    started = begin(start, job)
    settle([Settlement.completed(started.execution_id, started.fence, value)])
    assert raw(job) == {"payload": {}, "checkpoint": {}, "result": value}
    assert reload(job).result == value


@pytest.mark.parametrize("is_on", [True, False])
@pytest.mark.parametrize("payload", [{"$sealed": "1:00:AA=="}, {"$sealed": {"plain": 1}}])
def test_payload_that_looks_sealed_is_stored_as_a_payload(
    acme: Tenant,
    tick: Tick,
    worker: Registration,
    start: Start,
    change_platform_settings: ChangePlatformSettings,
    payload: Any,
    *,
    is_on: bool,
) -> None:
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")] if is_on else [])
    (job,) = submit(acme, payload=payload)
    assert reload(job).payload == payload
    tick()
    started = begin(start, job)
    assert started.payload == payload
    save_checkpoint(tenant_id=acme.pk, job_id=job.pk, fence=started.fence, state=payload)
    settle([Settlement.completed(started.execution_id, started.fence, payload)])
    done = reload(job)
    assert (done.result, done.checkpoint) == (payload, payload)


def test_sealed_and_plain_rows_are_read_together(
    acme: Tenant, change_platform_settings: ChangePlatformSettings
) -> None:
    (sealed,) = submit(acme, payload=PAYLOAD)
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[])
    (plain,) = submit(acme, payload=PAYLOAD)
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")])
    assert raw(plain)["payload"] == PAYLOAD
    assert [reload(job).payload for job in (sealed, plain)] == [PAYLOAD] * 2


def test_value_of_a_row_in_a_list_is_sealed_until_opened(acme: Tenant) -> None:
    submit(acme, payload=PAYLOAD)
    with tenant_context(acme):
        (value,) = Job.objects.values_list("payload", flat=True)
    assert type(value) is SealedValue
    assert MARKER not in repr(value)
    with pytest.raises(TypeError):
        json.dumps(value)


def test_value_cannot_be_written_without_its_row(acme: Tenant) -> None:
    (job,) = submit(acme, payload=PAYLOAD)
    with pytest.raises(UnsealedWriteError), tenant_context(acme):
        Job.objects.filter(pk=job.pk).update(payload={"a": 1})
    with tenant_context(acme):
        stored = Job.objects.get(pk=job.pk)
        stored.payload = {"a": MARKER}
        stored.save(update_fields=["payload"])
        untouched = Job.objects.get(pk=job.pk)
        untouched.save(update_fields=["payload"])
        copied = Job.objects.get(pk=job.pk)
        copied.pk, copied._state.adding = uuid4(), True
    with pytest.raises(MovedValueError), tenant_context(acme):
        copied.save(force_insert=True)
    assert reload(job).payload == {"a": MARKER}
    assert MARKER not in everything()


def test_moved_value_cannot_be_opened(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    """Refuse it in another row, column or tenant; its job is discarded with that error."""
    of_globex, (first, second) = submit(globex, payload={"of": "globex"})[0], submit(acme, 2, payload=PAYLOAD)
    sealed = raw(first)["payload"]
    write(first, "checkpoint", sealed)
    write(second, "payload", sealed)
    write(of_globex, "payload", sealed)
    with pytest.raises(SealedValueBrokenError):
        _ = reload(first).checkpoint
    with pytest.raises(SealedValueBrokenError):
        _ = reload(second).payload
    with pytest.raises(DataKeyUnavailableError, match="does not belong to the tenant"):
        _ = reload(of_globex).payload
    tick()
    started = begin(start, second)
    assert (started.payload, type(started.unreadable)) == ({}, SealedValueBrokenError)
    assert started.unreadable is not None
    settle([policy.unreadable_of(started, started.unreadable)])
    dead = reload(second)
    assert (dead.state, dead.error_type) == (JobState.DISCARDED, "sealed_value_broken")


def test_broken_payload_is_refused_alone_by_a_retry_of_many(acme: Tenant) -> None:
    first, second = submit(acme, 2, payload=PAYLOAD)
    with tenant_context(acme):
        for job in (first, second):
            cancel_job(job_id=job.pk)
    write(second, "payload", raw(first)["payload"])
    with tenant_context(acme):
        bulk = retry_jobs(job_ids=[first.pk, second.pk])
        patched = start_bulk_operation(
            filter_text=f"id:{first.pk},{second.pk}",
            operation="retry",
            parameters={},
            reason="x",
            payload_patch={"b": 1},
            takes_first_turn=True,
        )
    assert (set(bulk.replayed), {job_id: error.code for job_id, error in bulk.refused.items()}) == (
        {first.pk},
        {second.pk: "sealed_value_broken"},
    )
    assert (patched.changed, patched.ineligible) == (1, {"payload_unreadable": 1})


def test_job_without_its_key_waits_and_uses_no_attempt(
    acme: Tenant, tick: Tick, worker: Registration, start: Start, change_platform_settings: ChangePlatformSettings
) -> None:
    (job,) = submit(acme, payload=PAYLOAD)
    tick()
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("b")])
    started = begin(start, job)
    assert type(started.unreadable) is DataKeyUnavailableError
    assert started.unreadable is not None
    settle([policy.unreadable_of(started, started.unreadable)])
    waiting = reload(job)
    assert (waiting.state, waiting.attempt, waiting.crash_count) == (JobState.SCHEDULED, 0, 0)
    with all_tenants():
        event = JobEvent.objects.get(job=job, name="execution.put_off")
    assert event.data["cause"] == "data_key_missing"
    assert "lacks the master key" in event.data["detail"]
    # With the key it continues normally.
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("b"), master("a")])
    assert reload(job).payload == PAYLOAD


def test_job_without_its_key_can_be_cancelled(acme: Tenant, change_platform_settings: ChangePlatformSettings) -> None:
    (job,) = submit(acme, payload=PAYLOAD)
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("b")])
    with tenant_context(acme):
        assert cancel_job(job_id=job.pk).state == JobState.CANCELLED


def test_submission_without_the_key_is_refused(acme: Tenant, change_platform_settings: ChangePlatformSettings) -> None:
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("b")])
    with pytest.raises(DataKeyUnavailableError):
        submit_job(tenant=acme, request=JobRequest("noop", PAYLOAD))
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")])
    with tenant_context(acme):
        assert not Job.objects.exists()


def test_repeated_request_is_recognised_by_a_keyed_hash(
    acme: Tenant, change_platform_settings: ChangePlatformSettings
) -> None:
    request = JobRequest("noop", PAYLOAD, idempotency_key="once")
    first = submit_job(tenant=acme, request=request)
    assert bytes(reload(first.job).payload_hash) != request.fingerprint()
    again = submit_job(tenant=acme, request=request)
    assert (again.created, again.job.pk) == (False, first.job.pk)
    with pytest.raises(IdempotencyMismatchError):
        submit_job(tenant=acme, request=replace(request, payload={"iban": "another"}))
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[])
    plain = submit_job(tenant=acme, request=replace(request, idempotency_key="before"))
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")])
    known = submit_job(tenant=acme, request=replace(request, idempotency_key="before"))
    assert (known.created, known.job.pk) == (False, plain.job.pk)


def test_replay_is_sealed_for_its_own_row(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    (job,) = submit(acme, payload=PAYLOAD)
    tick()
    fail(start, job, is_permanent=True)
    with tenant_context(acme):
        new = retry_job(job_id=job.pk).job
    assert reload(new).payload == PAYLOAD
    assert raw(new)["payload"] != raw(job)["payload"]


def test_payload_patch_is_sealed_and_never_shown(
    acme: Tenant, tick: Tick, worker: Registration, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "TURN_IDLE_TIMEOUT_MS", 600_000)
    (job,) = submit(acme, payload=PAYLOAD)
    tick()
    fail(start, job, is_permanent=True)
    with tenant_context(acme):
        operation = start_bulk_operation(
            filter_text="requeued:no",
            operation="requeue",
            parameters={},
            reason="mended",
            payload_patch={"more": MARKER},
        )
    assert MARKER not in everything()
    operation = turns.run_to_end(operation)
    assert (operation.state, operation.changed) == ("completed", 1)
    with tenant_context(acme):
        new = Job.objects.get(parent=job)
        recorded = list(AuditLogEntry.objects.filter(action__startswith="bulk_operation.").order_by("id"))
    assert new.payload == {**PAYLOAD, "more": MARKER}
    assert MARKER not in everything()
    assert [entry.after.get("payloads_edited") for entry in recorded] == [None, 1]
    assert MARKER not in str([entry.after for entry in recorded])
    assert MARKER not in str(BulkOperationSerializer(operation, context={"now": read_moment()}).data)


def test_reveal_returns_the_plain_payload(acme: Tenant) -> None:
    (job,) = submit(acme, payload=PAYLOAD)
    with tenant_context(acme):
        assert reveal_payload(job_id=job.pk, reason="why").payload == PAYLOAD


def test_api_returns_plain_values(
    acme: Tenant,
    acme_user: User,
    api_client: Callable[[Tenant], APIClient],
    change_platform_settings: ChangePlatformSettings,
) -> None:
    client = api_client(acme)
    made = client.post("/api/v1/jobs/", {"kind": "noop", "payload": PAYLOAD}, format="json")
    assert made.status_code == 201, made.content
    job = made.json()["id"]
    person = client_of(acme_user)
    assert person.get(f"/api/v1/jobs/{job}/").json()["payload"] == PAYLOAD
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("b")])
    away = person.get(f"/api/v1/jobs/{job}/")
    assert (away.status_code, away.json()["code"]) == (503, "data_key_unavailable")


def test_job_page_states_that_the_key_is_missing(
    acme: Tenant, staff: User, client: Client, change_platform_settings: ChangePlatformSettings
) -> None:
    (job,) = submit(acme, payload=PAYLOAD)
    client.force_login(staff)
    address = reverse("admin:scheduling_job_change", args=[job.pk])
    assert "iban" in client.get(address).content.decode()
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("b")])
    page = client.get(address)
    assert page.status_code == 200
    assert "lacks the master key" in page.content.decode()


def test_schedule_payload_is_sealed(acme: Tenant, api_client: Callable[[Tenant], APIClient]) -> None:
    asked = {"name": "nightly", "kind": "noop", "payload": PAYLOAD, "cron": "0 3 * * *"}
    made = api_client(acme).post("/api/v1/schedules/", asked, format="json")
    assert made.status_code == 201, made.content
    with tenant_context(acme):
        assert Schedule.objects.get().payload == PAYLOAD
    assert MARKER not in everything()


def test_schedule_without_its_key_waits(acme: Tenant, change_platform_settings: ChangePlatformSettings) -> None:
    asked_for = {"name": "nightly", "kind": "noop", "payload": PAYLOAD, "cron": "* * * * *"}
    schedule = create_schedule(tenant=acme, values=asked_for)
    due_at = make_due(schedule, minutes_ago=0)
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("b")])
    fire_due_schedules()
    with tenant_context(acme):
        waiting = Schedule.objects.get(pk=schedule.pk)
        assert (waiting.is_enabled, waiting.next_fire_at) == (True, due_at)
        assert not Job.objects.exists()
        change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("b"), master("a")])
    fire_due_schedules()
    with tenant_context(acme):
        assert Job.objects.get().payload == PAYLOAD


@pytest.mark.django_db(transaction=True)
def test_erasure_of_a_tenant_destroys_its_keys_first(
    acme: Tenant, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(ERASURE_GRACE_SECONDS=0)
    (job,) = submit(acme, payload=PAYLOAD)
    sealed, kept = raw(job)["payload"], Job(id=job.pk, tenant_id=acme.pk)
    erasure = asked(acme)
    while find_erasure(erasure_id=erasure.pk).step != steps.ROWS:
        assert advance_erasure(erasure.pk)
    advance_erasure(erasure.pk, most=1)
    with all_tenants():
        assert not TenantDataKey.objects.filter(tenant=acme).exists()
        assert Job.objects.filter(pk=job.pk).exists()
    # A copy of the row, even with the master key, is useless.
    forget_keys()
    with pytest.raises(DataKeyUnavailableError), all_tenants():
        sealed_field(Job, "payload").opened(sealed, tenant_id=kept.tenant_id, row_id=kept.pk)
    while advance_erasure(erasure.pk):
        pass
    done = find_erasure(erasure_id=erasure.pk)
    assert done.proof["counts"]["tenants_tenantdatakey"] == {"before": 1, "removed": 1, "after": 0}


def test_old_rows_are_sealed_by_a_repeatable_command(
    acme: Tenant,
    globex: Tenant,
    tick: Tick,
    worker: Registration,
    start: Start,
    change_platform_settings: ChangePlatformSettings,
) -> None:
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[])
    request = JobRequest("noop", PAYLOAD, idempotency_key="once")
    jobs = [submit_job(tenant=acme, request=request).job, *submit(globex, 2, payload=PAYLOAD), *submit(globex)]
    tick()
    started = begin(start, jobs[1])
    settle([Settlement.completed(started.execution_id, started.fence, {"answer": MARKER})])
    assert MARKER in everything()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")])
    assert seal_all() == {"jobs": 3, **NOTHING_ELSE}
    assert MARKER not in everything()
    assert seal_all() == {"jobs": 0, **NOTHING_ELSE}
    assert [reload(job).payload for job in jobs] == [*[PAYLOAD] * 3, {}]
    assert reload(jobs[1]).result == {"answer": MARKER}
    assert bytes(reload(jobs[0]).payload_hash) != request.fingerprint()
    assert submit_job(tenant=acme, request=request).created is False


NOTHING_ELSE = dict.fromkeys(
    (
        *("schedules", "bulk operations", "versions of job templates", "batches", "compensations", "outbox messages"),
        *("webhooks", "deliveries", "workflow runs", "node runs", "dead letters", "errors", "executions"),
        *("documents", "pipeline runs", "pipeline entities", "items of sources", "deliveries to triggers"),
    ),
    0,
)


def seal_all() -> dict[str, int]:
    out = StringIO()
    call_command("encrypt_stored_values", "--batch", "2", "--json", stdout=out, stderr=StringIO())
    return dict(json.loads(out.getvalue()))


def test_seal_command_covers_every_table_with_sealed_columns() -> None:
    # A secret is refused if it could not be sealed, log lines from before end with their retention, and breakers close.
    others = {TenantSecret, JobEvent, JobLog, Circuit, CircuitNews}
    assert {field.model for field in SealedField.all_fields} - others == set(sealed_models())


def test_repair_is_recorded_in_plain(acme: Tenant) -> None:
    (job,) = submit(acme)
    with tenant_context(acme):
        append_repair_events([job.pk], code="ready_missing")
        event = JobEvent.objects.get(job_id=job.pk, name="job.repaired")
    assert event.__dict__["data"] == {"fault": "ready_missing"}
