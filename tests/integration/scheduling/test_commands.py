"""The commands that submit, cancel, retry, requeue and verify."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from scheduling.management import bulk
from scheduling.models import Charge, DeadLetter, Job
from scheduling.services.workers import Registration
from tenants.context import all_tenants, tenant_context
from tenants.ids import uuid7
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.acts import Start, Tick, complete, fail, reload, submit


def run(*arguments: str) -> str:
    written = io.StringIO()
    call_command(*arguments, stdout=written)
    return written.getvalue()


def run_json(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "CHUNK_ROWS", 2)


def test_submit_job_prints_the_id_of_a_job_that_is_there(acme: Tenant) -> None:
    facts = run_json("submit_job", "sleep", "--tenant", "acme", "--payload", '{"seconds": 1}', "--tag", "a")
    with tenant_context(acme):
        job = Job.objects.get()
        entry = AuditLogEntry.objects.get(action="job.submitted")
    assert (facts["id"], facts["state"]) == (str(job.id), "available")
    assert (job.payload, job.tags) == ({"seconds": 1}, ["a"])
    assert (entry.actor_kind, entry.actor_id) == ("command", "submit_job")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nope", "--tenant", "acme"], "kind_unknown"),
        (["noop", "--tenant", "nobody"], "no tenant 'nobody'"),
        (["sleep", "--tenant", "acme", "--payload", "{}"], "payload_invalid"),
        (["noop", "--tenant", "acme", "--payload", "[]"], "must be a JSON object"),
        (["noop", "--tenant", "acme", "--payload", '{"a": 1, "a": 2}'], "stands twice"),
        (["noop", "--tenant", "acme", "--payload", '{"a": "\\u0000"}'], "NUL"),
        (["noop", "--tenant", "acme", "--payload", '{"a": "\udcff"}'], "not UTF-8"),
        (["noop", "--tenant", "acme", "--run-at", "2030-01-01T00:00:00"], "needs an offset"),
        (["noop", "--tenant", "acme", "--priority", "11"], "priority_not_allowed"),
        (["noop", "--tenant", "acme", "--tag", "a\u202eb"], "do not print"),
    ],
)
def test_submit_job_fails_with_the_reason(acme: Tenant, arguments: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        run("submit_job", *arguments)
    with all_tenants():
        assert not Job.objects.exists()


def test_submit_job_gives_up_waiting_when_told_to(acme: Tenant) -> None:
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


def test_submit_job_that_waits_for_a_dead_job_fails(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    (job,) = submit(acme, idempotency_key="k")
    tick()
    fail(start, job, is_permanent=True)
    with pytest.raises(CommandError, match=r"The job is discarded\. no"):
        run("submit_job", "noop", "--tenant", "acme", "--idempotency-key", "k", "--wait")


def test_cancel_jobs_takes_what_matches_in_chunks_and_nothing_else(
    acme: Tenant, globex: Tenant, small_chunks: None
) -> None:
    wanted = submit(acme, count=5, tags=("old",))
    spared = [*submit(acme), *submit(globex, tags=("old",))]
    outcome = run_json("cancel_jobs", "--tenant", "acme", "--tag", "old", "--reason", "tidy")
    assert outcome == {"acme": {"cancelled": 5, "ended meanwhile": 0, "refused": {}}}
    assert {reload(job).state for job in wanted} == {"cancelled"}
    assert {reload(job).state for job in spared} == {"available"}
    with tenant_context(acme):
        entries = AuditLogEntry.objects.filter(action="job.cancelled")
        assert {(entry.actor_id, entry.reason) for entry in entries} == {("cancel_jobs", "tidy")}
        assert len(entries) == 3


def test_a_dry_run_counts_and_changes_nothing(acme: Tenant) -> None:
    jobs = submit(acme, count=7)
    outcome = run_json("cancel_jobs", "--tenant", "acme", "--dry-run")["acme"]
    assert (outcome["would_act_on"], outcome["or_more"]) == (7, False)
    assert outcome["sample"] == [str(job.id) for job in jobs[:5]]
    assert {reload(job).state for job in jobs} == {"available"}
    assert "would act on 7 jobs" in run("cancel_jobs", "--tenant", "acme", "--dry-run")


def test_a_command_takes_a_written_filter_beside_its_options(acme: Tenant) -> None:
    wanted = submit(acme, count=2, tags=("old",))
    spared = [*submit(acme, tags=("old", "kept")), *submit(acme)]
    words = ("--tenant", "acme", "--tag", "old", "--filter", "-tag:kept age:<1h state:available,scheduled")
    assert run_json("cancel_jobs", *words)["acme"]["cancelled"] == 2
    assert {reload(job).state for job in wanted} == {"cancelled"}
    assert {reload(job).state for job in spared} == {"available"}
    with pytest.raises(CommandError, match=r"At character 1, “stat”.*Did you mean “state”"):
        run("cancel_jobs", "--tenant", "acme", "--filter", "stat:available")


def test_retry_jobs_hastens_and_replays(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    backing_off, dead = submit(acme, count=2)
    tick()
    fail(start, backing_off)
    fail(start, dead, is_permanent=True)
    assert run("retry_jobs", "--tenant", "acme") == "acme: 1 hastened, 1 replayed\n"
    assert reload(backing_off).state == "available"
    with tenant_context(acme):
        assert Job.objects.get(parent=dead).state == "available"


def test_requeue_dead_letters_takes_each_letter_once(
    acme: Tenant, tick: Tick, worker: Registration, start: Start, small_chunks: None
) -> None:
    jobs = submit(acme, count=3)
    tick()
    for job in jobs:
        fail(start, job, is_permanent=True)
    miss = run_json("requeue_dead_letters", "--tenant", "acme", "--error", "KeyError")
    assert miss == {"acme": {"refused": {}}}
    hit = run_json("requeue_dead_letters", "--tenant", "acme", "--error", "ValueError")
    assert hit == {"acme": {"hastened": 0, "replayed": 3, "refused": {}}}
    again = run("requeue_dead_letters", "--tenant", "acme")
    assert again == "acme: no dead letters to act on\n"
    with tenant_context(acme):
        assert DeadLetter.objects.filter(requeued_at__isnull=False).count() == 3


def test_requeue_dead_letters_takes_a_cause_and_changes_payloads(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    ours, other = submit(acme, payload={"a": 1, "b": 2})[0], submit(acme)[0]
    tick()
    fail(start, ours, is_permanent=True)
    fail(start, other, is_permanent=True)
    with tenant_context(acme):
        letter = DeadLetter.objects.get(job=ours)
        DeadLetter.objects.filter(job=other).update(error_fingerprint="0" * 16)
    options = ["--tenant", "acme", "--fingerprint", letter.error_fingerprint, "--payload-patch", '{"a": null, "c": 3}']
    preview = run_json("requeue_dead_letters", *options, "--dry-run")
    assert preview["acme"] == {"would_act_on": 1, "or_more": False, "sample": [str(letter.pk)]}
    assert run_json("requeue_dead_letters", *options)["acme"]["replayed"] == 1
    with tenant_context(acme):
        assert Job.objects.get(parent=ours).payload == {"b": 2, "c": 3}
        assert not Job.objects.filter(parent=other).exists()
        (entry,) = AuditLogEntry.objects.filter(action="job.retried")
    assert entry.after["payloads_edited"] == 1


@pytest.mark.parametrize("patch", ["{", "[1]", "7", '{"a": 1, "a": 2}'])
def test_a_patch_that_is_no_object_is_refused_before_anything_is_done(acme: Tenant, patch: str) -> None:
    with pytest.raises(CommandError, match="payload-patch"):
        run("requeue_dead_letters", "--tenant", "acme", "--payload-patch", patch)


def test_what_is_refused_is_counted_and_the_status_says_so(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    (job,) = submit(acme)
    tick()
    fail(start, job, is_permanent=True)
    with all_tenants():
        acme.plan.max_waiting_jobs = 0
        acme.plan.save()
    with pytest.raises(CommandError, match="1 jobs were refused"):
        run("retry_jobs", "--tenant", "acme", "--state", "discarded")


@pytest.mark.parametrize("command", ["cancel_jobs", "retry_jobs", "requeue_dead_letters"])
def test_a_bulk_command_needs_a_tenant_that_exists(db: None, command: str) -> None:
    with pytest.raises(CommandError, match="--tenant"):
        run(command)
    with pytest.raises(CommandError, match="There is no tenant 'nobody'"):
        run(command, "--tenant", "nobody")


def test_verify_ledger_fails_if_charges_are_off(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
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
