"""Pipelines on a real worker: both examples, and runs whose worker is killed at random times.

The environment variable PIPELINE_KILLS is the number of killed runs; PIPELINE_KILLS_SEED repeats their times.
"""

from __future__ import annotations

import json
import os
import random
import signal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile

from scheduling.jobs.cancellation import cancel_job
from scheduling.models import Job
from tenants.context import tenant_context
from tenants.models import Tenant
from tests.acceptance.conftest import Platform
from tests.acceptance.helpers import executions_of, fetch, wait_for
from tests.acceptance.processes import eventually
from tests.web_server import web_server
from workloads.documents.models import Chunk, Document
from workloads.documents.search import search_dataset
from workloads.documents.service import create_dataset
from workloads.files.service import upload_files
from workloads.pipelines.models import PipelineRun
from workloads.pipelines.node_types import chain
from workloads.pipelines.queries import find_entities, get_run
from workloads.pipelines.runs import retry_entity, start_run
from workloads.pipelines.service import create_pipeline

EXAMPLES = Path(settings.BASE_DIR) / "examples"
KILLS = int(os.environ.get("PIPELINE_KILLS", "2"))
SEED = int(os.environ.get("PIPELINE_KILLS_SEED", "20261125"))
RUN_SECONDS = 240.0
ENTITIES, PARAGRAPHS = 6, 40
# Long enough to run while a worker receives its cancellation, within a second.
MANY_PARAGRAPHS = 800


def job_of(run: PipelineRun) -> Job:
    with tenant_context(run.tenant_id):
        return Job.objects.get(pk=run.job_id)


def run_of(run: PipelineRun) -> Any:
    with tenant_context(run.tenant_id):
        return get_run(run.pk)


def entities_of(run: PipelineRun) -> list[Any]:
    with tenant_context(run.tenant_id):
        return list(find_entities().filter(run_id=run.pk).order_by("position"))


