"""Dead letters over HTTP: groups, details with attempts, and requeues of one, a group or a filter, also edited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from scheduling.execution import settlement_builders
from scheduling.execution.settlement import settle
from scheduling.jobs.lifecycle import JobState
from scheduling.models import DeadLetter, Job
from tenants.context import all_tenants
from tenants.limits.service import set_tenant_limit
from tenants.models import AuditLogEntry, Tenant
from tests.integration.api.conftest import session_of
from tests.integration.api.test_masking import platform_user
from tests.integration.scheduling.bulk.conftest import take_turns
from tests.integration.scheduling.job_helpers import Start, Tick, begin, reload, submit
from tests.keys import issue_api_key
from tests.person import client_of


@pytest.fixture
def acme_api(acme_user: User) -> APIClient:
    """Return a client with an owner's session: payloads and approvals need a person's login."""
    return client_of(acme_user)


pytestmark = pytest.mark.django_db
API = "/api/v1/dead-letters/"
BULK = "/api/v1/bulk-operations/"
type Kill = Callable[..., list[Job]]


@pytest.fixture
def kill(tick: Tick, start: Start) -> Kill:
    """Let `count` new jobs of a tenant fail with an error that contains each one's number."""

    def kill(tenant: Tenant, count: int = 1, message: str = "row {n} is bad", **options: Any) -> list[Job]:
        jobs = submit(tenant, count, **options)
        verdict = []
        while len(verdict) < count:
            assert tick().dispatched
            for n, job in enumerate(jobs):
                if reload(job).state == JobState.DISPATCHED:
                    begun = begin(start, job)
                    error = settlement_builders.Failure.of(ValueError(message.format(n=n)), is_permanent=True)
                    policy = settlement_builders.RetryPolicy()
                    verdict.append(
                        settlement_builders.failed(
                            begun.execution_id, begun.fence, error, failed_attempts=1, policy=policy
                        )
                    )
                    settle([verdict[-1]])
        return jobs

    return kill


def entries() -> list[AuditLogEntry]:
    with all_tenants():
        return list(AuditLogEntry.objects.filter(action="job.retried").order_by("id"))


def letters() -> list[DeadLetter]:
    with all_tenants():
        return list(DeadLetter.objects.order_by("id"))


def requeue(client: APIClient, filter_text: str = "requeued:no", **body: Any) -> dict[str, Any]:
    asked = {"filter": filter_text, "operation": "requeue", "reason": "mended", **body}
    answer = client.post(BULK, asked, format="json")
    assert answer.status_code in (200, 201), answer.content
    return dict(answer.json())


def requeue_to_the_end(client: APIClient, filter_text: str = "requeued:no", **body: Any) -> dict[str, Any]:
    started = requeue(client, filter_text, **body)
    take_turns()
    return dict(client.get(f"{BULK}{started['id']}/").json())


# Groups


def test_dead_letters_of_one_cause_form_one_group(acme: Tenant, acme_api: APIClient, kill: Kill) -> None:
    kill(acme, 3)
    kill(acme, 1, message="the disk is full")
    kill(acme, 1, kind="sleep", payload={"seconds": 1})
    groups = acme_api.get(f"{API}groups/").json()
    assert [(g["kind"], g["type"], g["pattern"], g["count"]) for g in groups["results"]] == [
        ("noop", "ValueError", "row # is bad", 3),
        ("noop", "ValueError", "the disk is full", 1),
        ("sleep", "ValueError", "row # is bad", 1),
    ]
    assert (groups["is_capped"], groups["results"][0]["tenants"]) == (False, None)
    first = groups["results"][0]
    ids = [str(letter.pk) for letter in letters() if letter.error_fingerprint == first["fingerprint"]]
    found = acme_api.get(API, {"fingerprint": first["fingerprint"], "kind": "noop"}).json()["results"]
    assert [row["id"] for row in found] == ids[2::-1]
    assert first["last_dead_letter"] == ids[2]
    assert first["first_at"] <= first["last_at"]


def test_groups_are_filtered_by_kind_and_time(acme: Tenant, acme_api: APIClient, kill: Kill) -> None:
    kill(acme, 2)
    kill(acme, 1, kind="sleep", payload={"seconds": 1})
    assert [g["kind"] for g in acme_api.get(f"{API}groups/?kind=sleep").json()["results"]] == ["sleep"]
    assert acme_api.get(f"{API}groups/?created_before=2020-01-01T00:00:00Z").json()["results"] == []
    assert len(acme_api.get(f"{API}groups/?created_after=2020-01-01T00:00:00Z").json()["results"]) == 2
    assert acme_api.get(f"{API}groups/?error=x").status_code == 422


