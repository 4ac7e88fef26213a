"""Upkeep of chunks: what documents say of them is counted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.db.models import QuerySet

from scheduling.processors.retrieval.models import Document
from scheduling.processors.retrieval.selectors import FOUND_CHUNKS, tell_chunks
from scheduling.processors.retrieval.space import CHUNK_COUNTER
from scheduling.services.upkeep.registry import VERIFICATION_SHARE, Budget, Step, UpkeepTask
from scheduling.services.upkeep.verification import step_page
from tenants.context import all_tenants
from tenants.sentences import Sentence
from tenants.services.recounts import CounterDifference

DAILY = timedelta(days=1)


def check_chunks(budget: Budget) -> Step:
    """Each document has as many chunks as it says."""
    after = str(budget.cursor.get("document", ""))
    with all_tenants():
        rows = list(_documents(after).annotate(**FOUND_CHUNKS)[: budget.batch_rows])
    findings = [
        Sentence("Document %(document)s %(difference)s.", {"document": row.pk, "difference": told})
        for row in rows
        if (told := tell_chunks(row))
    ]
    return _page({"documents": len(rows)}, rows, findings, is_full=len(rows) == budget.batch_rows)


def check_space(budget: Budget) -> Step:
    """Each tenant's counter of chunks is what its documents add up to."""
    return step_page(budget, lambda page: map(_tell_space, CHUNK_COUNTER.verify_page(page)))


def _tell_space(row: CounterDifference) -> Sentence:
    return Sentence(
        "Tenant %(tenant)s is counted %(counted)s of %(counter)s; its documents add up to %(recounted)s.", row.values()
    )


def _documents(after: str) -> QuerySet[Document]:
    documents: QuerySet[Document] = Document.objects.order_by("pk")
    return documents.filter(pk__gt=after) if after else documents


def _page(counts: dict[str, int], rows: Sequence[Document], findings: Sequence[Sentence], *, is_full: bool) -> Step:
    cursor = {"document": str(rows[-1].pk)} if is_full else {}
    return Step(counts, has_more=is_full, cursor=cursor, findings=findings)


TASKS = (
    UpkeepTask(
        "verify_chunks",
        "Chunks",
        "Counts the chunks of every document and compares them with what it says.",
        DAILY,
        check_chunks,
        share=VERIFICATION_SHARE,
    ),
    UpkeepTask(
        "verify_space",
        "Vector space",
        "Adds up the chunks of every tenant's documents and compares them with its counter.",
        DAILY,
        check_space,
        share=VERIFICATION_SHARE,
    ),
)