def example(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((EXAMPLES / "pipelines" / name).read_text())
    return read


def paragraphs(entity: int, count: int = PARAGRAPHS) -> list[str]:
    return [
        f"Paragraph {number} of text {entity} says what the scheduler does in case {number * 7_919 + entity}."
        for number in range(count)
    ]


def long_run(tenant: Tenant, *, count: int = PARAGRAPHS) -> PipelineRun:
    """Start a run of texts with ``count`` paragraphs, each a chunk."""
    name = f"long-{random.getrandbits(64):x}"
    create_dataset(tenant=tenant, name=name)
    sources = [
        {"type": "text", "name": f"{entity}.txt", "text": "\n\n".join(paragraphs(entity, count))}
        for entity in range(ENTITIES)
    ]
    definition = chain(
        datasource={"sources": sources},
        split={"chunk_size": 30, "chunk_overlap": 0},
        embed={"batch_size": 4},
        load={"dataset": name},
    )
    pipeline = create_pipeline(tenant=tenant, name=name, definition=definition)
    return start_run(tenant=tenant, pipeline_id=pipeline.pk)


def chunks_of(run: PipelineRun) -> int:
    with tenant_context(run.tenant_id):
        return Chunk.objects.filter(document__batch_id=run.pk).count()


def check_whole(run: PipelineRun) -> None:
    """Verify that no entity is lost, and each of its chunks is stored once, in its place."""
    shown = run_of(run)
    assert (shown.shown_state, shown.entities_completed) == ("completed", ENTITIES)
    for number, entity in enumerate(entities_of(run)):
        with tenant_context(run.tenant_id):
            rows = list(Chunk.objects.filter(document_id=entity.document_id).order_by("position", "id"))
            document = Document.objects.get(pk=entity.document_id)
        assert [row.position for row in rows] == list(range(PARAGRAPHS))
        assert [row.text for row in rows] == paragraphs(number)
        assert (document.status, document.chunks_done, document.chunks_total) == ("completed", PARAGRAPHS, PARAGRAPHS)
    assert chunks_of(run) == ENTITIES * PARAGRAPHS


def test_example_pipelines_complete(platform: Platform, acme: Tenant) -> None:
    glossary = create_dataset(tenant=acme, name="glossary")
    library = create_dataset(tenant=acme, name="library")
    documents = EXAMPLES / "corpus" / "documents"
    names = ["linux-cfs.pdf", "dead-letters.docx", "audit-log.html", "glossary.csv", "interrupted-upload.pdf"]
    files = upload_files(
        tenant=acme, files=[SimpleUploadedFile(name, (documents / name).read_bytes()) for name in names]
    )
    first = create_pipeline(tenant=acme, name="glossary", definition=example("glossary.json"))
    second = create_pipeline(tenant=acme, name="library", definition=example("library.json"))
    runs = [
        start_run(tenant=acme, pipeline_id=first.pk),
        start_run(
            tenant=acme,
            pipeline_id=second.pk,
            sources=[{"type": "file", "file": str(file.pk)} for file in files],
        ),
    ]
    for run in runs:
        wait_for(job_of(run), "completed", within=RUN_SECONDS)
    assert [entity.shown_state for entity in entities_of(runs[0])] == ["completed"] * 3
    assert [entity.chunks_total for entity in entities_of(runs[0])] == [3, 3, 3]
    states = {entity.name: entity.shown_error_code or entity.shown_state for entity in entities_of(runs[1])}
    assert states == {**dict.fromkeys(names, "completed"), "interrupted-upload.pdf": "file_damaged"}
    assert [run_of(run).shown_state for run in runs] == ["completed", "partial"]
    with tenant_context(acme):
        (lease,) = search_dataset(dataset=glossary, query="what happens when leases are not renewed", top_k=1)
        assert lease.chunk.location["heading"] == ["Workers", "Lease"]
        assert search_dataset(dataset=library, query="completely fair scheduler of Linux", top_k=1)
    platform.run("verify", "ledger")


def test_pages_are_fetched_by_threads_that_check_the_breaker(platform: Platform, acme: Tenant) -> None:
    """Each thread uses its own database connection; none is left after the run."""
    name = f"pages-{random.getrandbits(64):x}"
    create_dataset(tenant=acme, name=name)
    assert platform.worker is not None
    # The shared worker may not call the server of this test.
    platform.worker.kill()
    with web_server() as website:
        host = f"127.0.0.1:{website.port}"
        worker = platform.begin_worker(concurrency=1, OUTGOING_HTTP_ALLOWED_HOSTS=host)
        website.answers = {
            f"/{number}": (200, {"Content-Type": "text/html"}, f"<h1>Page {number}</h1><p>Fair queues.</p>".encode())
            for number in range(8)
        }
        website.answers["/8"] = (404, {}, b"")
        sources = [{"type": "url", "url": f"{website.url}/{number}"} for number in range(9)]
        # In the run, since the process of this test may not call the server and so save its address.
        pipeline = create_pipeline(tenant=acme, name=name, definition=chain(load={"dataset": name}))
        run = start_run(tenant=acme, pipeline_id=pipeline.pk, sources=sources)
        job = wait_for(job_of(run), "completed", within=RUN_SECONDS)
        assert worker.is_running
        threads = [path for child in worker.children() for path in Path(f"/proc/{child}/task").iterdir()]
        names = {(path / "comm").read_text().strip() for path in threads}
    assert job.attempt == 0
    entities = entities_of(run)
    assert [entity.shown_state for entity in entities] == ["completed"] * 8 + ["error"]
    assert entities[-1].shown_error_code == "http_404"
    assert run_of(run).shown_state == "partial"
    assert not [name for name in names if name.startswith("pipeline")]


def test_run_survives_worker_kills_without_losing_or_repeating_chunks(platform: Platform, acme: Tenant) -> None:
    moments = random.Random(SEED)
    killed = 0
    while killed < KILLS:
        run = long_run(acme)
        # A job that kills its worker three times is not retried.
        for _ in range(moments.choice((1, 2))):
            wait_for_moment(run, chunks=moments.randrange(ENTITIES * PARAGRAPHS))
            kill_children(platform)
            killed += 1
        job = wait_for(job_of(run), "completed", within=RUN_SECONDS)
        assert {execution.outcome for execution in executions_of(job)} <= {"crashed", "completed"}
        check_whole(run)
    platform.run("verify", "ledger")


def wait_for_moment(run: PipelineRun, *, chunks: int) -> None:
    """Return once a worker runs it and this many chunks exist, or once it has ended."""

    def is_there() -> bool:
        job = fetch(job_of(run))
        has_come = run_of(run).started_at is not None and chunks_of(run) >= chunks
        return job.state == "completed" or (job.state == "executing" and has_come)

    eventually(is_there, within=RUN_SECONDS, what=f"{chunks} chunks are stored")


def kill_children(platform: Platform) -> None:
    """Kill all children of the worker."""
    assert platform.worker is not None
    for child in platform.worker.children():
        os.kill(child, signal.SIGKILL)


def test_cancelled_run_stops_and_its_entity_can_be_retried(platform: Platform, acme: Tenant) -> None:
    run = long_run(acme, count=MANY_PARAGRAPHS)
    eventually(lambda: chunks_of(run) > 0, within=RUN_SECONDS, what="some chunks are stored")
    with tenant_context(acme):
        cancel_job(job_id=run.job_id)
    wait_for(job_of(run), "cancelled", within=RUN_SECONDS)
    assert run_of(run).shown_state == "cancelled"
    assert "cancelled" in {entity.shown_state for entity in entities_of(run)}
    last = entities_of(run)[-1]
    assert last.shown_state == "cancelled"
    with tenant_context(acme):
        job_id = retry_entity(entity_id=last.pk).job_id
        job = Job.objects.get(pk=job_id)
    wait_for(job, "completed", within=RUN_SECONDS)
    assert (entities_of(run)[-1].shown_state, entities_of(run)[-1].chunks_done) == ("completed", MANY_PARAGRAPHS)