def test_groups_are_shown_per_tenant_and_to_the_platform_by_name(
    acme: Tenant, globex: Tenant, acme_api: APIClient, globex_api: APIClient, staff_api: APIClient, kill: Kill
) -> None:
    kill(acme, 2)
    kill(globex, 1)
    (own,) = acme_api.get(f"{API}groups/").json()["results"]
    (foreign,) = globex_api.get(f"{API}groups/").json()["results"]
    assert (own["count"], foreign["count"]) == (2, 1)
    (listed,) = staff_api.get(f"{API}groups/", headers={"X-Tenant": "acme"}).json()["results"]
    assert listed["tenants"] == [{"tenant": "acme", "count": 2}]
    (every,) = staff_api.get(f"{API}groups/").json()["results"]
    assert (every["count"], every["tenants"]) == (
        3,
        [{"tenant": "acme", "count": 2}, {"tenant": "globex", "count": 1}],
    )


def test_requeued_dead_letter_leaves_its_group(acme: Tenant, acme_api: APIClient, kill: Kill) -> None:
    kill(acme, 2)
    acme_api.post(f"{API}{letters()[0].pk}/requeue/")
    assert [group["count"] for group in acme_api.get(f"{API}groups/").json()["results"]] == [1]


# One letter


def test_dead_letter_shows_its_attempts_with_their_fingerprints(acme: Tenant, acme_api: APIClient, kill: Kill) -> None:
    kill(acme, 1, payload={"a": 1})
    (letter,) = letters()
    shown = acme_api.get(f"{API}{letter.pk}/").json()
    assert (shown["payload"], shown["is_masked"], shown["attempt"], shown["max_retries"]) == ({"a": 1}, False, 1, 3)
    (attempt,) = shown["attempts"]
    assert attempt["error"] == {
        "type": "ValueError",
        "message": "row 0 is bad",
        "fingerprint": letter.error_fingerprint,
    }
    assert (attempt["number"], attempt["state"], shown["has_more_attempts"]) == (1, "failed", False)
    assert attempt["worker"]
    assert attempt["worker_name"]


def test_payload_is_masked_without_the_right_to_read_it(acme: Tenant, viewer_api: APIClient, kill: Kill) -> None:
    kill(acme, 1, payload={"iban": "secret"})
    answer = viewer_api.get(f"{API}{letters()[0].pk}/")
    assert (answer.json()["payload"], answer.json()["is_masked"]) == (None, True)
    assert "secret" not in answer.content.decode()


def test_payload_read_by_the_platform_is_audited(acme: Tenant, staff_api: APIClient, kill: Kill) -> None:
    kill(acme, 1, payload={"iban": "secret"})
    shown = staff_api.get(f"{API}{letters()[0].pk}/", headers={"X-Tenant": "acme"}).json()
    assert shown["payload"] == {"iban": "secret"}
    with all_tenants():
        assert AuditLogEntry.objects.filter(action="job.payload_revealed").count() == 1


def test_dead_letter_is_requeued_with_another_payload(acme: Tenant, acme_api: APIClient, kill: Kill) -> None:
    (job,) = kill(acme, 1, kind="sleep", payload={"seconds": 900})
    (letter,) = letters()
    body = {"payload": {"seconds": 1}, "reason": "too long"}
    answer = acme_api.post(f"{API}{letter.pk}/requeue/", body, format="json")
    assert answer.status_code == 201
    new = answer.json()
    assert (new["payload"], new["parent"], new["attempt"]) == ({"seconds": 1}, str(job.pk), 0)
    assert reload(job).payload == {"seconds": 900}
    (entry,) = entries()
    assert (entry.reason, entry.after["payloads_edited"]) == ("too long", 1)
    assert "seconds" not in str(entry.after)
    assert acme_api.post(f"{API}{letter.pk}/requeue/", body, format="json").status_code == 409


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"payload": {"seconds": "long"}}, "payload_invalid"),
        ({"payload": {}}, "payload_invalid"),
        ({"payload": [1]}, "invalid"),
        ({"payload": {"seconds": 1}, "queue": "x"}, "invalid"),
    ],
)
def test_requeue_with_an_invalid_payload_is_refused_and_changes_nothing(
    acme: Tenant, acme_api: APIClient, kill: Kill, body: dict[str, Any], code: str
) -> None:
    kill(acme, 1, kind="sleep", payload={"seconds": 1})
    answer = acme_api.post(f"{API}{letters()[0].pk}/requeue/", body, format="json")
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert letters()[0].requeued_at is None
    assert entries() == []


