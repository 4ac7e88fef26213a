"""A dataset of one region: its documents wait for that region's worker, which reads a file fetched ahead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile

from scheduling.jobs.waits.reasons import why_waiting
from scheduling.models import Job, Queue, Worker
from scheduling.regions import labels
from scheduling.topology.service import create_queue, create_routing_rule, create_worker_pool
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.helpers import executions_of, wait_for
from tests.acceptance.processes import eventually
from workloads.documents.indexing.uploads import upload_documents
from workloads.documents.models import Document
from workloads.documents.service import create_dataset, update_dataset

FAR, NOWHERE = "data-far", "data-nowhere"


@pytest.fixture
def far_pool(platform: Platform) -> Iterator[str]:
    """Create a pool in a region; documents go to it or to the pool of the shared worker, which has no region."""
    create_worker_pool(name=FAR, values={"region": FAR})
    with all_tenants():
        shared = Queue.objects.filter(pool__name="default").earliest("pk")
    # Only for data of this home region: other tests share the database.
    values = {"position": 1, "kind": "document_indexing", "region": FAR, "balance": "weighted"}
    rule = create_routing_rule(values=values, targets={create_queue(name=FAR, pool=FAR).pk: 1, shared.pk: 1000})
    yield FAR
    with all_tenants():
        rule.delete()


def test_document_is_indexed_in_the_region_of_its_dataset_from_a_copy(
    platform: Platform, acme: Tenant, far_pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "CHANGE_SECONDS", 0.0)
    dataset = create_dataset(tenant=acme, name="far", home_region=FAR, allowed_regions=[FAR])
    done = upload_documents(tenant=acme, dataset=dataset, files=[SimpleUploadedFile("a.txt", b"Some words.")])
    with tenant_context(acme):
        job = Job.objects.select_related("queue").get(batch_id=done.batch_id)
        document = Document.objects.get()
    assert job.queue.name == FAR

    cache: Any = {"FILE_CACHE_DIR": str(tmp_path / "copies")}
    fetching = platform.start("fetch_files", f"--pool={far_pool}", **cache)
    copy = tmp_path / "copies" / document.storage_key
    eventually(copy.exists, within=START_SECONDS, what="the file is fetched ahead")
    fetching.stop()
    # From now on only the copy has it.
    default_storage.delete(document.storage_key)

    # The label moves away and comes back while the job waits.
    with tenant_context(acme):
        update_dataset(dataset=dataset, home_region="", allowed_regions=[NOWHERE])
    worker = platform.begin_worker(pool=FAR, **cache)
    eventually(lambda: "region_not_allowed" in reasons_of(acme, job), within=START_SECONDS, what="the job is held")
    eventually(lambda: has_worker(FAR) or not worker.is_running, within=START_SECONDS, what="the worker is there")
    assert worker.is_running, worker.log
    with tenant_context(acme):
        update_dataset(dataset=dataset, home_region=FAR, allowed_regions=[FAR])

    job = wait_for(job, "completed", within=120)
    with all_tenants():
        (ran,) = [each for each in executions_of(job) if each.outcome == "completed"]
        assert Worker.objects.get(pk=ran.worker_id).pool.region == FAR
        assert Document.objects.get(pk=document.pk).status == "completed"
    # Other tests of this process verify that each stored document has its file.
    default_storage.save(document.storage_key, ContentFile(copy.read_bytes()))


def reasons_of(tenant: Tenant, job: Job) -> set[str]:
    with tenant_context(tenant):
        explanation = why_waiting(Job.objects.get(pk=job.pk))
        return set() if explanation is None else {reason.code for reason in explanation.reasons}


def has_worker(region: str) -> bool:
    with all_tenants():
        return Worker.objects.filter(pool__region=region, status="online").exists()
