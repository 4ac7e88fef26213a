"""The command `bulk_jobs`: dry run, start, end, and exit status."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from scheduling.bulk import turns
from scheduling.models import BulkOperation
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.scheduling.bulk.test_acts import states_of
from tests.integration.scheduling.job_helpers import submit

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("bulk_jobs", *arguments, stdout=out)
    return out.getvalue()


def run_json(*arguments: str) -> dict[str, Any]:
    results: list[dict[str, Any]] = json.loads(run(*arguments, "--json"))
    (only,) = results
    return only


@pytest.fixture(autouse=True)
def no_turn_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    # The timeouts of a turn's transaction would apply to the whole test.
    monkeypatch.setattr(turns, "TURN_IDLE_TIMEOUT_MS", 600_000)


def test_dry_run_prints_the_effect(acme: Tenant) -> None:
    jobs = submit(acme, 2)
    shown = run_json("kind:noop", "cancel", "--tenant", "acme", "--dry-run")
    assert (shown["would_act_on"], shown["matching"], shown["needs_number"]) == (2, 2, False)
    assert shown["sample"] == [str(job.pk) for job in jobs]
    assert any(note.startswith("Estimated") for note in shown["notes"])
    with all_tenants():
        assert not BulkOperation.objects.exists()


def test_operation_is_run_to_its_end(acme: Tenant) -> None:
    jobs = submit(acme, 2)
    result = run_json("kind:noop", "cancel", "--tenant", "acme", "--reason", "a flood")
    assert (result["state"], result["changed"]) == ("completed", 2)
    assert states_of(jobs) == {"cancelled": 2}
    with all_tenants():
        assert BulkOperation.objects.get().actor_kind == "command"


def test_command_without_a_tenant_reaches_all_and_needs_their_number(acme: Tenant, globex: Tenant) -> None:
    jobs = [*submit(acme), *submit(globex)]
    with pytest.raises(CommandError, match="type 2"):
        run("kind:noop", "reprioritise", "--priority", "1", "--reason", "x")
    run("kind:noop", "reprioritise", "--priority", "1", "--reason", "x", "--yes-number", "2")
    with all_tenants():
        assert BulkOperation.objects.get().changed == len(jobs)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["colour:red", "cancel", "--reason", "x"], "colour"),
        (["kind:noop", "cancel"], "reason"),
        (["kind:noop", "move_queue", "--reason", "x"], "queue"),
        (["kind:noop", "cancel", "--tenant", "unknown", "--reason", "x"], "unknown"),
    ],
)
def test_invalid_arguments_are_refused(acme: Tenant, arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=f"(?i){said}"):
        run(*arguments)