def test_payload_edit_needs_the_right_to_read_payloads(acme: Tenant, kill: Kill) -> None:
    kill(acme, 2)
    client = APIClient()
    key = issue_api_key(tenant=acme, name="k", scopes=("jobs.view", "jobs.retry", "jobs.bulk")).token
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {key}")
    operator = session_of(platform_user("olga", "operator"))
    operator.credentials(HTTP_X_TENANT="acme")
    for caller in (client, operator):
        one = caller.post(f"{API}{letters()[0].pk}/requeue/", {"payload": {}}, format="json")
        asked = {"filter": "requeued:no", "operation": "requeue", "reason": "x", "payload_patch": {}}
        many = caller.post(BULK, asked, format="json")
        assert (one.status_code, many.status_code) == (403, 403)
        assert "jobs.reveal" in one.json()["detail"]
    assert entries() == []
    assert client.post(f"{API}{letters()[0].pk}/requeue/").status_code == 201


@pytest.mark.parametrize("path", ["dead-letters/{letter}/requeue/", "jobs/{job}/retry/"])
def test_refusal_of_a_stored_payload_quotes_it_only_with_the_right(
    acme: Tenant, acme_api: APIClient, kill: Kill, path: str
) -> None:
    (job,) = kill(acme, 1, kind="sleep", payload={"seconds": 1})
    with all_tenants():
        job.payload = {"seconds": "the-secret"}
        job.save(update_fields=["payload"])
    address = "/api/v1/" + path.format(letter=letters()[0].pk, job=job.pk)
    operator = session_of(platform_user("olga", "operator"))
    operator.credentials(HTTP_X_TENANT="acme")
    masked, clear = operator.post(address), acme_api.post(address)
    assert (masked.status_code, masked.json()["code"]) == (422, "payload_invalid")
    assert "the-secret" not in masked.content.decode()
    assert "the-secret" in clear.content.decode()


# Many letters


def test_dry_run_returns_the_count_and_changes_nothing(acme: Tenant, acme_api: APIClient, kill: Kill) -> None:
    kill(acme, 7)
    answer = requeue(acme_api, dry_run=True, payload_patch={"a": 1})
    assert (answer["count"], answer["eligible"], answer["count_is_more"], len(answer["sample"])) == (7, 7, False, 5)
    assert [item["refusal"] for item in answer["sample"]] == [None] * 5
    assert (entries(), [letter.requeued_at for letter in letters()]) == ([], [None] * 7)


def test_dry_run_shows_which_payloads_would_be_refused(acme: Tenant, acme_api: APIClient, kill: Kill) -> None:
    kill(acme, 1, kind="sleep", payload={"seconds": 1})
    (item,) = requeue(acme_api, dry_run=True, payload_patch={"seconds": "long"})["sample"]
    assert item["refusal"]["code"] == "payload_invalid"


def test_dry_run_quotes_stored_payloads_only_with_the_right(acme: Tenant, acme_api: APIClient, kill: Kill) -> None:
    (job,) = kill(acme, 1, kind="sleep", payload={"seconds": 1})
    with all_tenants():
        job.payload = {"seconds": "the-secret"}
        job.save(update_fields=["payload"])
    operator = session_of(platform_user("olga", "operator"))
    operator.credentials(HTTP_X_TENANT="acme")
    for caller, is_notified in ((operator, False), (acme_api, True)):
        (item,) = requeue(caller, dry_run=True)["sample"]
        assert item["refusal"]["code"] == "payload_invalid"
        assert ("the-secret" in item["refusal"]["detail"]) is is_notified


