"""The commands for schedules."""

from __future__ import annotations

import io
import json
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command

from scheduling.models import Job
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.scheduling.schedules.conftest import MakeSchedule, fires_of, minute_ago

pytestmark = pytest.mark.django_db


def run(name: str, *arguments: str, **options: Any) -> str:
    written = io.StringIO()
    call_command(name, *arguments, stdout=written, **options)
    return written.getvalue()


def test_list_schedules_prints_text_and_json(acme: Tenant, globex: Tenant, make_schedule: MakeSchedule) -> None:
    mine, theirs = make_schedule(acme, cron="30 2 * * *"), make_schedule(globex)
    assert "At 02:30 every day (UTC), next " in run("list_schedules")
    listed = [json.loads(line) for line in run("list_schedules", "--json").splitlines()]
    assert [row["id"] for row in listed] == [str(mine.pk), str(theirs.pk)]
    (only,) = run("list_schedules", "--json", "--tenant=globex").splitlines()
    assert json.loads(only)["id"] == str(theirs.pk)
    with pytest.raises(CommandError, match="tenant_not_found"):
        run("list_schedules", "--tenant=unknown")


def test_run_schedule_prints_its_job(acme: Tenant, make_schedule: MakeSchedule) -> None:
    schedule = make_schedule(acme)
    printed = run("run_schedule", str(schedule.pk)).strip()
    facts = json.loads(run("run_schedule", str(schedule.pk), "--json", "--reason=again"))
    with all_tenants():
        assert {str(pk) for pk in Job.objects.values_list("pk", flat=True)} == {printed, facts["job"]}
    for wrong in (str(uuid4()), "nonsense"):
        with pytest.raises(CommandError):
            run("run_schedule", wrong)


def test_backfill_schedule_lists_and_submits(acme: Tenant, make_schedule: MakeSchedule) -> None:
    schedule = make_schedule(acme)
    span = [f"--from={minute_ago(3).isoformat()}", f"--to={minute_ago(1).isoformat()}"]
    assert "3 would be submitted" in run("backfill_schedule", str(schedule.pk), *span, "--dry-run")
    assert fires_of(schedule) == []
    done = json.loads(run("backfill_schedule", str(schedule.pk), *span, "--json"))
    assert (done["submitted"], done["skipped"], len(done["fire_times"])) == (3, 0, 3)
    assert "0 submitted, 3 had" in run("backfill_schedule", str(schedule.pk), *span)
    with pytest.raises(CommandError, match="backfill_invalid"):
        run("backfill_schedule", str(schedule.pk), *reversed(span), f"--to={minute_ago(9).isoformat()}")
