"""Sealed error texts of pipelines: those of entities and runs, and those of the job that ended them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection
from rest_framework.test import APIClient

from scheduling.kit.base import PermanentError
from tenants.context import all_tenants
from tenants.encryption.data_keys import forget_keys
from tenants.encryption.error_texts import seal_error
from tenants.models import Tenant
from tests.integration.scheduling.jobs.test_sealed_values import MARKER, everything, master
from tests.integration.workloads.pipelines.conftest import JobRunner, entities_of, run_of, text
from tests.integration.workloads.pipelines.test_embedding import MakePipeline
from tests.integration.workloads.pipelines.test_upkeep import close, grow_old
from tests.platform_settings import ChangePlatformSettings
from workloads.pipelines import repository
from workloads.pipelines.runs import start_run


@pytest.fixture(autouse=True)
def sealing(change_platform_settings: ChangePlatformSettings) -> Iterator[None]:
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")])
    yield
    forget_keys()


def test_failing_entity_has_a_sealed_text(
    acme: Tenant,
    make_pipeline: MakePipeline,
    job_runner: JobRunner,
    monkeypatch: pytest.MonkeyPatch,
    acme_api: APIClient,
) -> None:
    def refuse(*_: object) -> None:
        raise PermanentError(MARKER, code="refused")

    monkeypatch.setattr(repository, "check_batch", refuse)
    pipeline = make_pipeline(text("a.txt", "One."))
    run = start_run(tenant=acme, pipeline_id=pipeline.pk)
    job = job_runner.run(run.job_id)
    assert MARKER in job.error_message
    assert MARKER not in everything()
    assert MARKER in run_of(run).shown_error_message
    assert MARKER in entities_of(run)[0].shown_error_message
    assert MARKER in acme_api.get(f"/api/v1/pipeline-runs/{run.pk}/").content.decode()


def test_upkeep_copies_the_sealed_text_of_the_job(acme: Tenant, make_pipeline: MakePipeline) -> None:
    run = start_run(tenant=acme, pipeline_id=make_pipeline(text("a.txt", "One.")).pk)
    sealed = seal_error(MARKER, tenant_id=acme.pk, owner_id=run.job_id)
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE scheduling_job SET state = 'discarded', finished_at = now(), error_message = %s WHERE id = %s",
            [sealed, run.job_id],
        )
    assert run_of(run).shown_error_message == MARKER
    grow_old(run)
    assert close() == {"entities_closed": 1, "runs_closed": 1}
    assert entities_of(run)[0].error_message == MARKER
    assert MARKER not in everything()