def test_group_requeue_requeues_each_dead_letter_once(acme: Tenant, acme_api: APIClient, kill: Kill) -> None:
    jobs = kill(acme, 3)
    kill(acme, 1, message="the disk is full")
    group = acme_api.get(f"{API}groups/").json()["results"][0]
    chosen = f"kind:{group['kind']} fingerprint:{group['fingerprint']} requeued:no"
    answer = requeue_to_the_end(acme_api, chosen)
    assert (answer["changed"], answer["ineligible"], answer["has_payload_patch"]) == (3, {}, False)
    with all_tenants():
        new = dict(Job.objects.filter(parent__in=jobs).values_list("parent_id", "id"))
    assert {letter.job_id: letter.requeued_job_id for letter in letters() if letter.requeued_at} == new
    assert requeue_to_the_end(acme_api, chosen)["seen"] == 0
    assert [group["count"] for group in acme_api.get(f"{API}groups/").json()["results"]] == [1]


def test_requeued_dead_letter_is_not_requeued_again(acme: Tenant, acme_api: APIClient, kill: Kill) -> None:
    kill(acme, 1)
    assert requeue_to_the_end(acme_api, "kind:noop")["changed"] == 1
    again = requeue_to_the_end(acme_api, "dead_letter:permanent_error")
    assert (again["changed"], again["ineligible"]) == (0, {"invalid_transition": 1})


def test_payload_patch_is_applied_to_each_payload(acme: Tenant, acme_api: APIClient, kill: Kill) -> None:
    jobs = kill(acme, 1, payload={"a": 1, "b": {"c": 1, "d": 2}}) + kill(acme, 1, payload={"b": 7})
    answer = requeue_to_the_end(acme_api, payload_patch={"a": None, "b": {"c": 5}})
    with all_tenants():
        new = {job.parent_id: job.payload for job in Job.objects.filter(parent__isnull=False)}
    assert (answer["changed"], answer["has_payload_patch"]) == (2, True)
    assert [new[job.pk] for job in jobs] == [{"b": {"c": 5, "d": 2}}, {"b": {"c": 5}}]


def test_dead_letters_with_refused_payloads_do_not_block_others(acme: Tenant, acme_api: APIClient, kill: Kill) -> None:
    kill(acme, 1, kind="sleep", payload={"seconds": 1})
    kill(acme, 1)
    answer = requeue_to_the_end(acme_api, payload_patch={"seconds": "long"})
    assert (answer["changed"], answer["ineligible"]) == (1, {"payload_invalid": 1})
    assert [letter.requeued_at is None for letter in letters()] == [True, False]


def test_submission_rate_pauses_the_bulk_requeue(acme: Tenant, acme_api: APIClient, kill: Kill) -> None:
    kill(acme, 4)
    set_tenant_limit(tenant=acme, key="submits_per_minute", value=1, reason="x", expires_at=None)
    set_tenant_limit(tenant=acme, key="submit_burst", value=3, reason="x", expires_at=None)
    answer = requeue_to_the_end(acme_api)
    assert (answer["state"], answer["changed"], answer["ineligible"]) == ("running", 3, {})
    assert answer["resume_at"] is not None
    assert [letter.requeued_at is None for letter in letters()] == [False, False, False, True]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"payload_patch": [1]}, "invalid"),
        ({"operation": "cancel", "payload_patch": {}}, "field_invalid"),
    ],
)
def test_invalid_requeue_is_refused(acme: Tenant, acme_api: APIClient, body: dict[str, Any], code: str) -> None:
    asked = {"filter": "requeued:no", "operation": "requeue", "reason": "x", **body}
    answer = acme_api.post(BULK, asked, format="json")
    assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_payload_patch_needs_the_jobs_of_one_tenant(acme: Tenant, staff_api: APIClient, kill: Kill) -> None:
    kill(acme, 1, payload={"a": 1})
    asked = {"filter": "requeued:no", "operation": "requeue", "reason": "x", "payload_patch": {"a": 2}}
    refused = staff_api.post(BULK, asked, format="json")
    assert (refused.status_code, refused.json()["code"]) == (422, "field_invalid")
    assert staff_api.post(BULK, {**asked, "filter": "requeued:no tenant:acme"}, format="json").status_code == 201
    take_turns()
    with all_tenants():
        assert Job.objects.get(parent__isnull=False).payload == {"a": 2}


def test_foreign_dead_letters_are_not_found(acme: Tenant, globex_api: APIClient, kill: Kill, acme_user: User) -> None:
    kill(acme, 1)
    assert requeue_to_the_end(globex_api)["seen"] == 0
    for method, path in (("get", ""), ("post", "requeue/")):
        assert getattr(globex_api, method)(f"{API}{letters()[0].pk}/{path}").status_code == 404
