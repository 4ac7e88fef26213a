"""Encryption of values that were stored before a master key was set, page by page; it can be repeated."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import sql

from scheduling.models import (
    Batch,
    BulkOperation,
    Compensation,
    DeadLetter,
    Execution,
    Job,
    JobError,
    JobTemplateVersion,
    OutboxMessage,
    Schedule,
)
from tenants.context import all_tenants
from tenants.database.prepared import execute
from tenants.encryption.data_keys import preload_keys, require_keys
from tenants.encryption.error_texts import SealedErrorField
from tenants.encryption.fields import SealedField, SealedValue, digest_of
from tenants.encryption.service import FIRST, require_master_key

# With their values, which may be large.
PAGE_ROWS = 200
MODELS: tuple[type[Any], ...] = (
    Job,
    Schedule,
    BulkOperation,
    JobTemplateVersion,
    Batch,
    Compensation,
    OutboxMessage,
    DeadLetter,
    Execution,
    JobError,
)
_UPDATE = sql.SQL(
    "UPDATE {table} t SET {changes} FROM jsonb_to_recordset(%s::jsonb) AS v(id uuid, {columns}) WHERE t.id = v.id"
)


@dataclass(frozen=True, slots=True)
class SealedPage:
    """Number of rows that were encrypted on a page. ``last`` is the id of its last row, None at the table's end."""

    sealed: int
    last: UUID | None


def sealed_models() -> list[type[Any]]:
    """Return the models whose plain values are encrypted: MODELS, and those of the apps beside the platform."""
    found = {field.model: None for field in SealedField.all_fields}
    return [*MODELS, *(model for model in found if model._meta.app_label not in ("scheduling", "tenants"))]


def sealed_columns(model: type[Any]) -> list[SealedField]:
    """Return the encrypted fields of a model."""
    return [field for field in SealedField.all_fields if field.model is model]


def seal_page(model: type[Any], *, after: UUID = FIRST, most: int = PAGE_ROWS) -> SealedPage:
    """Encrypt the plain values in the next ``most`` rows of a model.

    Values that others write meanwhile are encrypted by them.
    """
    require_master_key()
    fields = sealed_columns(model)
    with all_tenants():
        read = ["tenant_id", *(field.name for field in fields), *getattr(model, "sealed_by", ())]
        read += [field.owner for field in fields if isinstance(field, SealedErrorField) and field.owner]
        read += ["payload_hash"] if model is Job else []
        rows = model._default_manager.only(*read).order_by("pk")
        page = list(rows.filter(pk__gt=after)[:most])
        plain = [row.pk for row in page if any(_is_plain(row, field) for field in fields)]
        # Read again under the lock: a running job may have stored a checkpoint meanwhile.
        locked = list(rows.filter(pk__in=plain).select_for_update(no_key=True, of=("self",)))
        tenants = {row.tenant_id for row in locked}
        preload_keys(tenants)
        for tenant_id in tenants:
            require_keys(tenant_id)
        _write(model, fields, [_sealed(row, fields) for row in locked])
    return SealedPage(len(locked), page[-1].pk if page else None)


def _is_plain(row: Any, field: SealedField) -> bool:
    value = row.__dict__[field.attname]
    return bool(value) and type(value) is not SealedValue and row.tenant_id is not None


def _sealed(row: Any, fields: list[SealedField]) -> dict[str, Any]:
    """Return the changed columns of a row; if a job's payload was plain, also the new hash of its request."""
    new: dict[str, Any] = {
        field.attname: field.stored(row.__dict__[field.attname], tenant_id=row.tenant_id, row_id=field.id_of(row))
        for field in fields
        if _is_plain(row, field)
    }
    if "payload" in new and isinstance(row, Job):
        new["payload_hash"] = digest_of(row.tenant_id, bytes(row.payload_hash)).hex()
    return {"id": str(row.pk), **new}


def _write(model: type[Any], fields: list[SealedField], rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    names = [field.attname for field in fields]
    changes: list[sql.Composable] = [
        sql.SQL("{0} = coalesce(v.{0}, t.{0})").format(sql.Identifier(name)) for name in names
    ]
    columns: list[sql.Composable] = [
        sql.SQL("{} " + field.column_type).format(sql.Identifier(field.attname)) for field in fields
    ]
    if model is Job:
        changes.append(sql.SQL("payload_hash = coalesce(decode(v.payload_hash, 'hex'), t.payload_hash)"))
        columns.append(sql.SQL("payload_hash text"))
    statement = _UPDATE.format(
        table=sql.Identifier(model._meta.db_table),
        changes=sql.SQL(", ").join(changes),
        columns=sql.SQL(", ").join(columns),
    )
    execute(statement.as_string(None), [json.dumps(rows)], is_planned=True)
