"""Priority rules on the real tables: which job is claimed, what its event and its explanation say, what-if."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from scheduling.dispatch.pick import read_rows
from scheduling.fairness.shares import Move, ReadyJob
from scheduling.fleet.workers import Registration
from scheduling.jobs.waits.reasons import why_waiting
from scheduling.load.models import LoadState
from scheduling.load.rules import Level
from scheduling.models import (
    Execution,
    FairShareNode,
    Job,
    JobEvent,
    JobReady,
    KindMinute,
    PriorityRule,
    Worker,
    WorkerPool,
)
from scheduling.priority_rules import acting
from scheduling.priority_rules.acting import PriorityWatch, acting_effects
from scheduling.priority_rules.configured import PRIORITY_RULES
from scheduling.priority_rules.rules import LINE_JOBS, Effect
from tenants.context import all_tenants
from tenants.exceptions import FieldInvalidError
from tenants.models import Tenant
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import Start, Tick, complete, in_flight, submit
from tests.moved_lines import order_line

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]


@pytest.fixture(autouse=True)
def _forget(db: None) -> Iterator[None]:
    """Keep no acting rule of another test."""
    acting._acting.by_pool = {}
    yield
    acting._acting.by_pool = {}


@pytest.fixture
def staff_api(staff: User) -> APIClient:
    client = APIClient()
    client.force_login(staff)
    return client


@pytest.fixture
def staff_client(staff: User, client: Client) -> Client:
    client.force_login(staff)
    return client


@pytest.fixture
def one_slot(worker: Registration) -> Registration:
    with all_tenants():
        Worker.objects.update(slots=1)
    return worker


def add_rule(name: str = "Sleep first", **values: Any) -> PriorityRule:
    given = {"name": name, "position": PriorityRule.objects.count() + 1, "offset_seconds": 300, **values}
    with all_tenants():
        return PRIORITY_RULES.save(PriorityRule(), given)


def put(level: Level, scope: str = "platform") -> None:
    """Set a load state, and let the duty read which rules act."""
    with all_tenants():
        now = timezone.now()
        LoadState.objects.update_or_create(scope=scope, defaults={"level": level, "since": now, "measured_at": now})
    PriorityWatch().take_turn()


def dispatch_of(job: Job) -> JobEvent:
    with all_tenants():
        return JobEvent.objects.get(job_id=job.pk, name="job.dispatched")


def test_moved_job_is_claimed_before_older_ones_and_its_event_names_the_rule(
    acme: Tenant, one_slot: Registration, tick: Tick
) -> None:
    add_rule(kind="sleep")
    older, moved = submit(acme, 3), submit(acme, 1, kind="sleep", payload={"seconds": 0})[0]
    with all_tenants():
        ranks = dict(JobReady.objects.values_list("job_id", "rank"))
    put(Level.BUSY)
    assert tick().dispatched == 1
    assert [job.pk for job in in_flight()] == [moved.pk]
    assert dispatch_of(moved).data["moved"] == {"rules": ["Sleep first"], "seconds": 300}
    with all_tenants():
        assert dict(JobReady.objects.values_list("job_id", "rank")) == {job.pk: ranks[job.pk] for job in older}
    assert faults_of("ledger") == []
    assert faults_of("counters", "ready") == []


def test_job_that_is_passed_is_claimed_under_its_own_rank(
    acme: Tenant, worker: Registration, start: Start, tick: Tick
) -> None:
    add_rule(kind="sleep")
    jobs = [*submit(acme, 3), *submit(acme, 1, kind="sleep", payload={"seconds": 0})]
    put(Level.BUSY)
    tick()
    assert {job.pk for job in in_flight()} == {job.pk for job in jobs}
    assert "moved" not in dispatch_of(jobs[0]).data
    for job in jobs:
        complete(start, job)
    tick()
    assert faults_of("ledger") == []
    assert faults_of("counters", "ready") == []


def test_nothing_moves_at_a_normal_load_below_the_rules_state_or_while_it_is_disabled(
    acme: Tenant, one_slot: Registration, pool: WorkerPool, tick: Tick
) -> None:
    rule = add_rule(kind="sleep", from_level=Level.OVERLOADED)
    for level in (Level.NORMAL, Level.BUSY):
        put(level)
        assert acting_effects(pool.pk) == ()
    put(Level.OVERLOADED)
    assert acting_effects(pool.pk) == [Effect("Sleep first", "sleep", None, None, 300)]
    with all_tenants():
        PRIORITY_RULES.save(rule, {"is_enabled": False})
    put(Level.OVERLOADED)
    assert acting_effects(pool.pk) == ()
    first, _ = submit(acme, 1), submit(acme, 1, kind="sleep", payload={"seconds": 0})
    tick()
    assert [job.pk for job in in_flight()] == [first[0].pk]


def test_rule_acts_only_in_the_pool_that_is_loaded(pool: WorkerPool) -> None:
    add_rule(kind="sleep")
    other = WorkerPool.objects.exclude(pk=pool.pk)[0]
    put(Level.BUSY, scope=f"pool:{other.name}")
    assert acting_effects(other.pk)
    assert not acting_effects(pool.pk)


def test_rules_that_were_not_read_for_long_do_not_act(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    add_rule(kind="sleep")
    put(Level.BUSY)
    assert acting_effects(pool.pk)
    monkeypatch.setattr(acting._acting, "read_at", acting._acting.read_at - 31)
    assert not acting_effects(pool.pk)


def count_ends(tenant: Tenant, queue_id: int, *, completed: int, failed: int, kind: str = "noop") -> None:
    with all_tenants():
        KindMinute.objects.create(
            tenant=tenant,
            minute=timezone.now().replace(second=0, microsecond=0),
            kind=kind,
            queue_id=queue_id,
            completed=completed,
            failed=failed,
            dead_letters=0,
            busy_us=0,
            wait=[0] * 19,
            run=[0] * 19,
        )


def test_failing_kind_of_a_tenant_is_moved_behind_its_others(
    acme: Tenant, globex: Tenant, one_slot: Registration, pool: WorkerPool, tick: Tick
) -> None:
    add_rule("Failing last", failure_percent=50, offset_seconds=-300)
    failing, sound = submit(acme, 1)[0], submit(acme, 1, kind="sleep", payload={"seconds": 0})[0]
    count_ends(acme, failing.queue_id, completed=4, failed=6)
    count_ends(acme, failing.queue_id, completed=5, failed=5, kind="sleep")
    count_ends(globex, failing.queue_id, completed=0, failed=4)
    put(Level.BUSY)
    assert acting_effects(pool.pk) == [Effect("Failing last", "noop", None, acme.pk, -300)]
    tick()
    assert [job.pk for job in in_flight()] == [sound.pk]
    with all_tenants():
        explained = why_waiting(failing)
    assert explained is not None
    assert explained.moved == Move(-300, ("Failing last",))


def line_of(tenant: Tenant) -> int:
    with all_tenants():
        return FairShareNode.objects.get(tenant=tenant).pk


def spread(jobs: list[Job], chance: Random) -> None:
    """Give ready jobs ranks within twenty minutes."""
    with all_tenants():
        for job in jobs:
            rank = chance.randrange(1_200) * 1_000_000
            JobReady.objects.filter(job_id=job.pk).update(rank=rank)


def read(entity_id: int, asked: int, effects: list[Effect]) -> list[ReadyJob]:
    with all_tenants():
        return list(read_rows({entity_id: asked}, effects=effects).rows[entity_id].jobs)


@pytest.mark.parametrize("asked", [1, 7, 50])
def test_statement_orders_a_line_as_the_model_does(acme: Tenant, worker: Registration, asked: int) -> None:
    jobs = [*submit(acme, 15), *submit(acme, 15, kind="sleep", payload={"seconds": 0}), *submit(acme, 10, kind="fail")]
    spread(jobs, Random(asked))
    tier = acme.plan.tier_id
    effects = [
        Effect("a", "sleep", None, None, 200),
        Effect("b", "sleep", tier, acme.pk, 150),
        Effect("c", "noop", tier, None, -40),
        Effect("d", "noop", None, None, -20),
        Effect("e", "fail", "another", None, 300),
        Effect("f", "fail", None, UUID(int=7), 300),
    ]
    offsets = {"sleep": 300, "noop": -60, "fail": 0}
    with all_tenants():
        rows = list(JobReady.objects.order_by("rank", "job_id"))
    expected = order_line(rows, lambda row: row.rank, lambda row: offsets[row.kind] * 1_000_000)[:asked]
    found = read(line_of(acme), asked, effects)
    assert [(job.job_id, job.rank, job.stored_rank) for job in found] == [
        (row.job_id, place, row.rank) for row, place in expected
    ]
    moves = {"sleep": Move(300, ("a", "b")), "noop": Move(-60, ("c", "d")), "fail": None}
    assert [job.move for job in found] == [moves[row.kind] for row, _ in expected]


def test_only_the_first_jobs_of_a_line_are_moved(acme: Tenant, worker: Registration) -> None:
    submit(acme, LINE_JOBS)
    near = submit(acme, 1, kind="sleep", payload={"seconds": 0})[0]
    effects = [Effect("a", "sleep", None, None, 300)]
    assert near.pk not in {job.job_id for job in read(line_of(acme), LINE_JOBS, effects)}
    assert read(line_of(acme), LINE_JOBS + 5, effects)[-1].job_id == near.pk
    with all_tenants():
        JobReady.objects.filter(job_id__in=[read(line_of(acme), 1, [])[0].job_id]).delete()
    assert read(line_of(acme), 1, effects)[0].job_id == near.pk


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({}, "kind"),
        ({"tier": None}, "kind"),
        ({"kind": "nothing"}, "kind"),
        ({"kind": "noop", "offset_seconds": 0}, "offset_seconds"),
    ],
)
def test_rule_that_would_do_nothing_is_refused(values: dict[str, Any], field: str) -> None:
    with pytest.raises(FieldInvalidError) as refused:
        add_rule(**values)
    assert refused.value.errors[0]["field"] == field


@pytest.mark.parametrize("offset", [301, -301, True, "30", 1.5, None])
def test_api_refuses_an_offset_that_is_out_of_bounds_or_no_number(staff_api: APIClient, offset: Any) -> None:
    body = {"name": "new", "position": 1, "kind": "noop", "offset_seconds": offset}
    answer = staff_api.post("/api/v1/priority-rules/", body, format="json")
    assert answer.status_code in (400, 422), answer.json()


def test_api_shows_what_moves_a_waiting_job_and_what_moved_a_dispatched_one(
    acme: Tenant, staff_api: APIClient, one_slot: Registration, tick: Tick
) -> None:
    body = {"name": "Sleep first", "position": 1, "kind": "sleep", "offset_seconds": 30}
    assert staff_api.post("/api/v1/priority-rules/", body, format="json").status_code == 201
    submit(acme, 1)
    job = submit(acme, 1, kind="sleep", payload={"seconds": 0})[0]
    put(Level.BUSY)
    url = f"/api/v1/jobs/{job.pk}/"
    assert staff_api.get(url).json()["waiting"]["moved"] == {"seconds": 30, "rules": ["Sleep first"]}
    assert tick().dispatched == 1
    events = staff_api.get(f"{url}events/").json()["results"]
    moved = next(event["data"]["moved"] for event in events if event["name"] == "job.dispatched")
    assert moved == {"rules": ["Sleep first"], "seconds": 30}


def test_page_of_a_job_shows_what_moves_it(
    acme: Tenant, staff_client: Client, one_slot: Registration, tick: Tick
) -> None:
    add_rule(kind="sleep", offset_seconds=30)
    job = submit(acme, 1, kind="sleep", payload={"seconds": 0})[0]
    put(Level.BUSY)
    url = reverse("admin:scheduling_job_change", args=[job.pk])
    words = "moved by rule “Sleep first” (+30 s)"
    assert words in staff_client.get(url).content.decode()
    tick()
    assert words in staff_client.get(url).content.decode()


def test_what_if_counts_the_jobs_that_a_rule_would_have_moved_and_their_waits(
    acme: Tenant, staff_api: APIClient, staff_client: Client, one_slot: Registration, start: Start, tick: Tick
) -> None:
    rule = add_rule(kind="sleep", is_enabled=False)
    jobs = [*submit(acme, 2), *submit(acme, 1, kind="sleep", payload={"seconds": 0})]
    for job in jobs:
        tick()
        complete(start, job)
    tick()
    with all_tenants():
        # The test is one transaction, in which all starts have one time.
        for number, execution in enumerate(Execution.objects.order_by("id")):
            at = execution.dispatched_at + timedelta(seconds=60 + number)
            Execution.objects.filter(pk=execution.pk).update(dispatched_at=at)
    effect = staff_api.post(f"/api/v1/priority-rules/{rule.pk}/what-if/", {}, format="json").json()
    assert (effect["jobs"], effect["covered"], effect["moved"], effect["is_cut"]) == (3, 1, 3, False)
    waits = {kind["kind"]: kind for kind in effect["kinds"]}
    assert waits["sleep"]["mean_after"] < waits["sleep"]["mean_now"]
    assert waits["noop"]["mean_after"] > waits["noop"]["mean_now"]
    page = staff_client.get(reverse("admin:scheduling_priorityrule_change", args=[rule.pk])).content.decode()
    assert "It would have moved 3 of 3 jobs." in page
