"""The commands that submit, cancel, retry, requeue and verify."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from scheduling.bulk import turns
from scheduling.fleet.workers import Registration
from scheduling.models import BulkOperation, Charge, DeadLetter, Job
from tenants.context import all_tenants, tenant_context
from tenants.database.ids import uuid7
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, complete, fail, reload, submit


def run(*arguments: str) -> str:
    written = io.StringIO()
    call_command(*arguments, stdout=written)
    return written.getvalue()


def run_json(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


@pytest.fixture(autouse=True)
def no_turn_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    # The timeouts of a turn's transaction would apply to the whole test.
    monkeypatch.setattr(turns, "TURN_IDLE_TIMEOUT_MS", 600_000)


@pytest.fixture
def small_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "FIRST_ROWS", 2)
    monkeypatch.setattr(turns, "CHUNK_ROWS", 2)


def test_submit_job_prints_the_id_of_the_stored_job(acme: Tenant) -> None:
    facts = run_json("submit_job", "sleep", "--tenant", "acme", "--payload", '{"seconds": 1}', "--tag", "a")
    with tenant_context(acme):
        job = Job.objects.get()
        entry = AuditLogEntry.objects.get(action="job.submitted")
    assert (facts["id"], facts["state"]) == (str(job.id), "available")
    assert (job.payload, job.tags) == ({"seconds": 1}, ["a"])
    assert (entry.actor_kind, entry.actor_id) == ("command", "submit_job")


def test_submit_job_sets_the_keys(acme: Tenant) -> None:
    keys = {"concurrency_key": "account-7", "unique_key": "nightly", "unique_until": "started"}
    flags = [word for name, value in keys.items() for word in (f"--{name.replace('_', '-')}", value)]
    first = run_json("submit_job", "noop", "--tenant", "acme", *flags)
    assert run_json("submit_job", "noop", "--tenant", "acme", *flags)["id"] == first["id"]
    with tenant_context(acme):
        assert list(Job.objects.values(*keys)) == [keys]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nope", "--tenant", "acme"], "kind_unknown"),
        (["noop", "--tenant", "unknown"], "no tenant 'unknown'"),
        (["sleep", "--tenant", "acme", "--payload", "{}"], "payload_invalid"),
        (["noop", "--tenant", "acme", "--payload", "[]"], "must be a JSON object"),
        (["noop", "--tenant", "acme", "--payload", '{"a": 1, "a": 2}'], "occurs twice"),
        (["noop", "--tenant", "acme", "--payload", '{"a": "\\u0000"}'], "NUL"),
        (["noop", "--tenant", "acme", "--payload", '{"a": "\udcff"}'], "not UTF-8"),
        (["noop", "--tenant", "acme", "--run-at", "2030-01-01T00:00:00"], "needs an offset"),
        (["noop", "--tenant", "acme", "--priority", "11"], "priority_not_allowed"),
        (["noop", "--tenant", "acme", "--concurrency-key", "x" * 201], "at most 200 characters"),
        (["noop", "--tenant", "acme", "--unique-until", "ended"], "requires a unique_key"),
        (["noop", "--tenant", "acme", "--unique-key", "x", "--unique-until", "never"], "invalid choice"),
        (["noop", "--tenant", "acme", "--tag", "a\u202eb"], "unprintable"),
    ],
)
def test_submit_job_fails_with_the_reason(acme: Tenant, arguments: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        run("submit_job", *arguments)
    with all_tenants():
        assert not Job.objects.exists()


def test_submit_job_stops_waiting_at_its_timeout(acme: Tenant) -> None:
    with pytest.raises(CommandError, match="still available after 0 s"):
        run("submit_job", "noop", "--tenant", "acme", "--wait", "--timeout", "0")


def test_submit_job_with_a_used_key_waits_for_the_first_job(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    (job,) = submit(acme, idempotency_key="k")
    tick()
    complete(start, job)
    facts = run_json("submit_job", "noop", "--tenant", "acme", "--idempotency-key", "k", "--wait")
    assert (facts["id"], facts["state"]) == (str(job.id), "completed")


def test_submit_job_that_waits_prints_the_result(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    (job,) = submit(acme, idempotency_key="k")
    tick()
    complete(start, job)
    printed = run("submit_job", "noop", "--tenant", "acme", "--idempotency-key", "k", "--wait")
    with tenant_context(acme):
        assert printed.splitlines() == [f"{job.id} completed", json.dumps(reload(job).result)]


def test_submit_job_that_waits_names_why_it_cannot_decrypt_the_result(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    (job,) = submit(acme, idempotency_key="k")
    tick()
    complete(start, job)
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_job SET result = %s WHERE id = %s", ['{"$sealed": "of another row"}', job.pk])
    arguments = ("submit_job", "noop", "--tenant", "acme", "--idempotency-key", "k", "--wait")
    assert run(*arguments).startswith(f"{job.id} completed\nsealed_value_broken: ")
    with pytest.raises(CommandError, match="sealed_value_broken"):
        run_json(*arguments)


def test_submit_job_waiting_for_a_dead_job_fails(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    (job,) = submit(acme, idempotency_key="k")
    tick()
    fail(start, job, is_permanent=True)
    with pytest.raises(CommandError, match=r"The job is discarded\. no"):
        run("submit_job", "noop", "--tenant", "acme", "--idempotency-key", "k", "--wait")


def test_cancel_jobs_cancels_only_matching_jobs_in_turns(acme: Tenant, globex: Tenant, small_turns: None) -> None:
    wanted = submit(acme, count=5, tags=("old",))
    spared = [*submit(acme), *submit(globex, tags=("old",))]
    (outcome,) = run_json("cancel_jobs", "tag:old", "--tenant", "acme", "--reason", "tidy")
    assert (outcome["tenant"], outcome["state"], outcome["changed"]) == ("acme", "completed", 5)
    assert (outcome["refused"], outcome["ineligible"]) == (0, {})
    assert {reload(job).state for job in wanted} == {"cancelled"}
    assert {reload(job).state for job in spared} == {"available"}
    with tenant_context(acme):
        entries = AuditLogEntry.objects.filter(action__startswith="bulk_operation.").order_by("id")
        assert [(entry.action, entry.actor_id) for entry in entries] == [
            ("bulk_operation.started", "cancel_jobs"),
            ("bulk_operation.ended", "cancel_jobs"),
        ]
        assert entries[0].reason == "tidy"


def test_command_runs_an_operation_for_each_named_tenant(acme: Tenant, globex: Tenant) -> None:
    submit(acme, count=2), submit(globex)
    outcomes = run_json("cancel_jobs", "kind:noop", "--tenant", "acme", "--tenant", "globex", "--reason", "tidy")
    assert [(outcome["tenant"], outcome["changed"]) for outcome in outcomes] == [("acme", 2), ("globex", 1)]
    with all_tenants():
        assert {operation.tenant.slug for operation in BulkOperation.objects.all()} == {"acme", "globex"}


def test_dry_run_counts_and_changes_nothing(acme: Tenant) -> None:
    jobs = submit(acme, count=7)
    (outcome,) = run_json("cancel_jobs", "kind:noop", "--tenant", "acme", "--dry-run")
    assert (outcome["would_act_on"], outcome["or_more"]) == (7, False)
    assert outcome["sample"] == [str(job.id) for job in jobs[:5]]
    assert {reload(job).state for job in jobs} == {"available"}
    assert "would act on: 7" in run("cancel_jobs", "kind:noop", "--tenant", "acme", "--dry-run")
    with all_tenants():
        assert not BulkOperation.objects.exists()


def test_command_with_no_wait_leaves_the_operation_to_dispatchers(acme: Tenant) -> None:
    (job,) = submit(acme)
    (outcome,) = run_json("cancel_jobs", "kind:noop", "--tenant", "acme", "--reason", "tidy", "--no-wait")
    assert (outcome["state"], reload(job).state) == ("pending", "available")


def test_retry_jobs_ends_backoffs_and_replays_dead_jobs(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    backing_off, dead = submit(acme, count=2)
    tick()
    fail(start, backing_off)
    fail(start, dead, is_permanent=True)
    (outcome,) = run_json("retry_jobs", "kind:noop", "--tenant", "acme", "--reason", "mended")
    assert outcome["changed"] == 2
    assert reload(backing_off).state == "available"
    with tenant_context(acme):
        assert Job.objects.get(parent=dead).state == "available"


def test_requeue_dead_letters_requeues_each_letter_once(
    acme: Tenant, tick: Tick, worker: Registration, start: Start, small_turns: None
) -> None:
    jobs = submit(acme, count=3)
    tick()
    for job in jobs:
        fail(start, job, is_permanent=True)
    words = ("--tenant", "acme", "--reason", "mended")
    assert run_json("requeue_dead_letters", "error:KeyError", *words)[0]["seen"] == 0
    assert run_json("requeue_dead_letters", "error:ValueError", *words)[0]["changed"] == 3
    (again,) = run_json("requeue_dead_letters", "", *words)
    assert (again["seen"], again["filter"]) == (0, "requeued:no")
    with tenant_context(acme):
        assert DeadLetter.objects.filter(requeued_at__isnull=False).count() == 3


def test_requeue_dead_letters_of_a_cause_requeues_no_others(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    ours, other = submit(acme, count=2)
    tick()
    fail(start, ours, is_permanent=True)
    fail(start, other, is_permanent=True)
    with tenant_context(acme):
        letter = DeadLetter.objects.get(job=ours)
        DeadLetter.objects.filter(job=other).update(error_fingerprint="0" * 16)
    options = [f"fingerprint:{letter.error_fingerprint}", "--tenant", "acme", "--reason", "mended"]
    (preview,) = run_json("requeue_dead_letters", *options, "--dry-run")
    assert (preview["would_act_on"], preview["sample"]) == (1, [str(ours.pk)])
    assert run_json("requeue_dead_letters", *options)[0]["changed"] == 1
    with tenant_context(acme):
        assert Job.objects.filter(parent=ours).exists()
        assert not Job.objects.filter(parent=other).exists()


def test_requeue_dead_letters_changes_payloads(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    (job,) = submit(acme, payload={"a": 1, "b": 2})
    tick()
    fail(start, job, is_permanent=True)
    words = ("kind:noop", "--tenant", "acme", "--reason", "mended", "--payload-patch", '{"a": null, "c": 3}')
    assert run_json("requeue_dead_letters", *words)[0]["changed"] == 1
    with tenant_context(acme):
        assert Job.objects.get(parent=job).payload == {"b": 2, "c": 3}
        entry = AuditLogEntry.objects.get(action="bulk_operation.ended")
    assert entry.after["payloads_edited"] == 1


@pytest.mark.parametrize("patch", ["{", "[1]", "7", '{"a": 1, "a": 2}'])
def test_patch_that_is_not_an_object_is_refused_before_the_start(acme: Tenant, patch: str) -> None:
    with pytest.raises(CommandError, match="payload-patch"):
        run("requeue_dead_letters", "kind:noop", "--tenant", "acme", "--reason", "x", "--payload-patch", patch)


def test_refusals_are_counted_and_set_the_exit_status(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    (job,) = submit(acme)
    tick()
    fail(start, job, is_permanent=True)
    with all_tenants():
        acme.plan.max_waiting_jobs = 0
        acme.plan.save()
    with pytest.raises(CommandError, match="1 jobs were refused"):
        run("retry_jobs", "state:discarded", "--tenant", "acme", "--reason", "mended")


def test_failing_turn_ends_the_wait_and_sets_the_exit_status(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(acme)

    def crash(*_: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(turns, "end_operation", crash)
    with pytest.raises(CommandError, match="RuntimeError: broken"):
        run("cancel_jobs", "kind:noop", "--tenant", "acme", "--reason", "tidy")


@pytest.mark.parametrize("command", ["cancel_jobs", "retry_jobs", "requeue_dead_letters"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tenant", "acme", "--reason", "x"], "FILTER"),
        (["kind:noop", "--tenant", "unknown", "--reason", "x"], "There is no tenant 'unknown'"),
        (["kind:noop", "--tenant", "acme"], "(?i)reason"),
        (["stat:available", "--tenant", "acme", "--reason", "x"], r"At character 1, “stat”.*Did you mean “state”"),
    ],
)
def test_bulk_command_with_invalid_arguments_is_refused(
    acme: Tenant, command: str, arguments: list[str], words: str
) -> None:
    with pytest.raises(CommandError, match=words):
        run(command, *arguments)


def test_verify_ledger_fails_if_charges_are_wrong(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    done, _ = submit(acme, count=2)
    tick()
    complete(start, done)
    assert run_json("verify", "ledger")["is_clean"] is True
    with all_tenants():
        charge = Charge.objects.all()[0]
        charge.id = uuid7()
        charge.save(force_insert=True)
    with pytest.raises(CommandError, match="1 faults were found"):
        run("verify", "ledger")
