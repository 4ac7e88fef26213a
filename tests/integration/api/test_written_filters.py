"""`q` of the list of jobs: combined with other parameters, page by page, and refused with the position of the error."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from tenants.models import Tenant
from tests.integration.console.conftest import make_work
from tests.integration.scheduling.job_helpers import submit

pytestmark = pytest.mark.django_db
JOBS = "/api/v1/jobs/"


def ids(client: APIClient, **parameters: object) -> list[str]:
    answer = client.get(JOBS, parameters)
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


def test_jobs_are_found_by_a_written_filter(acme: Tenant, globex: Tenant, acme_api: APIClient) -> None:
    acme_work, globex_work = make_work(acme), make_work(globex)
    waiting, failed = str(acme_work.waiting.pk), str(acme_work.failed.pk)
    assert ids(acme_api, q="") == [failed, waiting]
    assert ids(acme_api, q="state:discarded error:Parse") == [failed]
    assert ids(acme_api, q="-state:discarded age:<1h") == [waiting]
    assert ids(acme_api, q="tenant:globex") == []
    assert ids(acme_api, q=str(globex_work.failed.pk)) == []
    assert ids(acme_api, q=str(acme_work.failed.batch_id)) == [failed, waiting]


def test_written_filter_narrows_other_parameters(acme: Tenant, acme_api: APIClient) -> None:
    acme_work = make_work(acme)
    assert ids(acme_api, q="tag:night", state="available") == [str(acme_work.waiting.pk)]
    assert ids(acme_api, q="tag:night", state="discarded") == []
    assert ids(acme_api, q="state:discarded", state="available") == []


def test_written_filter_pages_lead_on(acme: Tenant, acme_api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenants.api.walked_pages.LOOK_LIMIT", 3)
    wanted = [str(job.pk) for job in submit(acme, count=2, tags=("rare",))][::-1]
    submit(acme, count=9)
    found: list[str] = []
    answer = acme_api.get(JOBS, {"q": "tag:rare age:<1h", "limit": 1}).json()
    assert answer["results"] == []
    while answer["next"] is not None:
        answer = acme_api.get(answer["next"]).json()
        found += [row["id"] for row in answer["results"]]
    assert found == wanted


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("stat:discarded", {"position": 0, "word": "stat", "suggestion": "state"}),
        ("kind:noop state:canceled", {"position": 16, "word": "canceled", "suggestion": "cancelled"}),
        ("age:1h", {"position": 4, "word": "", "suggestion": None}),
    ],
)
def test_invalid_written_filter_is_refused_with_its_position(
    acme_api: APIClient, text: str, fault: dict[str, object]
) -> None:
    answer = acme_api.get(JOBS, {"q": text})
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "filter_syntax"
    (returned,) = problem["errors"]
    assert returned["field"] == "q"
    assert {name: returned[name] for name in fault} == fault


def test_too_long_written_filter_is_refused(acme_api: APIClient) -> None:
    assert acme_api.get(JOBS, {"q": "a" * 4_001}).status_code == 422
