"""Indexing of a document from its upload to its chunks, on the real tables, as the restricted role."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.jobs.waits.reasons import why_waiting
from scheduling.models import DeadLetter
from tenants.context import all_tenants, tenant_context
from tenants.models import PlanLimit, Tenant
from tests.integration.workloads.documents.indexing.conftest import JobRunner, rescue, upload
from tests.platform_settings import ChangePlatformSettings
from tests.unit.workloads.documents.extraction.makers import make_docx, make_encrypted_pdf, make_pdf
from workloads.documents.extraction import extractor
from workloads.documents.indexing import processor
from workloads.documents.indexing.queries import get_document
from workloads.documents.indexing.service import retry_document
from workloads.documents.indexing.uploads import UploadResult
from workloads.documents.models import Chunk, Dataset, Document
from workloads.documents.one_item import steps, storing
from workloads.documents.one_item.item import STATE_FIELDS, IndexingItem
from workloads.documents.one_item.steps import EmbeddedBatch
from workloads.documents.service import create_dataset, update_dataset

SENTENCES = "\n\n".join(f"Sentence number {number} tells about queue {number} and its weight." for number in range(60))

CHINESE = "调度器按照工人所用的秒数向每个租户收费，等待不会带来好处。"


def document_of(upload: UploadResult, index: int = 0) -> Document:
    document = upload.files[index].document
    with tenant_context(document.tenant_id):
        return get_document(document.pk)


def positions_of(document: Document) -> list[int]:
    with tenant_context(document.tenant_id):
        return list(Chunk.objects.filter(document=document).order_by("position").values_list("position", flat=True))


def rows_of(document: Document) -> list[tuple[object, ...]]:
    """Return everything that is stored of a document's chunks but their ids."""
    with tenant_context(document.tenant_id), connection.cursor() as cursor:
        cursor.execute(
            "SELECT position, text, location::text, embedding::text, search::text FROM retrieval_chunk"
            " WHERE document_id = %s ORDER BY position, id",
            [document.pk],
        )
        return cursor.fetchall()


def record_batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that receives the start of each batch stored from now on."""
    begun: list[int] = []
    store = storing.store_batch

    def noting(item: IndexingItem, batch: EmbeddedBatch) -> bool:
        begun.append(item.state.chunks_done)
        return store(item, batch)

    monkeypatch.setattr(storing, "store_batch", noting)
    return begun


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use few chunks a batch, so that short documents take several."""
    monkeypatch.setattr(processor, "BATCH_CHUNKS", 4)


def test_document_passes_its_phases_and_completes(dataset: Dataset, job_runner: JobRunner) -> None:
    taken = upload(dataset, queues_txt=SENTENCES.encode())
    assert document_of(taken).shown_status == "waiting"
    job = job_runner.run(taken.files[0].document.job_id)
    document = document_of(taken)
    assert (job.state, document.shown_status, job.result["chunks"]) == (
        JobState.COMPLETED,
        "completed",
        document.chunks_total,
    )
    moments = [
        document.created_at,
        document.parsing_at,
        document.cleaning_at,
        document.splitting_at,
        document.indexing_at,
        document.completed_at,
    ]
    assert all(moments)
    assert moments == sorted(moments)
    assert positions_of(document) == list(range(document.chunks_total))
    assert (job.progress_current, job.progress_total) == (document.chunks_total, document.chunks_total)


def test_each_format_is_indexed_as_chunks(dataset: Dataset, job_runner: JobRunner) -> None:
    taken = upload(
        dataset,
        a_pdf=make_pdf("Fair queues in a portable document"),
        b_docx=make_docx("公平队列", heading="标题"),
        c_html=b"<h1>Fair</h1><p>Queues in a page</p>",
        d_md=f"# 标题\n\n{CHINESE}".encode("gb18030"),
        e_csv=b"plan,weight\nteam,2\n",
    )
    for file in taken.files:
        assert job_runner.run(file.document.job_id).state == JobState.COMPLETED
    with tenant_context(dataset.tenant_id):
        texts = dict(Chunk.objects.values_list("document__name", "text"))
        places = dict(Chunk.objects.values_list("document__name", "location"))
    assert texts == {
        "a.pdf": "Fair queues in a portable document",
        "b.docx": "标题\n公平队列",
        "c.html": "Fair\nQueues in a page",
        "d.md": f"标题\n{CHINESE}",
        "e.csv": "plan: team; weight: 2",
    }
    assert places["a.pdf"] == {"page": 1}
    assert places["b.docx"] == {"paragraph": 1, "heading": ["标题"]}
    assert places["e.csv"] == {"row": 2}


