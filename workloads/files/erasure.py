"""Eraser of a tenant's files in the storage.

The rows that refer to them are deleted by the other steps of the erasure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from uuid import UUID

from django.core.files.storage import default_storage

from tenants.erasure.erasers import Erased, Eraser
from workloads.files.cache import forget
from workloads.files.store import at_once


def erase(tenant_id: UUID, most: int) -> Erased:
    """Delete up to `most` of the tenant's files, whether rows refer to them or not."""
    keys = list(islice(_files(str(tenant_id)), most))
    at_once(default_storage.delete, keys)
    for key in keys:
        forget(key)
    return Erased(is_done=len(keys) < most, removed={"files": len(keys)})


def count(tenant_id: UUID) -> Mapping[str, int]:
    """Return the number of the tenant's files in the storage."""
    return {"files": sum(1 for _ in _files(str(tenant_id)))}


def _files(folder: str) -> Iterator[str]:
    try:
        folders, names = default_storage.listdir(folder)
    except FileNotFoundError:  # nothing was ever stored
        return
    yield from (f"{folder}/{name}" for name in names)
    for name in folders:
        yield from _files(f"{folder}/{name}")


ERASER = Eraser(erase, count)
