"""The what-if on a platform with history: the last hour is read exactly, and the answer covers all tenants."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from scheduling.exceptions import PoolNotFoundError, WhatIfNameUnknownError
from scheduling.fairness.lab.load import Change
from scheduling.fairness.lab.what_if import NoteCode, what_if
from scheduling.fairness.lab.workload_file import load_workload
from scheduling.fleet.workers import Registration
from scheduling.models import CFSPlan, Execution, Job, Queue
from scheduling.what_if import recent_jobs, recent_load
from scheduling.what_if.queries import answer_what_if
from scheduling.what_if.recent_load import KEPT_SECONDS, read_recent_load
from tenants.context import all_tenants
from tenants.database.ids import uuid7_floor
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, complete, in_flight, submit
from tests.platform_settings import override_platform_settings

SECOND = 1_000_000


@pytest.fixture
def worked(acme: Tenant, globex: Tenant, worker: Registration, tick: Tick, start: Start) -> None:
    """Let two jobs of acme and one of globex have run for known times, while two of each wait or are in flight."""
    for tenant, count in ((acme, 2), (globex, 1)):
        submit(tenant, count)
    tick()
    for job in in_flight():
        complete(start, job)
    with all_tenants():
        Execution.objects.filter(tenant=acme).update(measured_us=3 * SECOND, predicted_us=2 * SECOND)
        Execution.objects.filter(tenant=globex).update(measured_us=5 * SECOND)
    tick()


def test_last_hour_is_read_exactly(worked: None, acme: Tenant, globex: Tenant) -> None:
    load = read_recent_load().load
    slug_of = {place: load.tenants[tenant].slug for place, (_, tenant) in enumerate(load.places)}
    arrivals = load.arrivals
    costs = sorted((slug_of[place], cost) for place, cost in zip(arrivals.entity, arrivals.cost_us, strict=True))
    assert costs == [("acme", 3 * SECOND), ("acme", 3 * SECOND), ("globex", 5 * SECOND)]
    assert arrivals.predicted_us is not None
    assert sorted(arrivals.predicted_us)[:2] == [SECOND, 2 * SECOND] or 2 * SECOND in arrivals.predicted_us
    # They arrived just now, at the end of the hour.
    assert all(3_500 * SECOND < at_us <= 3_600 * SECOND for at_us in arrivals.at_us)
    assert (load.pool, load.slots, load.running, load.stands_for) == ("default", 4, 0, 1)
    assert {queue.name for queue in load.queues} > {"tasks_team", "tasks_sandbox"}
    assert load.tiers["team"].queue == "tasks_team"


def test_simulation_begins_with_waiting_and_running_jobs(
    acme: Tenant, globex: Tenant, worker: Registration, tick: Tick, start: Start
) -> None:
    submit(acme, 6)
    submit(globex, 3)
    tick()
    running = len(in_flight())
    load = read_recent_load().load
    assert load.running == running == 4
    waiting = [at_us for at_us in load.arrivals.at_us[running:] if at_us == 0]
    assert len(waiting) == 9 - running
    # And the nine that arrived in this hour are replayed.
    assert len(load.arrivals) == running + len(waiting) + 9
    assert NoteCode.PREDICTED_COSTS in [note.code for note in read_recent_load().notes]


def test_too_many_jobs_are_sampled_and_noted(
    monkeypatch: pytest.MonkeyPatch, acme: Tenant, worker: Registration, tick: Tick
) -> None:
    submit(acme, 40)
    tick()
    whole = answer_what_if(Change())
    monkeypatch.setattr(recent_jobs, "MOST_JOBS", 20)
    thinned = answer_what_if(Change())
    assert NoteCode.SAMPLED in [note.code for note in thinned.notes]
    assert NoteCode.SAMPLED not in [note.code for note in whole.notes]
    assert thinned.picks < whole.picks / 2
    assert thinned.now.worker_seconds == pytest.approx(whole.now.worker_seconds, rel=0.2)
    assert read_recent_load() == read_recent_load() or thinned.picks == answer_what_if(Change()).picks


def test_sampling_keeps_each_tenants_part_at_any_arrival_rhythm(
    monkeypatch: pytest.MonkeyPatch, acme: Tenant, globex: Tenant, worker: Registration
) -> None:
    for _ in range(20):
        submit(acme)
        submit(globex)
    monkeypatch.setattr(recent_jobs, "MOST_JOBS", 20)
    load = read_recent_load().load
    assert load.stands_for == 2
    assert Counter(load.arrivals.entity[-20:]) == {0: 10, 1: 10}


def test_older_future_and_paused_work_is_not_counted(worked: None, acme: Tenant, globex: Tenant, tick: Tick) -> None:
    with all_tenants(), connection.cursor() as cursor:
        # An id of two hours ago.
        old = Job.objects.filter(tenant=globex).get()
        cursor.execute(
            "UPDATE scheduling_job SET id = %s WHERE id = %s",
            [uuid7_floor(old.created_at - timedelta(hours=2)), old.pk],
        )
        submit(acme, 2)
        tick_waits = read_recent_load().load
        assert {tenant.slug for tenant in tick_waits.tenants} == {"acme"}
        Queue.objects.filter(name="tasks_team").update(is_paused=True)
        assert list(read_recent_load().load.arrivals.at_us) == []


def test_changed_weight_moves_the_waits_and_names_the_losers(
    acme: Tenant, globex: Tenant, worker: Registration, tick: Tick
) -> None:
    submit(acme, 300, kind="sleep", payload={"seconds": 60})
    submit(globex, 300, kind="sleep", payload={"seconds": 60})
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_queue SET expected_seconds = 60")
    tick()
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_schedulingentity SET estimate_us = 60000000")
    answer = answer_what_if(Change(tier_weights={"sandbox": 8}, plan_caps={"sandbox": 4}))
    sandbox = next(line for line in answer.plans if line.name == "sandbox")
    assert sandbox.after.share > sandbox.now.share
    assert [line.name for line in answer.losers] == ["acme"]


def test_unknown_names_are_refused(worked: None) -> None:
    with pytest.raises(PoolNotFoundError):
        answer_what_if(Change(), pool="moon")
    with pytest.raises(WhatIfNameUnknownError) as refused:
        answer_what_if(Change(plan_weights={"gold": 2}))
    assert refused.value.errors[0]["field"] == "plan_weights"


def test_idle_platform_has_nothing_to_compare(db: None) -> None:
    answer = answer_what_if(Change(slots=3))
    assert [note.code for note in answer.notes] == [NoteCode.NO_ARRIVALS]
    assert (answer.plans, answer.losers, answer.now.jain) == ([], [], 1.0)


def test_command_prints_json_and_text(worked: None) -> None:
    out = StringIO()
    call_command("what_if", "--weight", "team=3", "--queue-cap", "dataset=none", "--slots", "2", "--json", stdout=out)
    facts = json.loads(out.getvalue())
    assert {line["name"] for line in facts["plans"]} == {"team", "sandbox"}
    assert facts["notes"][0]["code"] == "few_starts"
    out = StringIO()
    call_command("what_if", "--strategy", "nop", stdout=out)
    assert "nothing is changed" in out.getvalue()


@pytest.mark.parametrize(
    "arguments",
    [["--weight", "team"], ["--weight", "team=0"], ["--weight", "team=x"], ["--factor", "acme=nan"], ["--slots", "-1"]],
)
def test_command_with_invalid_arguments_is_refused(db: None, arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("what_if", *arguments)


def test_unknown_names_are_errors_of_the_command(db: None) -> None:
    with pytest.raises(CommandError, match="what_if_name_unknown"):
        call_command("what_if", "--weight", "gold=2")
    with pytest.raises(CommandError, match="not_found"):
        call_command("what_if", "--pool", "moon")


def test_workload_file_replaces_the_last_hour(db: None, tmp_path: Path) -> None:
    path = tmp_path / "two.toml"
    tenant = '[[tenant]]\nname = "{}"\narrivals = {{ backlog = 500 }}\n'
    path.write_text("slots = 2\nduration = 100\n" + tenant.format("a") + tenant.format("b"))
    out = StringIO()
    call_command("what_if", "--workload", str(path), "--weight", "a=3", "--json", stdout=out)
    plans = {line["name"]: line for line in json.loads(out.getvalue())["plans"]}
    assert (plans["a"]["now"]["share"], plans["a"]["after"]["share"]) == (0.5, 0.75)
    with pytest.raises(CommandError) as refused:
        call_command("what_if", "--workload", str(tmp_path / "gone.toml"))
    assert refused.value.returncode == 2


def test_last_hour_is_exported_without_names_and_can_be_simulated(worked: None, tmp_path: Path) -> None:
    path = tmp_path / "hour.toml"
    call_command("export_workload", str(path), stdout=StringIO())
    text = path.read_text()
    assert "acme" not in text
    assert "globex" not in text
    workload = load_workload(path)
    assert sorted(workload.draw_arrivals().cost_us) == [3 * SECOND, 3 * SECOND, 5 * SECOND]
    assert sorted(row.weight for row in workload.tenants) == [1.0, 2.0]
    named = tmp_path / "named.toml"
    out = StringIO()
    call_command("export_workload", str(named), "--names", "--json", stdout=out)
    facts = json.loads(out.getvalue())
    assert (facts["jobs"], facts["tenants"]) == (3, 2)
    assert all(note["code"] in NoteCode for note in facts["notes"])
    assert "acme in tasks_team" in named.read_text()
    # It does not overwrite a file.
    with pytest.raises(CommandError, match="exists"):
        call_command("export_workload", str(path))


def test_hour_without_jobs_is_not_exported(db: None, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="Nothing to write"):
        call_command("export_workload", str(tmp_path / "hour.toml"))
    assert not (tmp_path / "hour.toml").exists()


def test_fair_keys_are_replayed(acme: Tenant, worker: Registration, tick: Tick) -> None:
    submit(acme, 5, fair_key="ann")
    submit(acme, 2, fair_key="ben")
    tick()
    arrivals = read_recent_load().load.arrivals
    assert arrivals.key is not None
    # In flight, waiting, and the seven replayed ones, with the same two keys.
    assert sorted(Counter(arrivals.key).values()) == [4, 10]


def test_arrivals_without_fair_keys_have_none(acme: Tenant, worker: Registration, tick: Tick) -> None:
    submit(acme, 2)
    tick()
    assert read_recent_load().load.arrivals.key is None


def test_reserved_slots_are_noted_as_not_replayed(acme: Tenant, worker: Registration, tick: Tick) -> None:
    assert NoteCode.RESERVED_SLOTS not in [note.code for note in read_recent_load().notes]
    with all_tenants():
        CFSPlan.objects.filter(is_active=True).update(reserved_slots=1)
    assert NoteCode.RESERVED_SLOTS in [note.code for note in read_recent_load().notes]


@pytest.fixture
def kept() -> Iterator[None]:
    """Cache the jobs between questions."""
    recent_load._kept.clear()
    with override_platform_settings(CONFIGURATION_CACHE_SECONDS=60.0):
        yield
    recent_load._kept.clear()


def test_following_questions_use_cached_jobs_and_current_configuration(
    kept: None, worked: None, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = answer_what_if(Change())
    submit(acme, 5)
    with CaptureQueriesContext(connection) as captured:
        second = answer_what_if(Change(tier_weights={"sandbox": 8}))
    assert not [query for query in captured.captured_queries if "FROM scheduling_job j" in str(query["sql"])]
    assert (second.arrivals, second.now) == (first.arrivals, first.now)
    with all_tenants():
        CFSPlan.objects.filter(is_active=True).update(strategy=CFSPlan.Strategy.NOP)
    assert answer_what_if(Change()).now == what_if(read_recent_load(may_be_kept=True).load, Change()).now
    now = time.monotonic()
    monkeypatch.setattr("scheduling.what_if.recent_load.time.monotonic", lambda: now + KEPT_SECONDS)
    assert answer_what_if(Change()).arrivals > first.arrivals


def test_cached_jobs_omit_a_deleted_tenant(kept: None, worked: None, globex: Tenant) -> None:
    assert "globex" in {tenant.slug for tenant in read_recent_load(may_be_kept=True).load.tenants}
    ((key, (until, jobs)),) = recent_load._kept.items()
    recent_load._kept[key] = until, replace(jobs, places=[(queue_id, str(uuid4())) for queue_id, _ in jobs.places])
    assert "globex" in {tenant.slug for tenant in read_recent_load(may_be_kept=True).load.tenants}