@pytest.mark.usefixtures("small_batches")
def test_killed_worker_leaves_each_chunk_once(
    dataset: Dataset, job_runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = upload(dataset, queues_txt=SENTENCES.encode())
    job = job_runner.run(taken.files[0].document.job_id, stop_after=2)
    document = document_of(taken)
    assert (job.state, document.shown_status, positions_of(document)) == (
        JobState.EXECUTING,
        "indexing",
        list(range(8)),
    )
    with all_tenants():
        kept = set(Chunk.objects.values_list("id", flat=True))
    rescued = rescue(job)
    begun = record_batches(monkeypatch)
    done = job_runner.run(rescued.pk)
    document = document_of(taken)
    assert done.state == JobState.COMPLETED
    assert positions_of(document) == list(range(document.chunks_total))
    # It continued at its chunk: no earlier chunk was embedded again.
    assert begun == list(range(8, document.chunks_total, 4))
    with all_tenants():
        assert kept < set(Chunk.objects.values_list("id", flat=True))


@pytest.mark.usefixtures("small_batches")
def test_document_that_yields_continues_where_it_stopped(dataset: Dataset, job_runner: JobRunner) -> None:
    taken = upload(dataset, queues_txt=SENTENCES.encode())
    job = job_runner.run(taken.files[0].document.job_id, yield_after=1)
    assert (job.state, positions_of(document_of(taken))) == (JobState.AVAILABLE, list(range(4)))
    assert set(job.checkpoint) == set(STATE_FIELDS)
    assert (job.checkpoint["document_id"], job.checkpoint["chunks_done"]) == (str(document_of(taken).pk), 4)
    assert job_runner.run(job.pk).state == JobState.COMPLETED
    document = document_of(taken)
    assert positions_of(document) == list(range(document.chunks_total))


@pytest.mark.usefixtures("small_batches")
def test_document_that_yields_at_every_safe_point_has_the_same_chunks(
    acme: Tenant, dataset: Dataset, job_runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compare a document that yields on each request with one that never yields, to the last byte."""
    twin = create_dataset(tenant=acme, name="twin", chunk_size=40, chunk_overlap=0)
    undisturbed, sliced = upload(dataset, a_txt=SENTENCES.encode()), upload(twin, a_txt=SENTENCES.encode())
    job_runner.run(undisturbed.files[0].document.job_id)
    begun = record_batches(monkeypatch)
    job = job_runner.run(sliced.files[0].document.job_id, yield_after=0)
    while job.state == JobState.AVAILABLE:
        job = job_runner.run(job.pk, yield_after=0)
    first, second = document_of(undisturbed), document_of(sliced)
    assert (job.state, second.shown_status) == (JobState.COMPLETED, "completed")
    assert rows_of(second) == rows_of(first)
    assert begun == list(range(0, second.chunks_total, 4))  # no batch was stored twice
    # One slice per batch, none of which used an attempt; after its last batch it ends instead of yielding.
    assert job.yield_count == -(-second.chunks_total // 4) - 1
    assert (job.attempt, job.crash_count, job.result["chunks"]) == (0, 0, second.chunks_total)


@pytest.mark.usefixtures("small_batches")
def test_settings_changed_in_between_restart_the_indexing(dataset: Dataset, job_runner: JobRunner) -> None:
    taken = upload(dataset, queues_txt=SENTENCES.encode())
    job = job_runner.run(taken.files[0].document.job_id, yield_after=1)
    with tenant_context(dataset.tenant_id):
        update_dataset(dataset=dataset, chunk_size=80)
    assert job_runner.run(job.pk).state == JobState.COMPLETED
    document = document_of(taken)
    assert positions_of(document) == list(range(document.chunks_total))
    with tenant_context(dataset.tenant_id):
        longest = max(len(text) for text in Chunk.objects.values_list("text", flat=True))
    assert longest > 200


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a_pdf", make_encrypted_pdf("x"), "file_encrypted"),
        ("a_pdf", make_pdf("x" * 500)[:-300], "file_damaged"),
        ("a_pdf", make_pdf(""), "file_without_text"),
        ("a_docx", make_docx("x")[:-500], "file_damaged"),
        ("a_html", b"<div>" * 5_000 + b"x", "file_too_complex"),
        ("a_txt", b" \n \n", "file_without_text"),
    ],
)
def test_invalid_file_is_a_dead_letter_at_once(
    dataset: Dataset, job_runner: JobRunner, name: str, content: bytes, code: str
) -> None:
    taken = upload(dataset, **{name: content})
    job = job_runner.run(taken.files[0].document.job_id)
    document = document_of(taken)
    assert (job.state, job.attempt, job.error_type) == (JobState.DISCARDED, 1, code)
    assert (document.shown_status, document.shown_error_code) == ("error", code)
    assert document.error_at is not None
    with all_tenants():
        letter = DeadLetter.objects.get(job=job)
    assert (letter.reason, letter.error_type) == ("permanent_error", code)
    assert letter.error_message == document.shown_error_message


def test_one_invalid_file_does_not_affect_the_others_of_its_batch(dataset: Dataset, job_runner: JobRunner) -> None:
    taken = upload(dataset, bad_pdf=make_pdf("x" * 500)[:-300], good_txt=b"Good text.")
    states = [job_runner.run(file.document.job_id).state for file in taken.files]
    assert states == [JobState.DISCARDED, JobState.COMPLETED]


def test_missing_file_is_retried_and_named(dataset: Dataset, job_runner: JobRunner, files_root: object) -> None:
    taken = upload(dataset, a_txt=b"Text.")
    (stored,) = [path for path in files_root.rglob("*") if path.is_file()]  # type: ignore[attr-defined]
    content = stored.read_bytes()
    stored.write_bytes(b"Something else.")
    job = job_runner.run(taken.files[0].document.job_id)
    document = document_of(taken)
    assert (job.state, document.shown_status, document.shown_error_code) == ("retryable", "waiting", "file_not_stored")
    stored.write_bytes(content)
    with tenant_context(dataset.tenant_id):
        retry_document(document_id=document.pk)
    assert job_runner.run(job.pk).state == JobState.COMPLETED
    document = document_of(taken)
    assert (document.shown_status, document.shown_error_code) == ("completed", "")


def test_batch_beyond_a_reduced_plan_fails_when_it_runs(acme: Tenant, dataset: Dataset, job_runner: JobRunner) -> None:
    taken = upload(dataset, a_txt=b"One.", b_txt=b"Two.")
    with all_tenants():
        PlanLimit.objects.filter(plan=acme.plan, key="document_indexing.files_per_batch").update(value=1)
    job = job_runner.run(taken.files[0].document.job_id)
    assert (job.state, job.error_type) == (JobState.DISCARDED, "batch_too_large")


def test_deleted_document_discards_its_job(acme: Tenant, dataset: Dataset, job_runner: JobRunner) -> None:
    taken = upload(dataset, a_txt=b"One.")
    with tenant_context(acme):
        Document.objects.all().delete()
    job = job_runner.run(taken.files[0].document.job_id)
    assert (job.state, job.error_type) == (JobState.DISCARDED, "document_gone")


def test_requeued_dead_letter_takes_the_document_over(acme: Tenant, dataset: Dataset, job_runner: JobRunner) -> None:
    taken = upload(dataset, a_txt=b"One.")
    document_id = str(taken.files[0].document.pk)
    request = JobRequest(kind="document_indexing", payload={"document_id": document_id})
    other = submit_job(tenant=acme, request=request).job
    assert job_runner.run(other.pk).state == JobState.COMPLETED
    document = document_of(taken)
    assert (document.job_id, document.shown_status) == (other.pk, "completed")
    # The first job finds its work done.
    assert job_runner.run(taken.files[0].document.job_id).state == JobState.COMPLETED
    assert positions_of(document) == [0]


@pytest.mark.parametrize("batch_chunks", [4, 1_000])
def test_later_of_two_jobs_of_a_document_wins_without_double_chunks(
    acme: Tenant, dataset: Dataset, job_runner: JobRunner, monkeypatch: pytest.MonkeyPatch, batch_chunks: int
) -> None:
    monkeypatch.setattr(processor, "BATCH_CHUNKS", batch_chunks)
    taken = upload(dataset, queues_txt=SENTENCES.encode())
    request = JobRequest(kind="document_indexing", payload={"document_id": str(taken.files[0].document.pk)})
    rival = submit_job(tenant=acme, request=request).job
    embed = steps.embed
    has_run: list[UUID] = []

    def let_the_rival_pass(*arguments: Any) -> EmbeddedBatch:
        if not has_run:
            has_run.append(rival.pk)
            assert job_runner.run(rival.pk).state == JobState.COMPLETED
        return embed(*arguments)

    monkeypatch.setattr(steps, "embed", let_the_rival_pass)
    first = job_runner.run(taken.files[0].document.job_id)
    assert (first.state, first.error_type) == (JobState.DISCARDED, "document_gone")
    document = document_of(taken)
    assert document.shown_status == "completed"
    assert positions_of(document) == list(range(document.chunks_total))


def test_document_of_another_tenant_is_missing_for_a_job(
    globex: Tenant, dataset: Dataset, job_runner: JobRunner
) -> None:
    taken = upload(dataset, a_txt=b"One.")
    request = JobRequest(kind="document_indexing", payload={"document_id": str(taken.files[0].document.pk)})
    job = job_runner.run(submit_job(tenant=globex, request=request).job.pk)
    assert (job.state, job.error_type) == (JobState.DISCARDED, "document_gone")
    assert document_of(taken).shown_status == "waiting"


def test_document_without_a_sandbox_waits_and_uses_no_attempt(
    dataset: Dataset,
    job_runner: JobRunner,
    monkeypatch: pytest.MonkeyPatch,
    change_platform_settings: ChangePlatformSettings,
) -> None:
    change_platform_settings(EXTRACTION_WITHOUT_SANDBOX=False)
    monkeypatch.setattr(extractor, "CHILD_MODULE", "tests.security.bare_parser")
    taken = upload(dataset, a_txt=b"one two three")
    job = job_runner.run(taken.files[0].document.job_id)
    assert (job.state, job.attempt, job.crash_count) == (JobState.SCHEDULED, 0, 0)
    document = document_of(taken)
    assert (document.shown_status, document.shown_error_code) == ("waiting", "sandbox_unavailable")
    with all_tenants():
        explanation = why_waiting(job)
    assert explanation is not None
    assert explanation.reasons[0].code == "sandbox_unavailable"
