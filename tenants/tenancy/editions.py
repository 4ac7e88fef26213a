"""Editions: what a row was when somebody read it, so that nobody overwrites unseen what another has saved meanwhile.

Whoever edits a row by API or console holds it first: others who edit it wait until the edit is committed, and then see
what it has become. The lock stands for the row and is taken before any other, so it makes no ring with any.
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
    code = "stale"
    category = "stale"
    title = gettext_noop("It has changed since it was read.")


def edition_of(row: models.Model) -> str:
    """Return the version if every change of the row raises it, else a digest of all that is stored of the row."""
    version = getattr(row, "version", None)
    if isinstance(version, int) and getattr(row, "is_edited_by_version", True):
        return str(version)
    values = [field.value_to_string(row) for field in row._meta.concrete_fields]
    return digest_of(values)


def digest_of(value: Any) -> str:
    """A short text that is another one for another value."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]


def hold_for_edit(model: type[models.Model], key: object) -> None:
    """Have others who edit the row of this key wait until the transaction ends. Keys of rows belong to one tenant."""
    LockClass.EDITED_ROW.hold(f"{model._meta.label_lower}:{key}")


def refuse_stale(row: models.Model, editions: Collection[str] | None, *, error: type[DomainError] = StaleError) -> None:
    """Raise ``error`` unless the held row is at one of the editions; None takes any."""
    current = edition_of(row)
    if editions is not None and current not in editions:
        raise error(f"It is at {current} now.", headers={"ETag": f'"{current}"'})
