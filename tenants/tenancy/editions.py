"""Optimistic locking: an edit names the version of the row that was read, so that other edits are not overwritten.

An edit by the API or the console first takes the row's edit lock: other edits wait until it is committed, and then see
its result. The lock is taken before any other, so it cannot deadlock with them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from typing import Any

from django.db import models
from django.utils.translation import gettext_noop

from tenants.database.locks import LockClass
from tenants.exceptions import DomainError

_DIGITS = 16


class StaleError(DomainError):
    code, category, title = "stale", "stale", gettext_noop("The object has changed since it was read.")


def edition_of(row: models.Model) -> str:
    """Return the version of a row as text.

    It is the row's `version` if every change increments that, else a digest of its `edited_values()` or of all columns.
    """
    version = getattr(row, "version", None)
    if isinstance(version, int) and getattr(row, "is_edited_by_version", True):
        return str(version)
    edited = getattr(row, "edited_values", None)
    return digest_of(
        [field.value_to_string(row) for field in row._meta.concrete_fields] if edited is None else edited()
    )


def digest_of(value: Any) -> str:
    """Return a short digest of a value that can be encoded as JSON."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]


def hold_for_edit(model: type[models.Model], key: object) -> None:
    """Take the edit lock of the row with this primary key until the transaction ends."""
    LockClass.EDITED_ROW.hold(f"{model._meta.label_lower}:{key}")


def refuse_stale(row: models.Model, editions: Collection[str] | None, *, error: type[DomainError] = StaleError) -> None:
    """Raise ``error`` if the row's current version is none of ``editions``; None accepts any version."""
    current = edition_of(row)
    if editions is not None and current not in editions:
        raise error(f"It is at version {current} now.", headers={"ETag": f'"{current}"'})
