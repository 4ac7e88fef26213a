"""The editors of plans: the effect is shown before saving, and no input is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from scheduling.fairness.lab import OrderPolicy
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_jobs
from scheduling.models import CFSPlan, FairShareNode, Worker
from scheduling.plans.service import update_cfs_plan
from scheduling.what_if.page import ask_about_cfs_plan, ask_about_plan
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Plan, PlanLimit, Tenant
from tenants.plans.retry_rules import write_retry_rules
from tenants.plans.service import update_plan

pytestmark = pytest.mark.django_db

Console = Callable[[User], Client]


def cloud() -> CFSPlan:
    return CFSPlan.objects.get(name="cloud")


def team() -> Plan:
    return Plan.objects.get(slug="team")


def cfs_form(plan: CFSPlan, **weights: object) -> dict[str, Any]:
    """Return the form as the page of the plan sends it."""
    rows = list(plan.tiers.order_by("tier__rank"))
    data: dict[str, Any] = {
        "name": plan.name,
        "strategy": plan.strategy,
        "granularity_seconds": plan.granularity_seconds,
        "reserved_slots": plan.reserved_slots,
        "reason": "launch",
        "seen_version": plan.version,
        "tiers-TOTAL_FORMS": len(rows),
        "tiers-INITIAL_FORMS": len(rows),
    }
    for index, row in enumerate(rows):
        data |= {
            f"tiers-{index}-id": row.pk,
            f"tiers-{index}-plan": plan.pk,
            f"tiers-{index}-tier": row.tier_id,
            f"tiers-{index}-queue": row.queue_id,
            f"tiers-{index}-io_queue": row.io_queue_id,
            f"tiers-{index}-weight": weights.get(row.tier_id, row.weight),
        }
    return data


def plan_form(plan: Plan, **changed: object) -> dict[str, Any]:
    limits = list(PlanLimit.objects.filter(plan=plan).order_by("key"))
    data: dict[str, Any] = {
        name: getattr(plan, name)
        for name in (
            "name",
            "weight",
            "max_concurrency",
            "max_waiting_jobs",
            "submits_per_minute",
            "worker_seconds_per_month",
            "max_priority",
        )
    }
    data |= {"tier": plan.tier_id, "reason": "launch", "seen_version": plan.version}
    data |= {"limits-TOTAL_FORMS": len(limits), "limits-INITIAL_FORMS": len(limits)}
    for index, row in enumerate(limits):
        data |= {f"limits-{index}-id": row.pk, f"limits-{index}-plan": plan.pk}
        data |= {f"limits-{index}-key": row.key, f"limits-{index}-value": row.value}
    return data | changed


def address(plan: CFSPlan | Plan, page: str = "change") -> str:
    return reverse(f"admin:{plan._meta.app_label}_{plan._meta.model_name}_{page}", args=[plan.pk])


@pytest.fixture
def backlog(acme: Tenant, globex: Tenant, live_worker: Worker) -> None:
    """Let work of both tenants wait for four slots."""
    for tenant in (acme, globex):
        request = JobRequest(kind="sleep", payload={"seconds": 1})
        submit_jobs(tenant=tenant, requests=[request] * 60)
    with all_tenants():
        # As the next tick stores it.
        FairShareNode.objects.update(waiting=60, is_runnable=True)


def test_typed_plan_becomes_a_what_if_question() -> None:
    question = ask_about_plan(team(), {"weight": "5", "max_concurrency": "7"})
    assert (question.change.plan_weights, question.change.plan_caps) == ({"team": 5}, {"team": 7})
    [bar] = [bar for bar in question.bars if bar.name == "team"]
    # With weights 1, 2, 4 and then 1, 5, 4.
    assert (bar.now, bar.after) == (pytest.approx(2 / 7), pytest.approx(0.5))


def test_typed_cfs_plan_becomes_a_what_if_question() -> None:
    posted = cfs_form(cloud(), sandbox=8) | {"strategy": "nop", "granularity_seconds": "30"}
    change = ask_about_cfs_plan(cloud(), posted).change
    assert change.tier_weights == {"sandbox": 8, "team": 2, "professional": 4}
    assert (change.policy, change.granularity_seconds) == (OrderPolicy.FIFO, 30)


@pytest.mark.parametrize("weight", ["0", "1001", "-1", "a", "", "1.5", "٣", "9" * 40])
def test_invalid_value_is_reported_and_not_replayed(console: Console, staff: User, weight: str) -> None:
    assert ask_about_plan(team(), {"weight": weight}).faults
    page = console(staff).post(address(cloud(), "what_if"), cfs_form(cloud(), team=weight)).content.decode()
    assert "must be a whole number from 1 to 1,000" in page
    assert "decisions replayed" not in page


def test_inactive_plan_and_moved_tier_are_noted(console: Console, staff: User) -> None:
    community = CFSPlan.objects.get(name="community")
    page = console(staff).post(address(community, "what_if"), cfs_form(community)).content.decode()
    assert "The plan is not active" in page
    assert "would use another queue" in page


def test_panel_names_who_loses_first(console: Console, staff: User, backlog: None) -> None:
    client = console(staff)
    page = client.post(address(cloud(), "what_if"), cfs_form(cloud(), sandbox=40)).content.decode()
    assert "1 tenant loses" in page
    # Acme's plan is team: it loses to globex, and comes first.
    tenants = page.partition("The ten most affected tenants")[2]
    assert 0 < tenants.index("acme") < tenants.index("globex")
    assert "loses" in tenants[: tenants.index("globex")]
    assert "jobs arrived, waited or ran" in page
    same = client.post(address(team(), "what_if"), plan_form(team())).content.decode()
    assert "No tenant loses" in same
    assert cloud().tiers.get(tier_id="sandbox").weight == 1


def test_preview_saves_nothing(console: Console, staff: User, backlog: None) -> None:
    """Cover the button without scripts: same page, same panel, same input."""
    for plan, form in ((cloud(), cfs_form(cloud(), sandbox=40)), (team(), plan_form(team(), weight=9))):
        response = console(staff).post(address(plan), form | {"_preview": "1"})
        page = response.content.decode()
        assert response.status_code == 200
        assert "decisions replayed" in page
        assert "Please correct" not in page
        assert 'value="40"' in page or 'value="9"' in page
    assert (cloud().version, team().version, team().weight) == (1, 1, 2)
    with all_tenants():
        assert not AuditLogEntry.objects.filter(action__contains="plan").exists()


def test_stale_plan_is_refused_and_keeps_the_input(console: Console, staff: User) -> None:
    client, stale = console(staff), plan_form(team(), weight=9)
    update_plan(plan=team(), changes={"weight": 3})
    response = client.post(address(team()), stale)
    page = response.content.decode()
    assert response.status_code == 200
    assert "it is at version 2 now" in page
    assert "Your input is kept below" in page
    assert 'name="weight" value="9"' in page
    assert 'name="seen_version" value="2"' in page
    assert team().weight == 3
    assert client.post(address(team()), stale | {"seen_version": 2}).status_code == 302
    assert team().weight == 9


def test_stale_cfs_plan_keeps_the_typed_weights(console: Console, staff: User) -> None:
    client, stale = console(staff), cfs_form(cloud(), sandbox=40)
    update_cfs_plan(plan=cloud(), fields={"granularity_seconds": 60})
    page = client.post(address(cloud()), stale).content.decode()
    assert "Your input is kept below" in page
    assert 'value="40"' in page
    assert cloud().tiers.get(tier_id="sandbox").weight == 1


def test_refusal_by_the_service_is_shown_with_the_input(console: Console, staff: User) -> None:
    form = cfs_form(cloud(), team=77) | {"tiers-0-DELETE": "on"}
    page = console(staff).post(address(cloud()), form).content.decode()
    assert "An active plan needs a queue for: sandbox" in page
    assert 'value="77"' in page
    assert cloud().tiers.count() == 3


def test_error_stands_at_its_field(console: Console, staff: User) -> None:
    response = console(staff).post(address(cloud()), cfs_form(cloud(), team=2000))
    [formset] = response.context["inline_admin_formsets"]
    assert [list(form.errors) for form in formset.formset.forms] == [[], ["weight"], []]


def test_what_if_panel_needs_the_right_to_edit(console: Console, acme_user: User) -> None:
    assert console(acme_user).post(address(team(), "what_if"), {}).status_code == 403


def test_what_if_panel_refuses_get(console: Console, staff: User) -> None:
    assert console(staff).get(address(team(), "what_if")).status_code == 405


def test_values_that_are_not_replayed_are_named() -> None:
    reserve = ask_about_cfs_plan(cloud(), cfs_form(cloud()) | {"reserved_slots": "3"})
    assert any("reserved slots" in note for note in reserve.notes)
    rates = ask_about_plan(team(), plan_form(team(), submits_per_minute="7", max_priority="1"))
    assert rates.notes == ["Not replayed, so without effect here: submits per minute, max priority."]
    assert ask_about_plan(team(), plan_form(team(), weight="9")).notes == []


def test_retry_rules_are_lines_and_an_invalid_one_is_named(console: Console, staff: User) -> None:
    client = console(staff)
    rules = "noop: 1 retry after 30, 60\n*: 2 retries"
    client.post(address(team()), plan_form(team(), retry_rules=rules))
    assert team().retry_rules == {"noop": {"max_retries": 1, "delays_seconds": [30, 60]}, "*": {"max_retries": 2}}
    shown = client.get(address(team())).content.decode()
    assert "noop: 1 retry after 30, 60" in shown
    assert "retry_rules.noop" in shown  # in the list of versions
    refused = client.post(address(team()), plan_form(team(), retry_rules="noop: often")).content.decode()
    assert "Line 1 is not a rule" in refused
    assert "noop: often" in refused
    # Sent unchanged, they create no version.
    version = team().version
    client.post(address(team()), plan_form(team(), retry_rules=write_retry_rules(team().retry_rules)))
    assert team().version == version
