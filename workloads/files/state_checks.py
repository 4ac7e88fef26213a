"""Consistency checks of files: of contents with the storage, of references with contents, and of the counters."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django.utils.translation import gettext_noop

from scheduling.consistency.registry import (
    NEVER,
    CheckPage,
    CheckRange,
    ConsistencyFault,
    FaultKind,
    RepairOrder,
    StateCheck,
)
from scheduling.consistency.walk import check_stored_counter, page_of_one, read_rows
from tenants.context import all_tenants
from workloads.files.models import Content
from workloads.files.references import file_references, used_keys
from workloads.files.space import STORAGE_COUNTER
from workloads.files.store import missing_files

# Each is a request to the storage, which may be remote.
FILE_ROWS = 200
ROWS = 1_000
UNUSED_AFTER = timedelta(days=1)
NO_FILE = FaultKind("content_without_file", gettext_noop("The file of a content is missing from the storage."))
NO_CONTENT = FaultKind("reference_without_content", gettext_noop("A row refers to a content that does not exist."))
UNUSED = FaultKind("unused_content", gettext_noop("A content has had no reference for a day."))
BYTES = FaultKind(
    "storage_counter",
    gettext_noop("A tenant's counter of bytes differs from the sum over its contents."),
    "Writes the sum over the contents.",
)


def check_files(piece: CheckRange) -> CheckPage:
    """Find contents whose files are not in the storage."""
    with all_tenants():
        rows, look = read_rows(Content.objects.all(), piece, FILE_ROWS)
    missing = set(missing_files([row.key for row in rows]))
    faults = [ConsistencyFault(NO_FILE.code, row.tenant_id, row.key) for row in rows if row.key in missing]
    return replace(look, faults=faults)


def check_use(piece: CheckRange) -> CheckPage:
    """Find contents without a reference that the hourly clean-up should have deleted."""
    with all_tenants():
        rows, look = read_rows(Content.objects.filter(held_until__lte=Now() - UNUSED_AFTER), piece, ROWS)
        used = used_keys([row.key for row in rows])
    unused = [row for row in rows if row.key not in used]
    return replace(look, faults=[ConsistencyFault(UNUSED.code, row.tenant_id, row.key) for row in unused])


def check_references(piece: CheckRange) -> CheckPage:
    """Find rows that refer to a content which does not exist, one field after the other."""
    number = int(str(piece.after.get("field", 0)))
    references = file_references()
    if number >= len(references):
        return CheckPage(replace(piece, until={}))
    model, field = references[number]
    with all_tenants():
        kept = Content.objects.filter(tenant_id=OuterRef("tenant_id"), key=OuterRef(field))
        rows, look = read_rows(model.objects.all(), piece, ROWS)
        lost = model.objects.filter(~Exists(kept), pk__in=[row.pk for row in rows]).exclude(**{field: ""})
        faults = [
            ConsistencyFault(NO_CONTENT.code, row.tenant_id, str(row.pk), f"{model._meta.label}: {getattr(row, field)}")
            for row in lost.exclude(**{field: None})
        ]
    following = {"field": number + 1} if number + 1 < len(references) else None
    here = {"field": number}
    return CheckPage(
        replace(piece, until={**here, **(look.piece.until or {})}),
        faults,
        following if look.next is None else {**here, **look.next},
    )


def check_bytes(piece: CheckRange) -> CheckPage:
    """Compare each tenant's counter of bytes with the sum over its contents."""
    detail = gettext_noop(
        "Tenant %(tenant)s: the counter %(counter)s is %(counted)s, but its contents add up to %(recounted)s."
    )
    return check_stored_counter(piece, STORAGE_COUNTER, BYTES, detail)


def repair_bytes(order: RepairOrder) -> None:
    """Set a tenant's counter of bytes to the sum over its contents."""
    assert order.tenant_id is not None  # every counter has one
    STORAGE_COUNTER.verify_page(page_of_one(order.tenant_id), repair=True)


CHECKS = (
    # The upkeep task of orphan files checks these.
    StateCheck("content_files", (NO_FILE,), check_files, interval=NEVER),
    StateCheck("file_references", (NO_CONTENT,), check_references),
    StateCheck("unused_contents", (UNUSED,), check_use),
    StateCheck(
        "storage",
        (BYTES,),
        check_bytes,
        repair_bytes,
        interval=timedelta(days=1),
        title=gettext_noop("File storage"),
        text=gettext_noop("Adds up the bytes of every tenant's contents and compares them with its counter."),
    ),
)
