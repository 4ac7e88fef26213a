"""Hostile input to the console: columns in the URL, NULs, out-of-range times, JSON that breaks parsers."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from scheduling.models import Schedule
from scheduling.schedules.definitions import create_schedule
from tenants.access.memberships import add_member
from tenants.context import tenant_context
from tenants.models import Role, Tenant

pytestmark = pytest.mark.django_db
NUL = "late\x00again"
SCHEDULE = {
    "kind": "noop",
    "priority": "0",
    "cron": "1 1 * * *",
    "timezone": "UTC",
    "dst_policy": "standard",
    "overlap_policy": "allow",
    "catch_up_policy": "latest",
    "jitter_seconds": "0",
}


@pytest.fixture
def owner(acme_user) -> Client:
    client = Client()
    client.force_login(acme_user)
    return client


@pytest.fixture
def viewer(acme) -> Client:
    user = User.objects.create_user("vera", is_staff=True)
    add_member(tenant=acme, user=user, role=Role.VIEWER)
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def schedule(acme) -> Schedule:
    values = {"name": "nightly", "kind": "noop", "cron": "30 2 * * *", "payload": {"secret": "acme-payload"}}
    return create_schedule(tenant=acme, values=values)


@pytest.mark.parametrize("model", ["job", "schedule"])
def test_list_filters_on_masked_payloads_are_refused(model, viewer, acme_work, schedule):
    page = reverse(f"admin:scheduling_{model}_changelist")
    assert viewer.get(page).status_code == 200
    for lookup in ("payload__secret__startswith=acme", "payload__has_key=secret", "payload__contains={}"):
        assert viewer.get(f"{page}?{lookup}").status_code == 400


@pytest.mark.parametrize(
    ("page", "lookup"),
    [
        ("scheduling_liveexecution", "token__gt=00000000-0000-0000-0000-000000000000"),
        ("tenants_apikey", "secret_hash__startswith=a"),
    ],
)
def test_list_filters_on_hidden_columns_are_refused(page, lookup, owner):
    assert owner.get(reverse(f"admin:{page}_changelist")).status_code == 200
    assert owner.get(f"{reverse(f'admin:{page}_changelist')}?{lookup}").status_code == 400


def test_nul_in_a_reason_is_removed(owner, acme, acme_work, schedule):
    job = reverse("admin:scheduling_job_act", args=[acme_work.waiting.pk, "cancel"])
    assert owner.post(job, {"reason": NUL}).status_code == 302
    bulk = {"action": "cancel_selected", "_selected_action": [str(acme_work.failed.pk)], "reason": NUL}
    assert owner.post(reverse("admin:scheduling_job_changelist"), bulk).status_code == 302
    pause = reverse("admin:scheduling_schedule_act", args=[schedule.pk, "pause"])
    assert owner.post(pause, {"reason": NUL}).status_code == 302
    with tenant_context(acme):
        assert Schedule.objects.get(pk=schedule.pk).pause_reason == "lateagain"


@pytest.mark.parametrize("key", ["a\x00b", "7", "9" * 5_000])
def test_ticked_row_with_an_invalid_key_is_a_bad_request(key, owner, acme_work):
    act = {"action": "cancel_selected", "_selected_action": [key], "reason": "x"}
    assert owner.post(reverse("admin:scheduling_job_changelist"), act).status_code == 400


def test_backfill_before_1970_is_refused_beside_its_form(owner, schedule):
    page = reverse("admin:scheduling_schedule_backfill", args=[schedule.pk])
    span = {"since_0": "0001-01-01", "since_1": "00:00", "until_0": "2025-01-02", "until_1": "00:00", "run": "1"}
    answer = owner.post(page, span)
    assert answer.status_code == 200
    assert "before the year 1970" in answer.content.decode()


@pytest.mark.parametrize(
    "payload",
    ["[" * 100_000, '{"a":' * 5_000 + "1" + "}" * 5_000, '{"a": "\\u0000"}', '{"a": "\\ud800"}', "9" * 5_000, "NaN"],
    ids=["brackets", "depth", "nul", "surrogate", "digits", "constant"],
)
def test_payload_that_cannot_be_stored_is_refused_beside_its_field(payload, owner, acme):
    answer = owner.post(reverse("admin:scheduling_schedule_add"), {**SCHEDULE, "name": "x", "payload": payload})
    assert answer.status_code == 200
    assert "payload" in answer.context["adminform"].form.errors


def test_valid_payload_is_accepted(owner, acme):
    answer = owner.post(reverse("admin:scheduling_schedule_add"), {**SCHEDULE, "name": "x", "payload": '{"a": "ä"}'})
    assert answer.status_code == 302
    with tenant_context(acme):
        assert Schedule.objects.get(name="x").payload == {"a": "ä"}


@pytest.mark.parametrize("name", ["x" * 10_000, "ä" * 400, "a\x00b"], ids=["long", "umlauts", "nul"])
def test_log_in_with_an_impossible_name_fails_as_any_other(name, db):
    for _ in range(2):
        assert Client().post("/admin/login/", {"username": name, "password": "wrong"}).status_code == 200


@pytest.mark.parametrize("until", ["9999-12-31T23:59:59-14:00", "9999-12-31T23:59", "0001-01-01T00:00+14:00", "a\x00b"])
def test_pause_until_an_out_of_range_time_is_refused(until, owner, acme):
    # PostgreSQL would store the year 10000, and no driver could read that row again.
    page = reverse("admin:tenants_tenant_act", args=[acme.pk, "pause"])
    assert owner.post(page, {"reason": "x", "until": until}).status_code == 302
    with tenant_context(acme):
        assert not Tenant.objects.get(pk=acme.pk).is_paused


# Pages with a name field, their other required fields, and a role with the right.
NAMED = [
    ("scheduling_schedule", {**SCHEDULE, "payload": "{}"}, "owner"),
    (
        "retrieval_dataset",
        {
            "chunking": "structure",
            "size_unit": "tokens",
            "chunk_size": "200",
            "chunk_overlap": "20",
            "parent_size": "800",
        },
        "owner",
    ),
    ("workflow_execution_workflow", {"definition": '{"nodes": []}'}, "owner"),
    ("tenants_apikey", {"scopes": ["jobs.view"]}, "owner"),
    ("tenants_tenant", {"slug": "initech", "plan": "1", "owner": "bill@initech.example"}, "staff"),
    ("tenants_plan", {"slug": "gold", "tier": "1", "weight": "1"}, "staff"),
    ("scheduling_queue", {"pool": "1", "weight": "1", "reason": "x"}, "staff"),
    ("scheduling_workerpool", {"reason": "x"}, "staff"),
    ("scheduling_cfsplan", {"reason": "x"}, "staff"),
]


@pytest.mark.parametrize("text", ["a\u202eb", "a\u200bb", "a\u3164b", "a\u2066b"])
@pytest.mark.parametrize(("page", "values", "who"), NAMED, ids=[row[0] for row in NAMED])
def test_name_with_hidden_characters_is_refused_beside_its_field(page, values, who, text, owner, staff):
    client = owner
    if who == "staff":
        client = Client()
        client.force_login(staff)
    answer = client.post(reverse(f"admin:{page}_add"), {**values, "name": text})
    assert answer.status_code == 200
    assert "name" in answer.context["adminform"].form.errors
