"""Runs from their start to the chunks of documents, on the real tables, as the restricted role."""

from __future__ import annotations

from collections.abc import Callable

from scheduling.lifecycle import JobState
from scheduling.processors.rag_pipeline.models import Pipeline
from scheduling.processors.rag_pipeline.runs import start_run
from scheduling.processors.retrieval.models import Document
from tenants.context import tenant_context
from tenants.models import Tenant
from tests.integration.rag_pipeline.conftest import Hands, chunks_of, entities_of, paragraphs, run_of, text

type MakePipeline = Callable[..., Pipeline]


def test_each_source_becomes_a_document_with_its_chunks(
    acme: Tenant, make_pipeline: MakePipeline, hands: Hands
) -> None:
    pipeline = make_pipeline(text("a.txt", paragraphs(9)), text("b.md", "# Title\n\nOne section only."))
    run = start_run(tenant=acme, pipeline_id=pipeline.pk)
    assert run_of(run).shown_state == "waiting"
    job = hands.run(run.job_id)
    shown = run_of(run)
    assert (job.state, shown.shown_state) == (JobState.COMPLETED, "completed"), job.error_message
    assert (shown.entities_total, shown.entities_completed, shown.entities_error) == (2, 2, 0)
    first, second = entities_of(run)
    assert (first.shown_state, first.attempt, first.chunks_done, first.chunks_total) == ("completed", 1, 9, 9)
    assert chunks_of(first) == paragraphs(9).split("\n\n")
    assert chunks_of(second) == ["Title\nOne section only."]
    assert job.result == {"run": str(run.pk), "entities": {"completed": 2}, "chunks": 10}
    with tenant_context(acme):
        documents = {row.name: (row.status, row.content_type) for row in Document.objects.all()}
    assert documents == {"a.txt": ("completed", "text/plain"), "b.md": ("completed", "text/markdown")}
