"""Files of waiting documents, fetched to this machine before a worker of a pool begins their jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.apps import apps

from tenants.context import all_tenants
from tenants.database.ids import id_of
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql
from tenants.encryption.fields import open_readable_rows
from workloads.documents.indexing.processor import DocumentIndexing
from workloads.documents.models import Document
from workloads.files.ahead import fetch_ahead
from workloads.files.cache import MIB, file_cache
from workloads.files.store import StoredContent

# At a time. A line's jobs run one after another; beyond these, the files are fetched a little later.
MOST_JOBS: Final = 64
_LINES, _OF_LINE = 64, 32
_FIRST_JOBS = load_sql(__file__)["first_jobs"]


def fetch_files_ahead(pool: str) -> tuple[int, int]:
    """Fetch the files of the pool's next documents, a quarter of the cache's space at most.

    Return the number of files and of bytes that were fetched.
    """
    if (kept := file_cache()) is None:
        return 0, 0
    found = fetch_ahead(_next_contents(pool), most_bytes=platform_settings.FILE_CACHE_MIB * MIB // 4)
    kept.trim()
    return found


def _next_contents(pool: str) -> Sequence[StoredContent]:
    """Return the contents of the documents that the pool's jobs index next, in the order of the jobs."""
    values: dict[str, Any] = {"pool": pool, "kind": DocumentIndexing.kind}
    values |= {"lines": _LINES, "of_line": _OF_LINE, "most": MOST_JOBS}
    # By name: a plug-in imports no models of the scheduler.
    jobs: Any = apps.get_model("scheduling", "Job")
    with all_tenants():
        order = [row.id for row in fetch_all(_FIRST_JOBS, values)]
        rows = jobs.objects.filter(pk__in=order).values_list("pk", "tenant_id", "payload")
        payloads = dict(open_readable_rows(jobs, "payload", rows))
        named = [id_of(payloads[job_id].get("document_id")) for job_id in order if job_id in payloads]
        documents = Document.objects.in_bulk([document_id for document_id in named if document_id])
    wanted = [documents[document_id] for document_id in named if document_id in documents]
    return [StoredContent(row.storage_key, row.sha256, row.size_bytes) for row in wanted if row.storage_key]
