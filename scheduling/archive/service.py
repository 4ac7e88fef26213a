"""Services of the archive: write ended jobs into an object before they are deleted, find them, and restore them.

The row of an object is committed before the object is written, and completed in the transaction that deletes its jobs.
So a process that is killed between leaves the jobs and an unfinished row, by which the object is removed.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Sequence
from datetime import timedelta
from itertools import batched
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Now

from scheduling.archive import store
from scheduling.archive.exceptions import ArchiveTakenOverError, NotArchivedError
from scheduling.archive.models import ArchiveObject
from scheduling.archive.rows import insert_jobs, read_jobs
from tenants.audit.service import record_audit
from tenants.context import all_tenants, tenant_context
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7
from tenants.database.reads import first_or_raise
from tenants.encryption.file_seal import opened_pieces, sealed_bytes

# Jobs that are read at once, and bytes of lines after which an object ends.
_JOBS_AT_ONCE: Final = 50
_OBJECT_BYTES: Final = 16 * 1024 * 1024
# No object is written for longer.
_UNFINISHED: Final = timedelta(hours=1)


def begin_object(tenant_id: UUID) -> ArchiveObject | None:
    """Create the row of a new object, to be committed before the object is written; return None without an archive."""
    if not store.is_archiving():
        return None
    object_id = uuid7()
    key = f"{tenant_id}/{read_clock():%Y-%m-%d}/{object_id}.jsonl.gz"
    return ArchiveObject.objects.create(id=object_id, tenant_id=tenant_id, key=key)


def write_object(entry: ArchiveObject, floor: UUID, job_ids: Sequence[UUID]) -> list[UUID]:
    """Write locked jobs into an object and complete its row; return the ids of those that it has, which may be fewer.

    The caller deletes them in the same transaction. Raise ArchiveUnavailableError.
    """
    lines: list[bytes] = []
    size = 0
    for page in batched(job_ids, _JOBS_AT_ONCE):
        found = read_jobs(entry.tenant_id, floor, page)
        lines += found
        size += sum(map(len, found))
        if size > _OBJECT_BYTES:
            break
    written = list(job_ids[: len(lines)])
    if not written:
        entry.delete()
        return []
    data = sealed_bytes(gzip.compress(b"".join(lines), mtime=0), entry.tenant_id, entry.key)
    store.put(entry.key, data)
    facts = {"first_id": min(written), "last_id": max(written), "job_ids": written, "job_count": len(written)}
    facts |= {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "stored_at": Now()}
    if not ArchiveObject.objects.filter(pk=entry.pk, stored_at=None).update(**facts):
        raise ArchiveTakenOverError(entry.key)
    return written


def remove_unfinished() -> None:
    """Remove objects, and their rows, whose process was killed or could not write them."""
    with all_tenants():
        old = ArchiveObject.objects.filter(stored_at=None, begun_at__lt=Now() - _UNFINISHED)
        found = list(old.values_list("pk", "key"))
    for object_id, key in found:
        with all_tenants():
            # First the row: a process that is late cannot complete it then.
            if ArchiveObject.objects.filter(pk=object_id, stored_at=None).delete()[0]:
                store.delete(key)


def objects_with(job_id: UUID) -> QuerySet[ArchiveObject]:
    """Return the objects of the current scope with a job, the newest first."""
    rows = ArchiveObject.objects.filter(first_id__lte=job_id, last_id__gte=job_id, job_ids__contains=[job_id])
    return rows.select_related("tenant").order_by("-pk")


def find_object(job_id: UUID) -> ArchiveObject:
    """Return the newest object with a job of the current scope; raise NotArchivedError."""
    return first_or_raise(objects_with(job_id), NotArchivedError)


def read_lines(entry: ArchiveObject, job_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """Return the parsed lines of jobs of an object: `id`, and the `rows` by table.

    Raise ArchiveDamagedError or ArchiveUnavailableError, or DataKeyUnavailableError if they are encrypted.
    """
    wanted = tuple(f'{{"id": "{job_id}"'.encode() for job_id in job_ids)
    pieces = opened_pieces(io.BytesIO(store.read(entry)), entry.tenant_id, entry.key)
    lines = gzip.decompress(b"".join(pieces)).splitlines()
    return [json.loads(line) for line in lines if line.startswith(wanted)]


def restore_jobs(
    entry: ArchiveObject, job_ids: Sequence[UUID], *, keep: timedelta, reason: str = "", is_trial: bool = False
) -> list[UUID]:
    """Insert jobs of an object again, with what belonged to them; return the ids of those that did not exist.

    Retention keeps them for the time ``keep``. With ``is_trial`` the object is only verified. Raise NotRestorableError,
    ArchiveDamagedError or ArchiveUnavailableError.
    """
    jobs = read_lines(entry, job_ids)
    if is_trial:
        return [UUID(job["id"]) for job in jobs]
    with tenant_context(entry.tenant_id):
        restored = insert_jobs(entry.tenant_id, jobs)
        locked = ArchiveObject.objects.select_for_update(no_key=True).get(pk=entry.pk)
        locked.restored_ids = sorted({*locked.restored_ids, *restored})
        locked.restored_until = read_clock() + keep
        locked.save(update_fields=["restored_ids", "restored_until"])
        after = {"jobs": len(restored), "existing": len(jobs) - len(restored), "until": locked.restored_until}
        record_audit(action="archive.restored", target=locked, after=after, reason=reason)
    return restored
