"""Breakers in the console: required fields, forcing one before anything fails, and visibility."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from scheduling.breakers.queries import OF_TENANTS
from scheduling.console.wording import circuit_words
from scheduling.models import Circuit
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.console.admin_actions import Console, act_url, entries_of
from tests.integration.console.conftest import Work

pytestmark = pytest.mark.django_db

ADD = reverse("admin:scheduling_circuit_add")
HOST = "api.example.com"


def forced() -> list[tuple[str | None, str, str, str]]:
    with all_tenants():
        held = Circuit.objects.filter(state__startswith="forced").select_related("tenant").order_by("id")
        return [
            (circuit.tenant.slug if circuit.tenant else None, circuit.dependency, circuit.state, circuit.forced_by)
            for circuit in held
        ]


def test_member_forces_and_resets_its_own_breaker(console: Console, acme_user: User, acme_work: Work) -> None:
    client = console(acme_user)
    page = client.get(ADD).content.decode()
    assert 'name="tenant"' not in page
    client.post(ADD, {"kind": "noop", "dependency": HOST, "state": "forced_open", "reason": "they move"})
    assert forced() == [("acme", HOST, "forced_open", "user:alice")]
    with all_tenants():
        row = Circuit.objects.get(dependency=HOST)
    listed = client.get(reverse("admin:scheduling_circuit_changelist")).content.decode()
    assert HOST in listed
    assert "forced: they move" in listed
    client.post(act_url("circuit", row.pk, "force_closed"), {"reason": "they must run"})
    assert forced() == [("acme", HOST, "forced_closed", "user:alice")]
    client.post(act_url("circuit", row.pk, "reset"), {"reason": "done"})
    assert forced() == []
    assert len(entries_of("circuit.reset")) == 1


def test_shared_breaker_forced_by_staff_is_hidden_from_members(
    console: Console, staff: User, acme_user: User, acme_work: Work
) -> None:
    client = console(staff)
    assert 'name="tenant"' in client.get(ADD).content.decode()
    client.post(ADD, {"kind": "noop", "dependency": HOST, "state": "forced_open", "reason": "x"})
    assert forced() == [(None, HOST, "forced_open", "user:stella")]
    with all_tenants():
        row = Circuit.objects.get(dependency=HOST)
    member = console(acme_user)
    assert member.post(act_url("circuit", row.pk, "reset"), {"reason": "x"}).status_code == 404
    assert len(forced()) == 1
    console(staff).post(act_url("circuit", row.pk, "reset"), {"reason": "done"})
    assert forced() == []


def test_staff_forces_a_breaker_of_a_tenant(console: Console, staff: User, acme_work: Work, globex: Tenant) -> None:
    values = {"tenant": globex.pk, "kind": "noop", "dependency": "", "state": "forced_closed", "reason": "x"}
    console(staff).post(ADD, values)
    assert forced() == [("globex", "", "forced_closed", "user:stella")]


def test_breaker_form_without_reason_or_shared_dependency_is_refused(
    console: Console, staff: User, acme_work: Work
) -> None:
    client = console(staff)
    page = client.post(ADD, {"kind": "noop", "dependency": HOST, "state": "forced_open"}).content.decode()
    assert "This field is required." in page
    client.post(ADD, {"kind": "noop", "dependency": "", "state": "forced_open", "reason": "x"})
    assert forced() == []


def test_overview_shows_what_open_breakers_hold_back(
    console: Console, staff: User, acme_user: User, globex_user: User, acme_work: Work
) -> None:
    title = "Circuit breakers are open"
    assert title not in console(staff).get(reverse("admin:index")).content.decode()
    console(staff).post(ADD, {"kind": "sleep", "dependency": HOST, "state": "forced_open", "reason": "x"})
    console(acme_user).post(ADD, {"kind": "noop", "dependency": "", "state": "forced_open", "reason": "x"})
    page = console(staff).get(reverse("admin:index")).content.decode()
    assert title in page
    assert f"noop, sleep ({HOST})" in page
    assert reverse("admin:scheduling_circuit_changelist") in page
    own = console(acme_user).get(reverse("admin:index")).content.decode()
    assert "Jobs of noop wait" in own
    assert title not in console(globex_user).get(reverse("admin:index")).content.decode()


def test_many_open_breakers_are_summarised_in_one_line() -> None:
    held = {(f"kind-{number}", ""): 1 for number in range(7)} | {("kind-0", OF_TENANTS): 3}
    assert circuit_words(held) == "kind-0, kind-1, kind-2, kind-3, kind-4 and 2 more"
