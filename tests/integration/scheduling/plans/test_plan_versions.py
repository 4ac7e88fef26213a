"""Versions of plans and CFS plans: append-only, optimistic, applied once at their time, withdrawn, rolled back."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, ProgrammingError, connection, transaction
from rest_framework.test import APIClient

from scheduling.dispatch.duties import DUTIES
from scheduling.models import CFSPlan, CFSPlanVersion, Queue
from scheduling.plans.due_versions import apply_due_versions
from scheduling.plans.service import CFS_PLANS, TierRow, activate_cfs_plan, create_cfs_plan, update_cfs_plan
from tenants.context import all_tenants
from tenants.database.clock import read_moment
from tenants.exceptions import (
    EffectiveFromPastError,
    PlanChangedError,
    PlanContentInvalidError,
    ReasonRequiredError,
    VersionNotFoundError,
    VersionNotWaitingError,
)
from tenants.models import AuditLogEntry, Plan, PlanLimit, PlanVersion
from tenants.plans.service import PLANS, create_plan, update_plan
from tenants.signals import tenant_scheduling_changed
from tenants.versions.registry import versioned

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]
FILES = "document_indexing.files_per_batch"
LATER = datetime(2999, 1, 1, tzinfo=UTC)


def team() -> Plan:
    return Plan.objects.get(slug="team")


def cloud() -> CFSPlan:
    return CFSPlan.objects.get(name="cloud")


def actions() -> list[str]:
    with all_tenants():
        found = AuditLogEntry.objects.filter(action__contains="plan").order_by("id")
        return list(found.values_list("action", flat=True))


def make_due(*rows: Any) -> None:
    """Let the time of versions have come, past the trigger that forbids changing them."""
    with all_tenants(), connection.cursor() as cursor:
        for row in rows:
            table = row._meta.db_table
            columns = [field.column for field in row._meta.concrete_fields if field.name != "effective_from"]
            names = ", ".join(columns)
            cursor.execute(
                f"INSERT INTO {table} ({names}, effective_from)"
                f" SELECT {names.replace('id, number', 'gen_random_uuid(), number + 1000', 1)},"
                f" now() - interval '1 second' FROM {table} WHERE id = %s",
                [row.pk],
            )


def test_registry_names_each_kind_of_versioned_row() -> None:
    assert list(versioned()) == ["plan", "cfs-plan", "job-template", "workflow"]


def test_initial_content_is_the_first_version() -> None:
    assert [row.content["weight"] for row in team().versions.all()] == [2]
    [first] = cloud().versions.all()
    assert first.content["tiers"]["team"] == {"queue": "tasks_team", "io_queue": "workflow_team", "weight": 2}
    assert (first.number, first.outcome) == (cloud().version, "applied")


def test_edit_creates_a_version_of_the_whole_plan_with_its_difference() -> None:
    with all_tenants():
        PlanLimit.objects.exclude(key=FILES).delete()
    version = update_plan(plan=team(), changes={"weight": 5}, limits={"a.b": 1}, reason="launch")
    assert version is not None
    assert (version.number, version.reason, version.author, version.outcome) == (2, "launch", "system", "applied")
    assert version.content["limits"] == {"a.b": 1}
    assert version.content["max_concurrency"] == 5
    assert version.before == {"weight": 2, "a.b": None, FILES: 20}
    assert version.after == {"weight": 5, "a.b": 1, FILES: None}
    assert (team().version, team().weight) == (2, 5)


def test_edit_without_changes_creates_no_version() -> None:
    assert update_plan(plan=team(), changes={"weight": 2}, reason="launch") is None
    assert (team().version, team().versions.count(), actions()) == (1, 1, [])


def test_stale_edit_is_refused() -> None:
    update_plan(plan=team(), changes={"weight": 5}, expected_version=1)
    with pytest.raises(PlanChangedError, match="at version 2, not 1"):
        update_plan(plan=team(), changes={"weight": 6}, expected_version=1)
    with pytest.raises(PlanChangedError):
        PLANS.roll_back(team(), 1, reason="x", expected_version=1)
    assert team().weight == 5


def test_rollback_creates_a_version_with_the_old_content() -> None:
    update_plan(plan=team(), changes={"weight": 5}, limits={})
    version = PLANS.roll_back(team(), 1, reason="too much")
    assert version is not None
    assert (version.number, team().version, team().weight) == (3, 3, 2)
    assert PlanLimit.objects.get(plan=team(), key=FILES).value == 20
    assert actions() == ["plan.updated", "plan.rolled_back"]
    with pytest.raises(VersionNotFoundError):
        PLANS.roll_back(team(), 77, reason="x")
    with pytest.raises(ReasonRequiredError):
        PLANS.roll_back(team(), 1, reason=" ")


def test_future_version_waits_and_can_be_withdrawn_once() -> None:
    version = update_plan(plan=team(), changes={"weight": 5}, effective_from=LATER, reason="next year")
    assert version is not None
    assert (version.outcome, team().weight, team().version) == ("waiting", 2, 1)
    assert apply_due_versions() == 0
    PLANS.withdraw(team(), 2, reason="not at all")
    with pytest.raises(VersionNotWaitingError):
        PLANS.withdraw(team(), 2, reason="again")
    assert actions() == ["plan.version_scheduled", "plan.version_withdrawn"]
    version.refresh_from_db()
    assert (version.outcome, version.outcome_note) == ("withdrawn", "not at all")


def test_version_takes_effect_once_at_its_time(acme: Any) -> None:
    signalled: list[Any] = []

    def listen(*, tenant_ids: Any, **_: object) -> None:
        signalled.extend(tenant_ids)

    version = update_plan(plan=team(), changes={"weight": 5}, effective_from=LATER)
    make_due(version)
    tenant_scheduling_changed.connect(listen)
    try:
        assert apply_due_versions() == 1
    finally:
        tenant_scheduling_changed.disconnect(listen)
    assert apply_due_versions() == 0
    assert (team().version, team().weight) == (1002, 5)
    assert signalled == [acme.pk]
    assert actions()[-1] == "plan.updated"


def test_due_versions_take_effect_in_the_order_of_their_times() -> None:
    first = update_plan(plan=team(), changes={"weight": 5}, effective_from=LATER)
    second = update_plan(plan=team(), changes={"weight": 7}, effective_from=LATER)
    make_due(first)
    make_due(second)
    assert apply_due_versions() == 2
    assert team().weight == 7


def test_version_for_a_past_time_is_refused() -> None:
    for moment in (read_moment() - timedelta(seconds=1), datetime(2999, 1, 1)):  # noqa: DTZ001 - without a zone
        with pytest.raises(EffectiveFromPastError):
            update_plan(plan=team(), changes={"weight": 5}, effective_from=moment)
    assert team().versions.count() == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tenants_planversion SET content = '{}'",
        "UPDATE tenants_planversion SET outcome = 'waiting'",
        "UPDATE tenants_planversion SET effective_from = now()",
        "UPDATE scheduling_cfs_plan_version SET reason = 'other'",
        "DELETE FROM tenants_planversion",
        "DELETE FROM scheduling_cfs_plan_version",
    ],
)
def test_versions_are_immutable(statement: str) -> None:
    refusals = (IntegrityError, ProgrammingError)
    with all_tenants(), connection.cursor() as cursor, pytest.raises(refusals), transaction.atomic():
        cursor.execute(statement)


def test_cfs_plan_is_versioned_with_its_tier_rows() -> None:
    queue = Queue.objects.get(name="tasks")
    tiers = [TierRow(tier, queue.pk, 4) for tier in ("sandbox", "team", "professional")]
    version = update_cfs_plan(plan=cloud(), fields={"strategy": "nop"}, tiers=tiers, reason="drill")
    assert version is not None
    row = {"queue": "tasks_sandbox", "io_queue": "workflow_sandbox", "weight": 1}
    assert version.before["tiers.sandbox"] == row
    assert version.after == {
        "strategy": "nop",
        **{f"tiers.{row.tier_id}": {"queue": "tasks", "weight": 4} for row in tiers},
    }
    CFS_PLANS.roll_back(cloud(), 1, reason="over")
    assert cloud().strategy == "time_slice"
    assert cloud().tiers.get(tier_id="team").queue.name == "tasks_team"
    assert [row.number for row in cloud().versions.all()] == [3, 2, 1]


def test_content_with_a_deleted_queue_is_refused() -> None:
    with all_tenants():
        queue = Queue.objects.create(name="brief", pool=Queue.objects.get(name="tasks").pool)
    plan = create_cfs_plan(fields={"name": "other"}, tiers=[TierRow("team", queue.pk, 1)])
    other = Queue.objects.get(name="tasks")
    update_cfs_plan(plan=plan, fields={}, tiers=[TierRow("team", other.pk, 1)])
    with all_tenants():
        queue.delete()
    with pytest.raises(PlanContentInvalidError, match="brief"):
        CFS_PLANS.roll_back(plan, 1, reason="x")


def test_version_that_became_invalid_is_refused_at_its_time() -> None:
    community = CFSPlan.objects.get(name="community")
    version = update_cfs_plan(plan=community, fields={}, tiers=[], effective_from=LATER)
    activate_cfs_plan(plan=community)
    make_due(version)
    assert apply_due_versions() == 0
    refused = CFSPlanVersion.objects.get(outcome="refused")
    assert "An active plan needs a queue" in refused.outcome_note
    assert community.tiers.count() == 3
    assert actions()[-1] == "cfs_plan.version_refused"
    assert apply_due_versions() == 0


def test_withdrawn_version_of_a_cfs_plan_stays_withdrawn() -> None:
    update_cfs_plan(plan=cloud(), fields={"reserved_slots": 1}, effective_from=LATER)
    CFS_PLANS.withdraw(cloud(), 2, reason="no")
    assert apply_due_versions() == 0
    assert cloud().reserved_slots == 0


def test_applying_versions_is_a_duty_of_every_dispatcher() -> None:
    [duty] = [duty for duty in DUTIES if duty.run is apply_due_versions]
    assert duty.interval_seconds() < 1


@pytest.mark.django_db(transaction=True)
def test_concurrent_dispatchers_apply_a_version_once() -> None:
    for number in range(3):
        version = update_plan(plan=team(), changes={"weight": 5 + number}, effective_from=LATER)
        make_due(version)

    def look(_: int) -> int:
        try:
            return apply_due_versions()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        applied = sum(threads.map(look, range(12)))
    assert applied == 3
    assert actions().count("plan.updated") == 3


@pytest.mark.django_db(transaction=True)
def test_concurrent_edits_of_one_version_refuse_one() -> None:
    def edit(weight: int) -> str:
        try:
            update_plan(plan=team(), changes={"weight": weight}, expected_version=1)
        except PlanChangedError:
            return "refused"
        finally:
            connection.close()
        return "made"

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(edit, (11, 12))) == ["made", "refused"]
    assert [row.number for row in PlanVersion.objects.filter(plan=team())] == [2, 1]


def test_new_plan_begins_with_a_version() -> None:
    values = {
        "slug": "new",
        "name": "New",
        "tier": team().tier,
        "max_waiting_jobs": 1,
        "submits_per_minute": 1,
        "worker_seconds_per_month": 1,
    }
    plan = create_plan(values=values, limits={"a.b": 2}, reason="a trial")
    assert [(row.number, row.content["limits"], row.reason) for row in plan.versions.all()] == [
        (1, {"a.b": 2}, "a trial")
    ]


def test_api_edits_lists_and_rolls_back(staff: Any) -> None:
    client = APIClient()
    client.force_login(staff)
    plan = client.get("/api/v1/plans/team/").json()
    assert (plan["version"], plan["weight"], plan["waiting_versions"]) == (1, 2, [])
    stale = {"weight": 5, "expected_version": 3}
    assert client.patch("/api/v1/plans/team/", stale, format="json").json()["code"] == "plan_changed"
    assert client.patch("/api/v1/plans/team/", stale, format="json").status_code == 409
    past = {"weight": 5, "effective_from": "2001-01-01T00:00:00Z"}
    refusal = client.patch("/api/v1/plans/team/", past, format="json")
    assert (refusal.status_code, refusal.json()["code"]) == (422, "effective_from_past")
    later = {"weight": 5, "effective_from": "2999-01-01T00:00:00Z", "reason": "next year"}
    waiting = client.patch("/api/v1/plans/team/", later, format="json").json()["waiting_versions"]
    assert waiting == [{"number": 2, "effective_from": "2999-01-01T00:00:00Z"}]
    client.patch("/api/v1/plans/team/", {"weight": 9, "expected_version": 1}, format="json")
    client.post("/api/v1/plans/team/rollback/", {"number": 1, "reason": "x"}, format="json")
    versions = client.get("/api/v1/plans/team/versions/").json()["results"]
    assert [row["number"] for row in versions] == [4, 3, 2, 1]
    assert [row["outcome"] for row in versions] == ["applied", "applied", "waiting", "applied"]
    unknown = client.patch("/api/v1/plans/team/", {"wieght": 9}, format="json")
    assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (422, "wieght")


def test_api_changes_a_cfs_plan_and_its_name(staff: Any) -> None:
    client = APIClient()
    client.force_login(staff)
    row = {"region": "", "queue": "tasks", "io_queue": None, "weight": 4}
    tiers = [{"tier": tier, **row} for tier in ("sandbox", "team", "professional")]
    answer = client.patch("/api/v1/cfs-plans/cloud/", {"name": "sky", "tiers": tiers}, format="json")
    assert (answer.status_code, answer.json()["name"], answer.json()["tiers"]) == (200, "sky", tiers)
    nowhere = [tiers[0] | {"queue": "nowhere"}]
    assert client.patch("/api/v1/cfs-plans/sky/", {"tiers": nowhere}, format="json").status_code == 422
    active = client.post("/api/v1/cfs-plans/community/activate/", {"reason": "x"}, format="json").json()
    assert active["is_active"]


def test_command_lists_and_rolls_back() -> None:
    update_plan(plan=team(), changes={"weight": 5}, reason="launch")
    out = StringIO()
    call_command("versions", "plan", "team", rollback=1, reason="too much", json=True, stdout=out)
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(row["number"], row["is_in_effect"], row["content"]["weight"]) for row in rows] == [
        (3, True, 2),
        (2, False, 5),
        (1, False, 2),
    ]
    assert rows[0]["author"].startswith("command:")
    out = StringIO()
    call_command("versions", "cfs-plan", "cloud", stdout=out)
    assert out.getvalue().startswith("1 in effect")


def test_api_changes_retry_rules(staff: Any) -> None:
    client = APIClient()
    client.force_login(staff)
    rules = {"*": {"max_retries": 2}, "noop": {"delays_seconds": [5, 10]}}
    changed = client.patch("/api/v1/plans/team/", {"retry_rules": rules, "reason": "calmer"}, format="json")
    assert (changed.status_code, changed.json()["retry_rules"]) == (200, rules)
    for bad in (
        {"noop": {}},
        {"no op": {"max_retries": 1}},
        {"noop": {"max_retries": 101}},
        {"noop": {"tries": 1}},
        [],
    ):
        refused = client.patch("/api/v1/plans/team/", {"retry_rules": bad}, format="json")
        assert refused.status_code == 422, bad
    assert client.get("/api/v1/plans/team/").json()["retry_rules"] == rules
