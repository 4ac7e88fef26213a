"""`schedules/`: the whole life cycle by HTTP, bad input by field, versions, and permissions."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.test import APIClient

from scheduling.models import Schedule, ScheduleFire
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.api.conftest import session_of
from tests.person import client_of


@pytest.fixture
def acme_api(acme_user: User) -> APIClient:
    """Return a client with an owner's session: payloads and approvals need a person's login."""
    return client_of(acme_user)


pytestmark = pytest.mark.django_db

SCHEDULES = "/api/v1/schedules/"
NIGHTLY = {
    "name": "nightly report",
    "kind": "noop",
    "payload": {"report": "sales"},
    "cron": "30 2 * * *",
    "timezone": "Europe/Berlin",
}


def create(client: APIClient, **changes: Any) -> dict[str, Any]:
    answer = client.post(SCHEDULES, NIGHTLY | changes)
    assert answer.status_code == 201, answer.json()
    created: dict[str, Any] = answer.json()
    return created


def test_schedule_is_created_read_listed_changed_and_deleted(acme: Tenant, acme_api: APIClient) -> None:
    made = acme_api.post(SCHEDULES, NIGHTLY | {"tags": ["a", "a", "b"], "queue": None, "ends_at": None})
    assert made.status_code == 201
    schedule = made.json()
    path = f"{SCHEDULES}{schedule['id']}/"
    assert made["Location"].endswith(path)
    assert (schedule["words"], schedule["version"], schedule["is_enabled"]) == ("At 02:30 every day", 1, True)
    assert (schedule["tags"], schedule["queue"], schedule["payload"]) == (["a", "b"], None, {"report": "sales"})
    assert (schedule["dst_policy"], schedule["overlap_policy"], schedule["catch_up_policy"]) == (
        "standard",
        "allow",
        "latest",
    )
    shown = acme_api.get(path)
    assert shown.json() == schedule
    assert shown["ETag"] == '"1"'
    changed = acme_api.patch(path, {"cron": "0 3 * * 1-5"}, headers={"If-Match": shown["ETag"]})
    assert changed.status_code == 200
    assert (changed.json()["cron"], changed.json()["version"], changed["ETag"]) == ("0 3 * * 1-5", 2, '"2"')
    assert changed.json()["payload"] == {"report": "sales"}
    assert [row["id"] for row in acme_api.get(SCHEDULES).json()["results"]] == [schedule["id"]]
    assert acme_api.delete(path).status_code == 204
    assert acme_api.get(path).status_code == 404


def test_schedule_runs_at_an_interval_or_once(acme_api: APIClient) -> None:
    schedule = create(acme_api, cron="", interval_seconds=5_400)
    assert (schedule["cron"], schedule["interval_seconds"], schedule["words"]) == ("", 5_400, "Every 90 minutes")
    assert schedule["next_fire_at"] == schedule["starts_at"]
    path = f"{SCHEDULES}{schedule['id']}/"
    once = acme_api.patch(path, {"once_at": "2090-12-24T18:00:00+01:00"}).json()
    assert (once["interval_seconds"], once["words"]) == (None, "Once at 2090-12-24 18:00")
    assert once["next_fire_at"] == once["once_at"] == "2090-12-24T17:00:00Z"
    daily = acme_api.patch(path, {"cron": "@daily"}).json()
    assert (daily["cron"], daily["once_at"], daily["words"]) == ("0 0 * * *", None, "At 00:00 every day")
    refused = acme_api.patch(path, {"cron": "@daily", "interval_seconds": 300})
    assert [fault["field"] for fault in refused.json()["errors"]] == ["interval_seconds"]


def test_keys_of_the_jobs_are_stored_and_changed(acme_api: APIClient) -> None:
    keys = {"concurrency_key": "account-7", "unique_key": "nightly", "unique_until": "started"}
    schedule = create(acme_api, **keys)
    assert {name: schedule[name] for name in keys} == keys
    cleared = acme_api.patch(f"{SCHEDULES}{schedule['id']}/", {"unique_key": "", "unique_until": ""}).json()
    assert {name: cleared[name] for name in keys} == {
        "concurrency_key": "account-7",
        "unique_key": "",
        "unique_until": "",
    }


def test_run_now_is_200_with_the_job_that_has_the_unique_key(acme_api: APIClient) -> None:
    path = f"{SCHEDULES}{create(acme_api, unique_key='nightly')['id']}/"
    ran = acme_api.post(f"{path}run-now/")
    again = acme_api.post(f"{path}run-now/")
    assert (ran.status_code, again.status_code, again.json()["id"]) == (201, 200, ran.json()["id"])
    assert len(acme_api.get(f"{path}fires/").json()["results"]) == 1


def test_stale_version_is_412_and_changes_nothing(acme_api: APIClient) -> None:
    path = f"{SCHEDULES}{create(acme_api)['id']}/"
    assert acme_api.patch(path, {"priority": 1}, headers={"If-Match": '"1"'}).status_code == 200
    stale = acme_api.patch(path, {"priority": 2}, headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "schedule_stale")
    assert acme_api.get(path).json()["priority"] == 1
    for anyhow in ({}, {"If-Match": "*"}):
        assert acme_api.patch(path, {"priority": 3}, headers=anyhow).status_code == 200
    for header in ("1", '"٣"', ""):
        answer = acme_api.patch(path, {"priority": 4}, headers={"If-Match": header})
        assert (answer.status_code, answer.json()["code"]) == (400, "if_match_invalid")
    assert acme_api.patch(path, {"priority": 4}, headers={"If-Match": '"x"'}).status_code == 412


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"cron": "0 0 30 2 *"}, "cron"),
        ({"cron": "*/10 * * * * *"}, "cron"),
        ({"cron": 5}, "cron"),
        ({"cron": None}, "cron"),
        ({"timezone": "Berlin"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"dst_policy": "hope"}, "dst_policy"),
        ({"overlap_policy": 1}, "overlap_policy"),
        ({"catch_up_policy": ""}, "catch_up_policy"),
        ({"jitter_seconds": -1}, "jitter_seconds"),
        ({"jitter_seconds": "60"}, "jitter_seconds"),
        ({"priority": 99}, "priority"),
        ({"priority": 2**40}, "priority"),
        ({"kind": "nothing"}, "kind"),
        ({"kind": "sleep", "payload": {}}, "payload"),
        ({"payload": "text"}, "payload"),
        ({"queue": "pipeline"}, "queue"),
        ({"max_retries": 1000}, "max_retries"),
        ({"concurrency_key": "a\u200bb"}, "concurrency_key"),
        ({"unique_key": "x" * 201}, "unique_key"),
        ({"unique_until": "never"}, "unique_until"),
        ({"unique_until": "ended"}, "unique_until"),
        ({"starts_at": "tomorrow"}, "starts_at"),
        ({"starts_at": "2500-01-01T00:00:00Z"}, "starts_at"),
        ({"ends_at": "2001-01-01T00:00:00Z"}, "ends_at"),
        ({"name": "a\u200bb"}, "name"),
        ({"is_enabled": False}, "is_enabled"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_invalid_schedule_is_422_and_names_its_field(acme_api: APIClient, changes: dict[str, Any], field: str) -> None:
    refused = acme_api.post(SCHEDULES, NIGHTLY | changes)
    assert refused.status_code == 422
    assert [fault["field"].split(".")[0] for fault in refused.json()["errors"]] == [field]
    path = f"{SCHEDULES}{create(acme_api)['id']}/"
    patched = acme_api.patch(path, changes)
    if "payload" not in changes or changes["payload"] != {}:
        assert patched.status_code == 422
        assert field in [fault["field"].split(".")[0] for fault in patched.json()["errors"]]


def test_stored_payload_is_not_quoted_when_another_kind_refuses_it(acme_api: APIClient) -> None:
    schedule = create(acme_api, kind="noop", payload={"seconds": "t0ken"})
    response = acme_api.patch(f"{SCHEDULES}{schedule['id']}/", {"kind": "sleep"}, format="json")
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "payload"
    assert "t0ken" not in response.content.decode()


def test_missing_fields_are_named(acme_api: APIClient) -> None:
    refused = acme_api.post(SCHEDULES, {})
    assert {fault["field"] for fault in refused.json()["errors"]} == {"name", "kind"}


def test_pause_needs_a_reason_and_resume_sets_the_next_fire(acme_api: APIClient) -> None:
    path = f"{SCHEDULES}{create(acme_api)['id']}/"
    assert acme_api.post(f"{path}pause/").status_code == 422
    paused = acme_api.post(f"{path}pause/", {"reason": "month's end"}).json()
    assert (paused["is_enabled"], paused["pause_reason"], paused["next_fire_at"]) == (False, "month's end", None)
    resumed = acme_api.post(f"{path}resume/").json()
    assert resumed["is_enabled"]
    assert resumed["next_fire_at"]


def test_run_now_returns_a_job_that_names_its_schedule(acme_api: APIClient) -> None:
    schedule = create(acme_api)
    ran = acme_api.post(f"{SCHEDULES}{schedule['id']}/run-now/")
    assert ran.status_code == 201
    job = ran.json()
    assert (job["kind"], job["payload"]) == ("noop", {"report": "sales"})
    (fire,) = acme_api.get(f"{SCHEDULES}{schedule['id']}/fires/").json()["results"]
    assert (fire["job"], fire["trigger"], fire["outcome"]) == (job["id"], "manual", "submitted")
    origin = {"id": schedule["id"], "name": "nightly report", "fire_time": fire["fire_time"]}
    assert acme_api.get(f"/api/v1/jobs/{job['id']}/").json()["schedule"] == job["schedule"] == origin
    other = acme_api.post("/api/v1/jobs/", {"kind": "noop"}).json()
    assert other["schedule"] is None


def test_backfill_is_a_dry_run_by_default(acme_api: APIClient) -> None:
    path = f"{SCHEDULES}{create(acme_api, timezone='UTC')['id']}/backfill/"
    span = {"from": "2026-01-01T02:30:00Z", "to": "2026-01-03T04:00:00+01:00"}
    times = ["2026-01-01T02:30:00Z", "2026-01-02T02:30:00Z", "2026-01-03T02:30:00Z"]
    dry = acme_api.post(path, span).json()
    assert dry == {"dry_run": True, "count": 3, "fire_times": times, "skipped": 0, "submitted": 0, "refused": []}
    assert acme_api.get("/api/v1/jobs/").json()["results"] == []
    done = acme_api.post(path, span | {"dry_run": False, "reason": "the January gap"}).json()
    assert (done["submitted"], done["fire_times"]) == (3, times)
    assert len(acme_api.get("/api/v1/jobs/").json()["results"]) == 3
    again = acme_api.post(path, span | {"dry_run": False}).json()
    assert (again["submitted"], again["skipped"], again["count"]) == (0, 3, 0)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "from"),
        ({"from": "2026-01-01T00:00:00Z"}, "to"),
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "to"),
        ({"from": "2026-01-01T00:00:00Z", "to": "2999-01-01T00:00:00Z"}, "to"),
        ({"from": "1970-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "to"),
        ({"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z", "dry_run": "no"}, "dry_run"),
    ],
)
def test_invalid_backfill_span_is_422_and_names_its_field(
    acme_api: APIClient, body: dict[str, Any], field: str
) -> None:
    refused = acme_api.post(f"{SCHEDULES}{create(acme_api)['id']}/backfill/", body)
    assert refused.status_code == 422
    assert field in {fault["field"] for fault in refused.json()["errors"]}


def test_preview_shows_ten_fires_with_notes_at_clock_changes(acme_api: APIClient) -> None:
    body = {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "starts_at": "2090-03-24T00:00:00Z"}
    seen = acme_api.post(f"{SCHEDULES}preview/", body).json()
    assert (seen["words"], seen["timezone"], seen["least_interval_seconds"]) == (
        "At 02:30 every day",
        "Europe/Berlin",
        86_400,
    )
    assert len(seen["runs"]) == 10
    assert seen["runs"][0] == {
        "at": "2090-03-24T01:30:00Z",
        "local": "2090-03-24T02:30:00+01:00",
        "utc_offset": "UTC+01:00",
        "note": "",
    }
    (noted,) = [run for run in seen["runs"] if "does not exist" in run["note"]]
    assert noted["local"] == "2090-03-26T03:00:00+02:00"
    with all_tenants():
        assert not Schedule.objects.exists()


def test_preview_of_an_interval_and_of_a_single_time(acme_api: APIClient) -> None:
    paced = acme_api.post(f"{SCHEDULES}preview/", {"interval_seconds": 3_600, "starts_at": "2090-01-01T00:30:00Z"})
    assert (paced.json()["words"], paced.json()["least_interval_seconds"]) == ("Every hour", 3_600)
    assert [run["at"][11:16] for run in paced.json()["runs"]][:3] == ["00:30", "01:30", "02:30"]
    once = acme_api.post(f"{SCHEDULES}preview/", {"once_at": "2090-01-01T00:30:00Z"}).json()
    assert (len(once["runs"]), once["least_interval_seconds"]) == (1, None)


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "cron"), ({"cron": "nonsense"}, "cron"), ({"cron": "* * * * *", "timezone": "x"}, "timezone")],
)
def test_preview_of_invalid_input_is_422(acme_api: APIClient, body: dict[str, Any], field: str) -> None:
    refused = acme_api.post(f"{SCHEDULES}preview/", body)
    assert refused.status_code == 422
    assert [fault["field"] for fault in refused.json()["errors"]] == [field]


def test_schedules_of_another_tenant_are_not_found(acme_api: APIClient, globex_api: APIClient) -> None:
    path = f"{SCHEDULES}{create(acme_api)['id']}/"
    assert globex_api.get(SCHEDULES).json()["results"] == []
    span = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}
    answers = [
        globex_api.get(path),
        globex_api.patch(path, {"priority": 1}),
        globex_api.delete(path),
        globex_api.get(f"{path}fires/"),
        globex_api.post(f"{path}pause/", {"reason": "x"}),
        globex_api.post(f"{path}resume/"),
        globex_api.post(f"{path}run-now/"),
        globex_api.post(f"{path}backfill/", span),
    ]
    assert [answer.status_code for answer in answers] == [404] * len(answers)


def test_viewer_reads_schedules_and_cannot_change_them(acme_api: APIClient, viewer_api: APIClient) -> None:
    path = f"{SCHEDULES}{create(acme_api)['id']}/"
    shown = viewer_api.get(path)
    assert shown.status_code == 200
    assert (shown.json()["payload"], shown.json()["is_masked"]) == (None, True)
    assert viewer_api.post(f"{SCHEDULES}preview/", {"cron": "* * * * *"}).status_code == 200
    refused = [
        viewer_api.post(SCHEDULES, NIGHTLY),
        viewer_api.patch(path, {"priority": 1}),
        viewer_api.delete(path),
        viewer_api.post(f"{path}pause/", {"reason": "x"}),
        viewer_api.post(f"{path}run-now/"),
        viewer_api.post(f"{path}backfill/", {}),
    ]
    assert [answer.status_code for answer in refused] == [403] * len(refused)


def test_schedule_list_has_few_queries_at_any_length(
    acme_api: APIClient, acme: Tenant, api_client: Any, django_assert_max_num_queries: Any
) -> None:
    for number in range(5):
        schedule = create(acme_api, name=f"s{number}")
        acme_api.post(f"{SCHEDULES}{schedule['id']}/run-now/")
    with all_tenants():
        assert ScheduleFire.objects.filter(fired_at__lte=timezone.now()).count() == 5
    program = api_client(acme)
    program.get(SCHEDULES)  # the first use of a key writes its time
    with django_assert_max_num_queries(12):
        assert len(program.get(SCHEDULES).json()["results"]) == 5


def test_schedule_is_created_with_a_session(acme_user: Any) -> None:
    assert create(session_of(acme_user))["name"] == "nightly report"
