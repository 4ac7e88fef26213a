"""Upkeep of files and chunks: what the storage holds for nobody goes, what rows miss is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.core.files.storage import default_storage
from django.db.models import Count, QuerySet
from django.utils import timezone

from scheduling.processors.retrieval.models import Document
from scheduling.processors.retrieval.space import SpaceDifference, verify_space_page
from scheduling.processors.retrieval.storage import discard_unused_file
from scheduling.services.upkeep.registry import Budget, Step, UpkeepTask
from scheduling.services.upkeep.verification import step_page
from tenants.context import all_tenants, tenant_context

# An upload stores its file before its document is committed; nothing this young is looked at.
GRACE = timedelta(hours=24)
# Documents whose files are asked for in one step: on a remote storage each is a request.
FILES_PER_STEP = 200
DAILY = timedelta(days=1)


def sweep_files(budget: Budget) -> Step:
    """First one folder of the storage a step, then some documents a step."""
    if "document" in budget.cursor:
        return _find_missing_files(str(budget.cursor["document"]))
    folder = _next_folder(str(budget.cursor.get("folder", "")))
    if folder is None:
        return Step(has_more=True, cursor={"document": ""})
    return Step(_sweep_folder(folder), has_more=True, cursor={"folder": folder})


def check_chunks(budget: Budget) -> Step:
    """Each document has as many chunks as it says."""
    after = str(budget.cursor.get("document", ""))
    with all_tenants():
        rows = list(_documents(after).annotate(found=Count("chunks"))[: budget.batch_rows])
    findings = [
        f"Document {row.pk} says {row.chunks_done} chunks and has {row.found}."
        for row in rows
        if row.found != row.chunks_done
    ]
    return _page({"documents": len(rows)}, rows, findings, is_full=len(rows) == budget.batch_rows)


def check_space(budget: Budget) -> Step:
    """Each tenant's counters of chunks and bytes are what its documents add up to."""
    return step_page(budget, lambda page: map(_tell_space, verify_space_page(page)))


def _tell_space(row: SpaceDifference) -> str:
    return f"Tenant {row.tenant_id} is counted {row.counted:,} of {row.key}; its documents add up to {row.recounted:,}."


def _next_folder(after: str) -> str | None:
    """The next ``tenant/xx`` of the storage in order, None behind the last."""
    for tenant in sorted(_folders("")):
        # A tenant's folders lie between its name and its name with the last of all shards.
        if after and tenant < after.split("/", 1)[0]:
            continue
        for shard in sorted(_folders(tenant)):
            if (folder := f"{tenant}/{shard}") > after:
                return folder
    return None


def _folders(path: str) -> list[str]:
    try:
        folders: list[str] = default_storage.listdir(path)[0]
    except FileNotFoundError:
        return []  # nothing was ever stored
    return folders


def _sweep_folder(folder: str) -> dict[str, int]:
    tenant = folder.split("/", 1)[0]
    try:
        tenant_id = UUID(tenant)
    except ValueError:
        return {"foreign_folders": 1}  # not ours: left alone, and told
    keys = [f"{folder}/{name}" for name in default_storage.listdir(folder)[1]]
    with tenant_context(tenant_id):
        used = set(Document.objects.filter(storage_key__in=keys).values_list("storage_key", flat=True))
    orphans = [key for key in keys if key not in used and _is_old(key)]
    removed = sum(discard_unused_file(tenant_id, key) for key in orphans)
    return {"files": len(keys), "files_removed": removed}


def _is_old(key: str) -> bool:
    try:
        stored_at: datetime = default_storage.get_modified_time(key)
    except FileNotFoundError:
        return False  # somebody else has just deleted it
    return timezone.now() - stored_at > GRACE


def _find_missing_files(after: str) -> Step:
    with all_tenants():
        rows = list(_documents(after)[:FILES_PER_STEP])
    findings = [f"Document {row.pk} has no file." for row in rows if not default_storage.exists(row.storage_key)]
    return _page({"documents": len(rows)}, rows, findings, is_full=len(rows) == FILES_PER_STEP)


def _documents(after: str) -> QuerySet[Document]:
    documents: QuerySet[Document] = Document.objects.order_by("pk")
    return documents.filter(pk__gt=after) if after else documents


def _page(counts: dict[str, int], rows: Sequence[Document], findings: Sequence[str], *, is_full: bool) -> Step:
    cursor = {"document": str(rows[-1].pk)} if is_full else {}
    return Step(counts, has_more=is_full, cursor=cursor, findings=findings)


TASKS = (
    UpkeepTask(
        "orphan_files",
        "Orphan files",
        "Removes stored files that no document refers to, a day after; tells of documents without their file.",
        DAILY,
        sweep_files,
    ),
    UpkeepTask(
        "verify_chunks",
        "Chunks",
        "Counts the chunks of every document and compares them with what it says.",
        DAILY,
        check_chunks,
    ),
    UpkeepTask(
        "verify_space",
        "Vector space and storage",
        "Adds up chunks and bytes of every tenant's documents and compares them with its counters.",
        DAILY,
        check_space,
    ),
)
