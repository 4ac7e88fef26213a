"""History of jobs over HTTP: events, executions, batches and dead letters."""

from __future__ import annotations

from rest_framework.test import APIClient

from scheduling.jobs.batches.service import create_batch
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_jobs
from scheduling.models import Job
from tenants.models import Tenant
from tests.integration.api.test_jobs import JOBS, ids
from tests.integration.scheduling.job_helpers import submit


def test_job_events_are_complete_and_hide_internal_fields(acme_api: APIClient, dead_job: Job) -> None:
    events = acme_api.get(f"{JOBS}{dead_job.id}/events/").json()["results"]
    assert [event["name"] for event in events][:2] == ["job.submitted", "job.dispatched"]
    assert events[-1]["state"] == "discarded"
    assert not {"start_tag", "predicted_us"} & {name for event in events for name in event["data"]}


def test_executions_list_the_running_one_first_and_show_errors(
    acme_api: APIClient, executing_job: Job, dead_job: Job
) -> None:
    (live,) = acme_api.get(f"{JOBS}{executing_job.id}/executions/").json()["results"]
    assert (live["state"], live["ended_at"], live["seconds"]) == ("executing", None, None)
    assert acme_api.get(f"/api/v1/executions/{live['id']}/").json()["job"] == str(executing_job.id)
    (ended,) = acme_api.get(f"{JOBS}{dead_job.id}/executions/").json()["results"]
    assert (ended["state"], ended["error"]) == ("failed", {"type": "ValueError", "message": "no"})
    assert "ValueError: no" in acme_api.get(f"/api/v1/executions/{ended['id']}/").json()["traceback"]


def test_batch_counts_its_jobs_by_state(acme: Tenant, acme_api: APIClient) -> None:
    batch = create_batch(tenant=acme, label="books", kind="noop", total=3)
    submit_jobs(tenant=acme, requests=[JobRequest(kind="noop")] * 3, batch=batch)
    submit(acme)
    assert [row["label"] for row in acme_api.get("/api/v1/batches/").json()["results"]] == ["books"]
    shown = acme_api.get(f"/api/v1/batches/{batch.id}/").json()
    assert (shown["total"], shown["states"]) == (3, {"available": 3})
    assert len(ids(acme_api.get(JOBS, {"batch": str(batch.id)}))) == 3


def test_dead_letters_are_filtered(acme_api: APIClient, dead_job: Job) -> None:
    path = "/api/v1/dead-letters/"
    letter = acme_api.get(path).json()["results"][0]
    assert (letter["job"], letter["reason"]) == (str(dead_job.id), "permanent_error")
    assert letter["error"]["message"] == "no"
    hits = ["kind=noop", "reason=permanent_error,crashed_workers", "error=ValueError", "requeued=false"]
    misses = ["kind=sleep", "reason=deadline_passed", "error=KeyError", "requeued=true"]
    for query in hits:
        assert ids(acme_api.get(f"{path}?{query}")) == [letter["id"]], query
    for query in misses:
        assert ids(acme_api.get(f"{path}?{query}")) == [], query
