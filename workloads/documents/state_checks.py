"""Consistency checks of documents against their jobs and chunks, and of the counters of chunks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from django.db.models import Exists, OuterRef
from django.utils.translation import gettext_noop

from scheduling.consistency.registry import CheckPage, CheckRange, ConsistencyFault, FaultKind, RepairOrder, StateCheck
from scheduling.consistency.walk import Table, check_stored_counter, page_of_one, read_rows
from tenants.context import all_tenants
from tenants.database.sql import load_sql
from tenants.translation import LocalizableText
from workloads.documents.models import Chunk, Document
from workloads.documents.queries import FOUND_CHUNKS, describe_chunk_difference
from workloads.documents.space import CHUNK_COUNTER

CHUNK_ROWS = 1_000
DAILY = timedelta(days=1)
NO_JOB = FaultKind(
    "document_without_job", gettext_noop("A document of the last day waits for a job that does not exist.")
)
CHUNKS = FaultKind("document_chunks", gettext_noop("A document's chunk counts differ from its chunks."))
ORPHAN = FaultKind(
    "orphan_chunk",
    gettext_noop("A chunk belongs to no document, or to one of another dataset."),
    "Deletes it: only searches can reach it.",
)
SPACE = FaultKind(
    "space_counter",
    gettext_noop("A tenant's counter of chunks differs from the sum over its documents."),
    "Writes the sum over the documents.",
)
_SQL = load_sql(__file__)
_JOBS = _SQL["find_without_job"]


_ORPHANS = _SQL["find_orphans"]


def check_jobs(piece: CheckRange) -> CheckPage:
    """Find documents that wait for a job which does not exist."""
    return Table("retrieval_document").look(_JOBS, piece)


def check_chunks(piece: CheckRange) -> CheckPage:
    """Find documents whose stored numbers of chunks differ from the chunks that exist."""
    with all_tenants():
        rows, look = read_rows(Document.objects.all(), piece, CHUNK_ROWS)
        counted = Document.objects.filter(pk__in=[row.pk for row in rows]).annotate(**FOUND_CHUNKS)
        faults = [_chunk_fault(row, difference) for row in counted if (difference := describe_chunk_difference(row))]
    return replace(look, faults=faults, counts={"documents": len(rows)})


def _chunk_fault(document: Document, difference: LocalizableText) -> ConsistencyFault:
    values = {"document": document.pk, "difference": difference}
    detail = LocalizableText("Document %(document)s %(difference)s.", values)
    return ConsistencyFault(CHUNKS.code, document.tenant_id, str(document.pk), detail)


def check_orphans(piece: CheckRange) -> CheckPage:
    """Find chunks that belong to no document of their dataset."""
    return Table("retrieval_chunk").look(_ORPHANS, piece)


def repair_orphans(order: RepairOrder) -> None:
    """Delete those of the reported chunks that still belong to no document."""
    assert order.tenant_id is not None  # every chunk has one
    documents = Document.objects.filter(
        pk=OuterRef("document_id"), tenant_id=OuterRef("tenant_id"), dataset_id=OuterRef("dataset_id")
    )
    Chunk.objects.filter(~Exists(documents), tenant_id=order.tenant_id, pk__in=order.subjects).delete()


def check_space(piece: CheckRange) -> CheckPage:
    """Compare each tenant's counter of chunks with the sum over its documents."""
    detail = gettext_noop(
        "Tenant %(tenant)s: the counter %(counter)s is %(counted)s, but its documents add up to %(recounted)s."
    )
    return check_stored_counter(piece, CHUNK_COUNTER, SPACE, detail)


def repair_space(order: RepairOrder) -> None:
    """Set a tenant's counter of chunks to the sum over its documents."""
    assert order.tenant_id is not None  # every counter has one
    CHUNK_COUNTER.verify_page(page_of_one(order.tenant_id), repair=True)


CHECKS = (
    StateCheck("document_jobs", (NO_JOB,), check_jobs),
    # Before the count, which is correct again without them.
    StateCheck("orphan_chunks", (ORPHAN,), check_orphans, repair_orphans),
    StateCheck(
        "chunks",
        (CHUNKS,),
        check_chunks,
        interval=DAILY,
        title=gettext_noop("Chunks"),
        text=gettext_noop("Counts the chunks of every document and compares them with its stored counts."),
    ),
    StateCheck(
        "space",
        (SPACE,),
        check_space,
        repair_space,
        interval=DAILY,
        title=gettext_noop("Vector space"),
        text=gettext_noop("Adds up the chunks of every tenant's documents and compares them with its counter."),
    ),
)
