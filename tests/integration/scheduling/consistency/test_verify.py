"""The command `verify`: it runs checks by name, refuses options that no check takes, and fails on a fault."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from scheduling.consistency.registry import STATE, find_checks, state_checks
from scheduling.consistency.verification import verify
from scheduling.upkeep.registry import tasks
from scheduling.upkeep.runs import run_upkeep
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, begin, complete, fail, submit

pytestmark = pytest.mark.django_db


@pytest.fixture
def work(no_lock_timeout: None, acme: Tenant, tick: Tick, start: Start) -> None:
    """Create a completed job, one to be retried, one running, one scheduled and one waiting."""
    done, back, running = submit(acme, 3)
    tick()
    complete(start, done)
    fail(start, back)
    begin(start, running)
    submit(acme, 1, run_at=timezone.now() + timedelta(hours=1))
    submit(acme, 1)


def execute(statement: str) -> None:
    """Plant a fault; raise if the statement changes nothing."""
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(statement)
        assert cursor.rowcount > 0, statement


def call(*arguments: str) -> tuple[int, str]:
    """Return the exit status and the output."""
    out = StringIO()
    try:
        call_command("verify", *arguments, stdout=out)
    except CommandError as error:
        return 1, out.getvalue() + str(error)
    return 0, out.getvalue()


def facts_of(*arguments: str) -> dict[str, Any]:
    """Return the facts printed as JSON."""
    output = call(*arguments, "--json")[1]
    facts: dict[str, Any] = json.loads(output[: output.rindex("}") + 1])
    return facts


def test_verify_fails_until_faults_are_repaired(work: None, acme: Tenant) -> None:
    assert call()[0] == 0
    execute("DELETE FROM scheduling_job_due")
    facts = facts_of("--tenant", "acme")
    assert facts["is_clean"] is False
    finding = next(f for f in facts["findings"] if f["code"] == "job_nowhere")
    assert finding["tenant"] == str(acme.pk)
    assert (finding["number"], finding["is_repairable"], finding["repaired"]) == (2, True, 0)
    assert len(finding["examples"]) == 2
    status, output = call("--repair", "--reason", "x")
    assert (status, "Repaired: 2 of 2" in output) == (0, True)
    assert call()[0] == 0


def test_verify_fails_on_a_fault_without_repair(work: None) -> None:
    execute("UPDATE scheduling_charge SET microseconds = microseconds + 1 WHERE reason = 'corrected'")
    status, output = call("--repair")
    assert status == 1
    assert "ledger of tenant" in output
    assert "It has no automatic repair" in output


def test_verify_runs_only_the_named_checks(work: None) -> None:
    execute("DELETE FROM scheduling_job_due")
    assert call("ledger", "audit")[0] == 0
    assert facts_of("ledger", "counters")["checks"] == ["counters", "ledger"]
    assert facts_of("ledger")["counts"] == {"ledger": {"tenants": 1}}
    assert call("jobs")[0] == 1


def test_verify_state_is_the_group_of_checks_without_upkeep(work: None) -> None:
    names = facts_of(STATE)["checks"]
    assert names == [check.name for check in state_checks() if check.interval is None]
    assert {"jobs", "executions", "batches"} <= set(names)
    assert not {"ledger", "counters", "audit"} & set(names)


def test_each_check_with_an_interval_has_its_upkeep_task() -> None:
    names = {task.name for task in tasks() if task.name.startswith("verify_")}
    assert names == {
        f"verify_{name}"
        for name in (STATE, "audit", "chunks", "counters", "ledger", "rollups", "space", "storage", "usage")
    }


def test_verify_names_unknown_check(db: None) -> None:
    status, output = call("ledgers")
    assert status == 1
    assert "There is no check 'ledgers'" in output
    assert all(check.name in output for check in find_checks())
    assert call("--tenant", "unknown")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("ledger", "--hours", "3"), "hours"),
        (("rollups", "--heads", "HEADS"), "heads"),
        (("rollups", "erasures", "--tenant", "acme"), "tenant"),
    ],
)
def test_option_without_its_check_is_refused(
    acme: Tenant, tmp_path: Any, arguments: tuple[str, ...], option: str
) -> None:
    heads = tmp_path / "heads.jsonl"
    heads.touch()
    status, output = call(*(str(heads) if argument == "HEADS" else argument for argument in arguments))
    assert status == 1
    assert f"No chosen check accepts the option {option}." in output


def test_verify_list_prints_checks_with_their_codes(db: None) -> None:
    status, output = call("--list")
    assert status == 0
    assert "usage: usage_counter, execution_charge" in output.splitlines()
    assert facts_of("ledger", "--list") == {"ledger": ["ledger"]}


def test_verify_repair_records_details_in_audit(work: None, acme: Tenant) -> None:
    execute("UPDATE scheduling_tenant_capacity SET in_flight = 7")
    assert call("counters", "--repair", "--reason", "after the restore")[0] == 0
    with tenant_context(acme):
        entry = AuditLogEntry.objects.get(action="state.repaired", target_id="capacity_counter")
    assert (entry.actor_id, entry.reason) == ("verify", "after the restore")
    assert entry.before["number"] == 1
    (example,) = entry.before["examples"]
    assert example.startswith(f"in flight by tenant of tenant {acme.pk}: 7, recounted")


def test_upkeep_verifies_the_state_and_repairs_nothing(work: None) -> None:
    assert run_upkeep(name="verify_state").outcome == "ok"
    execute("DELETE FROM scheduling_job_due")
    runs = [run_upkeep(name="verify_state", seconds=0)]
    while runs[-1].cursor:
        runs.append(run_upkeep(name="verify_state", seconds=0))
    (failed,) = [run for run in runs if run.outcome == "failed"]
    assert failed.messages[0].startswith("job_nowhere of tenant")
    assert "job_nowhere" in {code for code, _ in verify(["jobs"]).findings}
