"""A document whose worker dies while it indexes."""

from __future__ import annotations

import os
import signal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from scheduling.models import Job
from tenants.context import tenant_context
from tenants.models import Tenant
from tests.acceptance.conftest import Platform
from tests.acceptance.helpers import executions_of, wait_for
from tests.acceptance.processes import eventually
from tests.acceptance.test_recovery import RESCUE_SECONDS
from workloads.documents.indexing.uploads import upload_documents
from workloads.documents.models import Chunk, Document
from workloads.documents.service import create_dataset

pytestmark = pytest.mark.core

# Each paragraph makes a chunk or two; all of them take some seconds to embed.
PARAGRAPHS = 400


def test_document_resumes_after_crash_and_has_each_chunk_once(platform: Platform, acme: Tenant) -> None:
    dataset = create_dataset(tenant=acme, name="handbook", chunk_size=40, chunk_overlap=0)
    text = "\n\n".join(
        f"Paragraph {number} says what the scheduler does in the case that carries the number {number * 7_919}."
        for number in range(PARAGRAPHS)
    )
    file = SimpleUploadedFile("handbook.txt", text.encode())
    upload = upload_documents(tenant=acme, dataset=dataset, files=[file])
    document_id = upload.files[0].document.pk
    with tenant_context(acme):
        job = Job.objects.get(batch_id=upload.batch_id)
    eventually(lambda: chunks_of(acme, document_id), what="some chunks are stored")
    assert platform.worker is not None
    for child in platform.worker.children():
        os.kill(child, signal.SIGKILL)
    with tenant_context(acme):
        before = Document.objects.get(pk=document_id)
    assert before.status == "indexing"
    eventually(lambda: fence_of(acme, job) == 2, within=RESCUE_SECONDS, what="the document is resumed")
    job = wait_for(job, "completed", within=120)
    assert [execution.outcome for execution in executions_of(job)] == ["crashed", "completed"]
    positions = chunks_of(acme, document_id)
    assert positions == list(range(len(positions)))
    with tenant_context(acme):
        after = Document.objects.get(pk=document_id)
    assert (after.status, after.chunks_done, after.chunks_total) == ("completed", len(positions), len(positions))
    assert len(positions) >= PARAGRAPHS // 2
    platform.run("verify", "ledger")


def chunks_of(tenant: Tenant, document_id: object) -> list[int]:
    """Return the positions of the document's chunks, in order."""
    with tenant_context(tenant):
        return list(
            Chunk.objects.filter(document_id=document_id).order_by("position").values_list("position", flat=True)
        )


def fence_of(tenant: Tenant, job: Job) -> int:
    with tenant_context(tenant):
        return Job.objects.get(pk=job.pk).fence
