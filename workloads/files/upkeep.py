"""Upkeep of files: it deletes contents that no row refers to, and reports files that are missing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.core.files.storage import default_storage
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_noop

from scheduling.upkeep.registry import UpkeepBudget, UpkeepStep, UpkeepTask
from tenants.context import all_tenants, tenant_context
from tenants.database.prepared import fetch_one
from tenants.database.sql import load_sql
from tenants.translation import LocalizableText
from workloads.files.models import Content
from workloads.files.references import used_keys
from workloads.files.store import discard_unused, missing_files

# A file is written before its row is committed; younger files are skipped.
GRACE = timedelta(hours=24)
# Contents whose files are checked in one step: on a remote storage each is a request.
FILES_PER_STEP = 200
_SWEEP_ARTIFACTS = load_sql(__file__)["sweep_artifacts"]
# Before the first id.
FIRST = UUID(int=0)
HOURLY, DAILY = timedelta(hours=1), timedelta(days=1)


def sweep_contents(budget: UpkeepBudget) -> UpkeepStep:
    """Delete contents that no row refers to and that are no longer held, one batch per step."""
    after = str(budget.cursor.get("content", ""))
    with all_tenants():
        rows = list(_contents(after).filter(held_until__lte=Now())[: budget.batch_rows])
        used = used_keys([row.key for row in rows])
    unused = [row for row in rows if row.key not in used]
    removed = sum(discard_unused(row.tenant_id, row.key) for row in unused)
    return _page({"contents": len(rows), "files_removed": removed}, rows, [], is_full=len(rows) == budget.batch_rows)


def sweep_artifacts(budget: UpkeepBudget) -> UpkeepStep:
    """Delete artifacts whose jobs were deleted, one batch per step; their contents are then unused."""
    after = str(budget.cursor.get("artifact", FIRST))
    with all_tenants():
        swept = fetch_one(_SWEEP_ARTIFACTS, {"after": after, "rows": budget.batch_rows}, is_planned=True)
    is_full = swept.seen == budget.batch_rows
    counts = {"artifacts": swept.seen, "artifacts_removed": swept.removed}
    return UpkeepStep(counts, has_more=is_full, cursor={"artifact": str(swept.last)} if is_full else {})


def sweep_files(budget: UpkeepBudget) -> UpkeepStep:
    """Delete files without a content, one folder of the storage per step; then find contents without a file."""
    if "content" in budget.cursor:
        return _find_missing_files(str(budget.cursor["content"]))
    folder = _next_folder(str(budget.cursor.get("folder", "")))
    if folder is None:
        return UpkeepStep(has_more=True, cursor={"content": ""})
    return UpkeepStep(_sweep_folder(folder), has_more=True, cursor={"folder": folder})


def _next_folder(after: str) -> str | None:
    """Return the next ``tenant/xx`` of the storage in order; None after the last."""
    for tenant in sorted(_folders("")):
        # A tenant's folders sort between its name and its name with the last of all shards.
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
    """Delete files without a content; files of contents belong to the other task."""
    tenant = folder.split("/", 1)[0]
    try:
        tenant_id = UUID(tenant)
    except ValueError:
        return {"foreign_folders": 1}  # not one of a tenant: left alone and reported
    keys = [f"{folder}/{name}" for name in default_storage.listdir(folder)[1]]
    with tenant_context(tenant_id):
        known = set(Content.objects.filter(key__in=keys).values_list("key", flat=True))
    orphans = [key for key in keys if key not in known and _is_old(key)]
    removed = sum(discard_unused(tenant_id, key) for key in orphans)
    return {"files": len(keys), "files_removed": removed}


def _is_old(key: str) -> bool:
    try:
        stored_at: datetime = default_storage.get_modified_time(key)
    except FileNotFoundError:
        return False  # deleted concurrently
    return timezone.now() - stored_at > GRACE


def _find_missing_files(after: str) -> UpkeepStep:
    with all_tenants():
        rows = list(_contents(after)[:FILES_PER_STEP])
    missing = missing_files([row.key for row in rows])
    findings = [LocalizableText("The file of content %(key)s is missing.", {"key": key}) for key in missing]
    return _page({"contents": len(rows)}, rows, findings, is_full=len(rows) == FILES_PER_STEP)


def _contents(after: str) -> QuerySet[Content]:
    contents: QuerySet[Content] = Content.objects.order_by("pk")
    return contents.filter(pk__gt=after) if after else contents


def _page(
    counts: dict[str, int], rows: list[Content], findings: Sequence[LocalizableText], *, is_full: bool
) -> UpkeepStep:
    cursor = {"content": str(rows[-1].pk)} if is_full else {}
    return UpkeepStep(counts, has_more=is_full, cursor=cursor, findings=findings)


TASKS = (
    UpkeepTask(
        "artifacts",
        gettext_noop("Artifacts"),
        gettext_noop("Deletes the artifacts of deleted jobs."),
        HOURLY,
        sweep_artifacts,
    ),
    UpkeepTask(
        "unused_files",
        gettext_noop("Unused files"),
        gettext_noop("Deletes contents that no row refers to and that are no longer reserved for one."),
        HOURLY,
        sweep_contents,
    ),
    UpkeepTask(
        "orphan_files",
        gettext_noop("Orphan files"),
        gettext_noop("Deletes stored files without a content after a day; reports contents without a file."),
        DAILY,
        sweep_files,
    ),
)
