"""Limits: sources of their values, permissions to change them, and display of usage."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, transaction
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from tenants.context import all_tenants, tenant_context
from tenants.exceptions import FieldInvalidError, LimitUnknownError, ReasonRequiredError
from tenants.limits.admin import plan_limit_choices
from tenants.limits.declared import MAX_LIMIT_VALUE, NO_PERIOD, Limit, LimitPeriod, LimitState, Source, limits, month_of
from tenants.limits.service import clear_tenant_limit, expire_tenant_limits, set_tenant_limit
from tenants.limits.usage import allowed_for, effective_limits, note_level, warn_of_usage
from tenants.limits.usage_queries import UsageLine, read_usage
from tenants.models import AuditLogEntry, LimitWarning, PlanLimit, Tenant, TenantLimit, TenantUsage
from tenants.plans.service import update_plan

pytestmark = pytest.mark.django_db

USAGE = "/api/v1/usage/"
SECONDS = "worker_seconds_per_month"


def value_of(tenant: Tenant, key: str) -> tuple[int | None, Source]:
    with tenant_context(tenant):
        effective = effective_limits(tenant.pk)[key]
    return effective.allowed, effective.source


def line_of(tenant: Tenant, key: str) -> UsageLine:
    with tenant_context(tenant):
        (line,) = [line for line in read_usage(tenant.pk).lines if line.limit.key == key]
    return line


def count(tenant: Tenant, key: str, amount: int) -> None:
    period = month_of(datetime.now(UTC)) if limits()[key].span is not LimitPeriod.NOW else NO_PERIOD
    with all_tenants():
        TenantUsage.objects.create(tenant=tenant, key=key, period=period, amount=amount)


def staff_api(staff: User, tenant: Tenant) -> APIClient:
    client = APIClient(headers={"X-Tenant": tenant.slug})
    client.force_login(staff)
    return client


# Values --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("submits_per_minute", (600, Source.PLAN)),
        ("submit_burst", (1_000, Source.DEFAULT)),
        ("max_waiting_jobs", (100_000, Source.PLAN)),
        ("jobs_per_bulk", (1_000, Source.DEFAULT)),
        ("max_concurrency", (5, Source.PLAN)),
        (SECONDS, (100_000, Source.PLAN)),
        ("peak_memory_mib", (None, Source.DEFAULT)),
        ("document_indexing.files_per_batch", (20, Source.PLAN)),
        ("vector_chunks", (1_000_000, Source.PLAN)),
        ("storage_bytes", (10 * 1024**3, Source.PLAN)),
    ],
)
def test_limit_comes_from_the_plan_or_else_the_default(acme: Tenant, key: str, expected: tuple[int, Source]) -> None:
    assert value_of(acme, key) == expected


@pytest.mark.parametrize("key", ["submits_per_minute", "submit_burst", "max_concurrency", "peak_memory_mib"])
def test_override_precedes_the_plan_for_one_tenant_only(acme: Tenant, globex: Tenant, key: str) -> None:
    before = value_of(globex, key)
    set_tenant_limit(tenant=acme, key=key, value=7, reason="a trial")
    assert value_of(acme, key) == (7, Source.OVERRIDE)
    assert value_of(globex, key) == before
    clear_tenant_limit(tenant=_fresh(acme), key=key, reason="over")
    assert value_of(acme, key)[1] is not Source.OVERRIDE


def _fresh(tenant: Tenant) -> Tenant:
    with all_tenants():
        return Tenant.objects.select_related("plan").get(pk=tenant.pk)


def test_plan_row_applies_to_limits_without_a_column(acme: Tenant) -> None:
    with all_tenants():
        update_plan(plan=acme.plan, changes={}, limits={"submit_burst": 9})
    assert value_of(acme, "submit_burst") == (9, Source.PLAN)


def test_all_limits_are_read_by_one_statement(acme: Tenant, django_assert_num_queries: Any) -> None:
    with tenant_context(acme), django_assert_num_queries(1):
        assert set(effective_limits(acme.pk)) == set(limits())


def test_limits_of_another_tenant_are_not_visible(acme: Tenant, globex: Tenant) -> None:
    set_tenant_limit(tenant=globex, key="submit_burst", value=7, reason="theirs")
    with tenant_context(acme):
        assert effective_limits(globex.pk) == {}
        assert not TenantLimit.objects.exists()


def test_tenant_cannot_write_its_own_limits(acme: Tenant) -> None:
    with pytest.raises(ProgrammingError), tenant_context(acme), transaction.atomic():
        TenantLimit.objects.create(tenant=acme, key="submit_burst", value=10**6, reason="mine")


# Overrides -----------------------------------------------------------------------------------------


def test_override_is_audited_with_its_reason(acme: Tenant) -> None:
    set_tenant_limit(tenant=acme, key="submit_burst", value=7, reason="a trial")
    set_tenant_limit(tenant=acme, key="submit_burst", value=8, reason="a longer trial")
    clear_tenant_limit(tenant=acme, key="submit_burst", reason="over")
    with tenant_context(acme):
        entries = list(AuditLogEntry.objects.filter(action__startswith="tenant.limit").order_by("id"))
    assert [(entry.action, entry.reason) for entry in entries] == [
        ("tenant.limit_set", "a trial"),
        ("tenant.limit_set", "a longer trial"),
        ("tenant.limit_cleared", "over"),
    ]
    assert (entries[1].before["value"], entries[1].after["value"]) == (7, 8)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"reason": "  "}, ReasonRequiredError),
        ({"key": "nope"}, LimitUnknownError),
        ({"value": -1}, FieldInvalidError),
        ({"value": MAX_LIMIT_VALUE + 1}, FieldInvalidError),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, FieldInvalidError),
        ({"expires_at": datetime(2120, 1, 1)}, FieldInvalidError),  # noqa: DTZ001 - no zone is the point
        ({"key": "max_concurrency", "expires_at": datetime(2120, 1, 1, tzinfo=UTC)}, FieldInvalidError),
    ],
)
def test_invalid_override_is_refused_by_name(acme: Tenant, changes: dict[str, Any], error: type[Exception]) -> None:
    values = {"key": "submit_burst", "value": 7, "reason": "a trial", **changes}
    with pytest.raises(error):
        set_tenant_limit(tenant=acme, **values)
    with all_tenants():
        assert not TenantLimit.objects.exists()


def test_expired_override_is_ignored_and_removed(acme: Tenant) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    set_tenant_limit(tenant=acme, key="submit_burst", value=7, reason="a trial", expires_at=until)
    assert value_of(acme, "submit_burst") == (7, Source.OVERRIDE)
    with all_tenants():
        assert expire_tenant_limits() == 0
        with connection.cursor() as cursor:
            cursor.execute("UPDATE tenants_tenantlimit SET expires_at = now() - interval '1 second'")
    assert value_of(acme, "submit_burst") == (1_000, Source.DEFAULT)
    with all_tenants():
        assert expire_tenant_limits() == 1
        assert not TenantLimit.objects.exists()
        assert AuditLogEntry.objects.filter(action="tenant.limit_expired", tenant=acme).count() == 1


# Usage ---------------------------------------------------------------------------------------------


def test_usage_shows_used_left_reset_and_state(acme: Tenant) -> None:
    count(acme, SECONDS, 80_000_000_001)
    line = line_of(acme, SECONDS)
    assert (line.used, line.left, line.state) == (80_000, 19_999, LimitState.NEAR)
    assert line.resets_at is not None
    assert (line.resets_at.day, line.resets_at.hour, line.resets_at.tzinfo) == (1, 0, UTC)
    assert line.resets_at > datetime.now(UTC)


def test_usage_state_is_ok_if_unused_or_unlimited(acme: Tenant) -> None:
    count(acme, "peak_memory_mib", 10**9)
    assert line_of(acme, "peak_memory_mib").state is LimitState.OK
    assert line_of(acme, SECONDS).state is LimitState.OK


def test_usage_by_api_names_every_limit(acme: Tenant, api_client: Callable[[Tenant], APIClient]) -> None:
    count(acme, "storage_bytes", 11 * 1024**3)
    with all_tenants():
        warn_of_usage([acme.pk])
    body = api_client(acme).get(USAGE).json()
    by_key = {row["key"]: row for row in body["limits"]}
    assert list(by_key) == list(limits())
    assert by_key["storage_bytes"]["state"] == "exceeded"
    assert by_key["storage_bytes"]["left"] == 0
    assert by_key["submit_burst"]["used"] == 0
    assert by_key["submit_burst"]["source"] == "default"
    assert by_key["jobs_per_bulk"]["used"] is None
    assert [(row["key"], row["percent"]) for row in body["warnings"]] == [("storage_bytes", 80), ("storage_bytes", 100)]


def test_usage_is_only_of_the_own_tenant(acme: Tenant, globex: Tenant, api_client: Any) -> None:
    count(globex, SECONDS, 5_000_000)
    rows = {row["key"]: row["used"] for row in api_client(acme).get(USAGE).json()["limits"]}
    assert rows[SECONDS] == 0


def test_override_is_set_by_the_platform_over_the_api(acme: Tenant, staff: User, api_client: Any) -> None:
    client = staff_api(staff, acme)
    body = {"value": 7, "reason": "a trial", "expires_at": "2120-01-01T00:00:00Z"}
    answer = client.post(f"{USAGE}submit_burst/override/", body)
    assert answer.status_code == 200, answer.content
    row = next(row for row in answer.json()["limits"] if row["key"] == "submit_burst")
    assert (row["allowed"], row["source"]) == (7, "override")
    assert client.post(f"{USAGE}submit_burst/clear/", {"reason": "over"}).status_code == 200
    assert value_of(acme, "submit_burst") == (1_000, Source.DEFAULT)
    assert api_client(acme).post(f"{USAGE}submit_burst/override/", body).status_code == 403


@pytest.mark.parametrize(
    ("key", "body", "status"),
    [
        ("submit_burst", {"value": 7}, 422),
        ("submit_burst", {"value": "7", "reason": "x"}, 422),
        ("submit_burst", {"value": 7, "reason": "x", "plan": "y"}, 422),
        ("submit_burst", {"value": 7, "reason": "x", "expires_at": "2020-01-01T00:00:00Z"}, 422),
        ("nope", {"value": 7, "reason": "x"}, 404),
        ("NOPE", {"value": 7, "reason": "x"}, 404),
    ],
)
def test_invalid_override_by_api_is_a_4xx(acme: Tenant, staff: User, key: str, body: Any, status: int) -> None:
    assert staff_api(staff, acme).post(f"{USAGE}{key}/override/", body).status_code == status


# Warnings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "percents"),
    [(0, []), (79_999_999_999, []), (80_000_000_000, [80]), (99_999_999_999, [80]), (100_000_000_000, [80, 100])],
)
def test_warnings_are_stored_exactly_at_their_levels(acme: Tenant, amount: int, percents: list[int]) -> None:
    count(acme, SECONDS, amount)
    with all_tenants():
        warn_of_usage([acme.pk])
        assert warn_of_usage([acme.pk]) == 0
        assert sorted(LimitWarning.objects.values_list("percent", flat=True)) == percents


def test_reduced_plan_limit_warns_at_once(acme: Tenant) -> None:
    count(acme, SECONDS, 500_000_000)
    with all_tenants():
        update_plan(plan=acme.plan, changes={"worker_seconds_per_month": 600})
        assert list(LimitWarning.objects.values_list("tenant_id", "percent")) == [(acme.pk, 80)]


def test_known_level_is_noted_once(acme: Tenant) -> None:
    limit = Limit("x", "X", "x", "", LimitPeriod.NOW, "")
    with tenant_context(acme):
        assert note_level(tenant_id=acme.pk, limit=limit, used=7, allowed=10) == 0
        assert note_level(tenant_id=acme.pk, limit=limit, used=10, allowed=10) == 2
        assert note_level(tenant_id=acme.pk, limit=limit, used=10, allowed=10) == 0


# Console and commands ------------------------------------------------------------------------------


def console_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_tenant_page_shows_limits_in_words(acme: Tenant, acme_user: User) -> None:
    count(acme, SECONDS, 85_000_000_000)
    page = console_of(acme_user).get(reverse("admin:tenants_tenant_change", args=[acme.pk])).content.decode()
    assert "Limits and usage" in page
    assert "85,000 s" in page
    assert "100,000 s" in page
    assert 'data-tone="warn"><span aria-hidden="true">▲</span> near' in page
    assert "Set an override" not in page
    assert "10.0\xa0GB" in page or "10.0 GB" in page
    assert "Is paused" not in page


def test_platform_users_see_any_tenants_limits_and_may_override(acme: Tenant, staff: User) -> None:
    page = console_of(staff).get(reverse("admin:tenants_tenant_change", args=[acme.pk])).content.decode()
    assert "Limits and usage" in page
    assert f"{reverse('admin:tenants_tenantlimit_add')}?tenant={acme.pk}" in page


def test_override_is_created_changed_and_cleared_in_the_console(acme: Tenant, staff: User) -> None:
    client = console_of(staff)
    form = {"tenant": str(acme.pk), "key": "submit_burst", "value": "7", "reason": "a trial"}
    answer = client.post(reverse("admin:tenants_tenantlimit_add"), form)
    assert answer.status_code == 302, answer.content
    assert value_of(acme, "submit_burst") == (7, Source.OVERRIDE)
    with all_tenants():
        override = TenantLimit.objects.get()
    page = reverse("admin:tenants_tenantlimit_change", args=[override.pk])
    assert "Submission burst, in jobs" in client.get(reverse("admin:tenants_tenantlimit_changelist")).content.decode()
    assert client.get(page).status_code == 200
    assert client.post(page, {"value": "8", "reason": "longer"}).status_code == 302
    assert value_of(acme, "submit_burst") == (8, Source.OVERRIDE)
    assert (
        client.post(
            reverse("admin:tenants_tenantlimit_act", args=[override.pk, "clear"]), {"reason": "over"}
        ).status_code
        == 302
    )
    assert value_of(acme, "submit_burst") == (1_000, Source.DEFAULT)


def test_members_may_read_overrides_and_not_change_them(acme: Tenant, acme_user: User) -> None:
    set_tenant_limit(tenant=acme, key="submit_burst", value=7, reason="a trial")
    client = console_of(acme_user)
    assert client.get(reverse("admin:tenants_tenantlimit_changelist")).status_code == 200
    assert client.get(reverse("admin:tenants_tenantlimit_add")).status_code == 403


def test_plan_editor_names_limits_and_units(acme: Tenant, staff: User) -> None:
    with all_tenants():
        PlanLimit.objects.create(plan=acme.plan, key="submit_burst", value=5)
    page = console_of(staff).get(reverse("admin:tenants_plan_change", args=[acme.plan_id])).content.decode()
    assert "Submission burst, in jobs" in page
    assert "Available limits" in page
    assert all(f"<code>{key}</code>" in page for key in limits())


def test_retention_is_declared_with_title_unit_and_default(acme: Tenant, staff: User) -> None:
    line = line_of(acme, "retention.audit_days")
    assert (line.limit.unit, line.limit.default, line.allowed) == ("days", 400, 400)
    page = console_of(staff).get(reverse("admin:tenants_plan_change", args=[acme.plan_id])).content.decode()
    assert "Retention of the audit log, in days (retention.audit_days)" in page
    assert "not declared by an installed app" not in page


def test_retention_has_no_overrides(acme: Tenant, staff: User) -> None:
    with pytest.raises(FieldInvalidError):
        set_tenant_limit(tenant=acme, key="retention.audit_days", value=1, reason="less")
    assert (
        "retention.audit_days" not in console_of(staff).get(reverse("admin:tenants_tenantlimit_add")).content.decode()
    )


def test_limits_of_a_plan_are_chosen_among_those_declared_or_stored(acme: Tenant) -> None:
    with all_tenants():
        PlanLimit.objects.create(plan=acme.plan, key="gone.limit", value=5)
        keys = [key for key, _ in plan_limit_choices()]
    assert keys[-1] == "gone.limit"
    assert {"submit_burst", "retention.audit_days"} <= set(keys)
    assert "worker_seconds_per_month" not in keys  # a field of the plan


def run(*arguments: str) -> str:
    output = StringIO()
    call_command(*arguments, stdout=output)
    return output.getvalue()


def test_commands_show_and_set_limits(acme: Tenant) -> None:
    run("set_tenant_limit", "acme", "submit_burst", "7", "--reason", "a trial", "--until", "2120-01-01T00:00:00Z")
    facts = json.loads(run("show_usage", "acme", "--json"))
    row = next(row for row in facts["limits"] if row["key"] == "submit_burst")
    assert (row["allowed"], row["source"], row["state"]) == (7, "override", "ok")
    assert "submit_burst: 0 of 7 jobs (ok, by override)" in run("show_usage", "acme")
    until = ("--until", "2120-01-01T00:00:00Z", "--json")
    printed = json.loads(run("set_tenant_limit", "acme", "submit_burst", "8", "--reason", "a trial", *until))
    assert printed == {"tenant": "acme", "key": "submit_burst", "value": 8, "until": "2120-01-01T00:00:00+00:00"}
    assert "The plan's limit submit_burst applies to acme" in run(
        "set_tenant_limit", "acme", "submit_burst", "--clear", "--reason", "over"
    )
    with tenant_context(acme):
        assert allowed_for(acme.pk, limits()["submit_burst"]) == 1_000
        entry = AuditLogEntry.objects.get(action="tenant.limit_cleared")
    assert (entry.actor_kind, entry.actor_id) == ("command", "set_tenant_limit")


@pytest.mark.parametrize(
    "arguments",
    [
        ["acme", "submit_burst", "--reason", "x"],
        ["acme", "submit_burst", "7", "--clear", "--reason", "x"],
        ["acme", "nope", "7", "--reason", "x"],
        ["unknown", "submit_burst", "7", "--reason", "x"],
        ["acme", "submit_burst", "7", "--reason", "x", "--until", "tomorrow"],
        ["acme", "submit_burst", "7", "--reason", "x", "--until", "2020-01-01T00:00:00Z"],
    ],
)
def test_command_with_invalid_arguments_fails(acme: Tenant, arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        run("set_tenant_limit", *arguments)
