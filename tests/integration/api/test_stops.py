"""Stops over the API: pausing and draining queues, kinds, pools and workers."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from scheduling.fleet.workers import Registration
from scheduling.models import KindCost
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.api.test_access import API, assert_problem
from tests.integration.scheduling.job_helpers import submit

TARGETS = ["queues/tasks_team/", "kinds/noop/", "pools/default/"]


@pytest.mark.parametrize("target", TARGETS)
def test_staff_pauses_until_a_time_drains_and_resumes(staff_api: APIClient, acme: Tenant, target: str) -> None:
    submit(acme, 2)
    until = (timezone.now() + timedelta(hours=1)).replace(microsecond=0).isoformat().replace("+00:00", "Z")
    paused = staff_api.post(API + target + "pause/", {"reason": "disk", "until": until}).json()
    assert paused["is_paused"]
    assert (paused["pause"]["reason"], paused["pause"]["until"]) == ("disk", until)
    assert paused["pause"]["by"] == "user:stella"
    draining = staff_api.post(API + target + "drain/", {"reason": "moving"}, headers={"X-Tenant": "acme"}).json()
    assert draining["is_draining"]
    assert draining["drain"]["in_flight"] == 0
    assert draining["drain"]["waiting"] == (0 if target.startswith("pools") else 2)
    assert staff_api.get(API + target).json()["is_paused"]
    resumed = staff_api.post(API + target + "resume/", {"reason": "mended"}).json()
    assert (resumed["is_paused"], resumed["is_draining"], resumed["pause"], resumed["drain"]) == (
        False,
        False,
        None,
        None,
    )


@pytest.mark.parametrize("target", TARGETS)
def test_stops_need_the_right_to_operate_queues(acme_api: APIClient, viewer_api: APIClient, target: str) -> None:
    for client in (acme_api, viewer_api):
        assert client.get(API + target).status_code == 403
        for act in ("pause", "drain", "resume"):
            assert client.post(f"{API}{target}{act}/", {"reason": "x"}).status_code == 403


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid"),
        ({"reason": "  "}, "invalid"),
        ({"reason": "x", "until": "tomorrow"}, "invalid"),
        ({"reason": "x", "until": "2020-01-01T00:00:00Z"}, "field_invalid"),
        ({"reason": "x", "unless": 1}, "invalid"),
    ],
)
def test_invalid_stop_is_refused(staff_api: APIClient, target: str, body: dict[str, str], code: str) -> None:
    for act in ("pause", "drain"):
        assert_problem(staff_api.post(f"{API}{target}{act}/", body), 422, code)


@pytest.mark.parametrize("target", ["queues/nope/", "pools/nope/", "kinds/nope/"])
def test_stop_of_an_unknown_name_is_not_found(staff_api: APIClient, target: str) -> None:
    for act in ("pause", "drain"):
        assert_problem(staff_api.post(f"{API}{target}{act}/", {"reason": "x"}), 404, "not_found")
    assert_problem(staff_api.get(API + target), 404, "not_found")


def test_kinds_and_pools_are_listed(staff_api: APIClient) -> None:
    assert "noop" in [row["name"] for row in staff_api.get(API + "kinds/").json()["results"]]
    assert [row["name"] for row in staff_api.get(API + "pools/").json()["results"]] == ["default", "io", "maintenance"]


def test_kind_shows_its_cost_and_the_prediction_error(staff_api: APIClient) -> None:
    assert staff_api.get(API + "kinds/noop/").json()["cost"] is None
    with all_tenants():
        KindCost.objects.create(kind="noop", mean_us=2_000_000, samples=7, error_us=1.0, bias_us=-0.5, total_us=4.0)
    cost = staff_api.get(API + "kinds/noop/").json()["cost"]
    assert cost == {"mean_seconds": 2.0, "samples": 7, "mean_error": 0.25, "bias": -0.125}


def test_worker_is_drained_and_resumed(staff_api: APIClient, acme_api: APIClient, worker: Registration) -> None:
    (row,) = staff_api.get(API + "workers/").json()["results"]
    assert (row["status"], row["running"], row["pool"]) == ("online", 0, "default")
    path = f"{API}workers/{row['id']}/"
    assert acme_api.post(path + "drain/").status_code == 403
    assert staff_api.post(path + "drain/", {"reason": "scale in"}).json()["status"] == "draining"
    assert staff_api.post(path + "resume/").json()["status"] == "online"
    assert_problem(staff_api.post(API + f"workers/{'0' * 8}-0000-7000-8000-{'0' * 12}/drain/"), 404, "not_found")


def test_submission_refused_by_a_drain_states_retry_after(staff_api: APIClient, acme_api: APIClient) -> None:
    staff_api.post(API + "kinds/noop/drain/", {"reason": "moving"})
    answer = acme_api.post(API + "jobs/", {"kind": "noop"})
    assert_problem(answer, 503, "draining")
    assert int(answer["Retry-After"]) == 60
    bulk = acme_api.post(API + "jobs/bulk/", {"jobs": [{"kind": "noop"}, {"kind": "sleep", "payload": {"seconds": 0}}]})
    assert [row["code"] for row in bulk.json()["rejected"]] == ["draining"]
    assert len(bulk.json()["accepted"]) == 1


def test_waiting_reason_states_when_the_pause_ends(staff_api: APIClient, acme_api: APIClient, acme: Tenant) -> None:
    (job,) = submit(acme)
    until = (timezone.now() + timedelta(hours=1)).replace(microsecond=0).isoformat().replace("+00:00", "Z")
    staff_api.post(API + "pools/default/pause/", {"reason": "machine room", "until": until})
    waiting = acme_api.get(f"{API}jobs/{job.pk}/").json()["waiting"]["reasons"]
    (reason,) = [reason for reason in waiting if reason["code"] == "pool_paused"]
    assert reason["until"] == until
    assert "machine room" not in reason["detail"]


def test_staff_suspends_pauses_and_drains_a_tenant_until_a_time(staff_api: APIClient, acme: Tenant) -> None:
    path, until = API + "tenants/acme/", "2999-01-31T09:30:00Z"
    for act, flag, end in (
        ("pause", "is_paused", "paused_until"),
        ("drain", "is_draining", "draining_until"),
        ("suspend", "status", "suspended_until"),
    ):
        shown = staff_api.post(f"{path}{act}/", {"reason": "x", "until": until}).json()
        assert shown[flag] in (True, "suspended")
        assert shown[end] == until
    assert staff_api.get(path).json()["suspended_by"] == "user:stella"
    assert staff_api.post(path + "resume/").json()["is_draining"] is False
    assert staff_api.post(path + "reinstate/", {"reason": "paid"}).json()["status"] == "active"
    assert "acme" in [row["slug"] for row in staff_api.get(API + "tenants/").json()["results"]]
    assert_problem(staff_api.get(API + "tenants/nope/"), 404, "tenant_not_found")
    assert_problem(staff_api.post(path + "suspend/", {"reason": "x", "cancel": True}), 422, "invalid")


def test_tenant_drains_only_itself(acme_api: APIClient, globex: Tenant) -> None:
    assert acme_api.post(API + "tenants/me/drain/", {"reason": "moving"}).json()["is_draining"]
    assert_problem(acme_api.post(API + "jobs/", {"kind": "noop"}), 503, "draining")
    assert not acme_api.post(API + "tenants/me/resume/").json()["is_draining"]
    for act in ("pause", "drain", "resume", "suspend", "reinstate"):
        assert acme_api.post(f"{API}tenants/globex/{act}/", {"reason": "x"}).status_code == 403
    assert acme_api.get(API + "tenants/").status_code == 403


def test_tenant_cannot_undo_a_stop_by_the_platform(acme_api: APIClient, staff_api: APIClient) -> None:
    own, soon = API + "tenants/me/", (timezone.now() + timedelta(seconds=30)).isoformat()
    for act, flag in (("pause", "is_paused"), ("drain", "is_draining")):
        assert staff_api.post(f"{API}tenants/acme/{act}/", {"reason": "a flood"}).json()[f"{flag}_by_platform"]
        assert_problem(acme_api.post(own + "resume/"), 409, "stopped_by_platform")
        # Nor may the tenant change the end of the stop.
        assert_problem(acme_api.post(f"{own}{act}/", {"reason": "x", "until": soon}), 409, "stopped_by_platform")
        shown = acme_api.get(own).json()
        assert shown[flag]
        assert shown[f"{flag}_by_platform"]
        assert not staff_api.post(API + "tenants/acme/resume/").json()[flag]
        assert not acme_api.get(own).json()[f"{flag}_by_platform"]


def test_tenant_ends_its_own_pause_under_a_drain_by_the_platform(acme_api: APIClient, staff_api: APIClient) -> None:
    acme_api.post(API + "tenants/me/pause/", {"reason": "moving"})
    staff_api.post(API + "tenants/acme/drain/", {"reason": "leaving"})
    shown = acme_api.post(API + "tenants/me/resume/").json()
    assert (shown["is_paused"], shown["is_draining"]) == (False, True)
    assert_problem(acme_api.post(API + "tenants/me/resume/"), 409, "stopped_by_platform")


def test_platform_takes_over_a_tenants_own_pause(acme_api: APIClient, staff_api: APIClient) -> None:
    assert not acme_api.post(API + "tenants/me/pause/", {"reason": "moving"}).json()["is_paused_by_platform"]
    taken = staff_api.post(API + "tenants/acme/pause/", {"reason": "moving"}).json()
    assert taken["is_paused_by_platform"]
    assert taken["paused_by"] == "user:stella"
    assert_problem(acme_api.post(API + "tenants/me/resume/"), 409, "stopped_by_platform")


def test_operator_resumes_by_the_tenants_own_address(acme_api: APIClient, staff_api: APIClient) -> None:
    staff_api.post(API + "tenants/acme/pause/", {"reason": "a flood"})
    resumed = staff_api.post(API + "tenants/me/resume/", headers={"X-Tenant": "acme"})
    assert not resumed.json()["is_paused"]
