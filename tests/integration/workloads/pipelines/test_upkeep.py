"""Upkeep of runs: those whose jobs ended early are closed, old ones removed, and mismatches found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone

from scheduling.consistency.verification import verify
from scheduling.jobs.cancellation import cancel_job
from scheduling.models import Job
from scheduling.upkeep.runs import run_upkeep
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.workloads.pipelines.conftest import JobRunner, entities_of, paragraphs, run_of, text
from tests.platform_settings import ChangePlatformSettings
from workloads.documents.models import Document
from workloads.pipelines.models import Pipeline, PipelineEntity, PipelineRun
from workloads.pipelines.runs import start_run

type MakePipeline = Callable[..., Pipeline]


@pytest.fixture
def run(acme: Tenant, make_pipeline: MakePipeline) -> PipelineRun:
    return start_run(tenant=acme, pipeline_id=make_pipeline(text("a.txt", paragraphs(9)), text("b.txt", "Two.")).pk)


def grow_old(run: PipelineRun, **columns: Any) -> None:
    """Let the run and its entities be a minute old."""
    with tenant_context(run.tenant_id):
        then = timezone.now() - timedelta(minutes=1)
        PipelineEntity.objects.filter(run=run).update(created_at=then)
        PipelineRun.objects.filter(pk=run.pk).update(created_at=then, **columns)


def close() -> dict[str, int]:
    done = run_upkeep(name="pipeline_runs")
    assert done.outcome == "ok"
    return {name: done.counts[name] for name in ("entities_closed", "runs_closed")}


def test_waiting_run_is_not_closed(run: PipelineRun) -> None:
    grow_old(run)
    assert close() == {"entities_closed": 0, "runs_closed": 0}
    assert run_of(run).state == "waiting"


def test_cancelled_run_is_closed_with_its_entities_and_releases_contents(
    run: PipelineRun, job_runner: JobRunner, acme: Tenant
) -> None:
    job_runner.run(run.job_id, yield_after=4)
    with tenant_context(acme):
        assert PipelineEntity.objects.exclude(content_key="").exists()
        cancel_job(job_id=run.job_id)
    grow_old(run)
    closed = close()
    assert (closed["runs_closed"], closed["entities_closed"] > 0) == (1, True)
    with tenant_context(acme):
        assert not PipelineEntity.objects.exclude(content_key="", passages_key="").exists()
    shown = run_of(run)
    assert (shown.state, shown.ended_at is not None) == ("cancelled", True)
    assert shown.entities_cancelled + shown.entities_completed == 2
    assert close() == {"entities_closed": 0, "runs_closed": 0}


@pytest.mark.parametrize(
    ("state", "of_run", "of_entity"), [("discarded", "failed", "error"), (None, "cancelled", "cancelled")]
)
def test_run_of_a_dead_or_missing_job_is_closed(
    run: PipelineRun, acme: Tenant, state: str | None, of_run: str, of_entity: str
) -> None:
    with all_tenants():
        if state is None:
            gone = uuid4()
            PipelineRun.objects.filter(pk=run.pk).update(job_id=gone)
            PipelineEntity.objects.filter(run=run).update(job_id=gone)
        else:
            Job.objects.filter(pk=run.job_id).update(
                state=state, finished_at=Now(), error_type="timeout", error_message="It took too long."
            )
    grow_old(run)
    assert close() == {"entities_closed": 2, "runs_closed": 1}
    assert run_of(run).state == of_run
    entity = entities_of(run)[0]
    assert (entity.state, entity.error_code) == (of_entity, "timeout" if state else "job_gone")


def test_old_runs_are_removed_and_their_documents_stay(
    run: PipelineRun, job_runner: JobRunner, acme: Tenant, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(PIPELINE_RUN_DAYS=7)
    job_runner.run(run.job_id)
    grow_old(run, ended_at=timezone.now() - timedelta(days=6))
    assert run_upkeep(name="pipeline_retention").counts["runs_removed"] == 0
    grow_old(run, ended_at=timezone.now() - timedelta(days=8))
    assert run_upkeep(name="pipeline_retention").counts["runs_removed"] == 1
    with tenant_context(acme):
        assert (PipelineRun.objects.count(), PipelineEntity.objects.count(), Document.objects.count()) == (0, 0, 2)
        assert Pipeline.objects.count() == 1


def found() -> set[str]:
    """Return the codes of the faults of pipelines."""
    return {code for (code, _) in verify().findings if code.startswith("pipeline_")}


def test_consistent_run_is_clean_and_each_mismatch_is_found(
    run: PipelineRun, job_runner: JobRunner, acme: Tenant
) -> None:
    job_runner.run(run.job_id)
    assert found() == set()
    with tenant_context(acme), connection.cursor() as cursor:
        PipelineRun.objects.filter(pk=run.pk).update(entities_completed=1)
        assert found() == {"pipeline_run_counts"}
        PipelineRun.objects.filter(pk=run.pk).update(entities_completed=2)
        cursor.execute("UPDATE retrieval_document SET chunks_done = chunks_done + 1")
        assert found() == {"pipeline_entity_chunks"}
        cursor.execute("UPDATE retrieval_document SET chunks_done = chunks_done - 1")
        PipelineEntity.objects.filter(run=run, position=0).update(state="running", job_id=uuid4())
        PipelineRun.objects.filter(pk=run.pk).update(state="running")
        assert found() == {"pipeline_entity_without_job"}
