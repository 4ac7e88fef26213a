"""Changes of rows that users configure: all are checked, saved and audited alike.

A topic declares its rows as a `Configured`, which its admin class and its API view name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import IntegrityError, models, transaction
from django.utils.translation import gettext_noop

from tenants.audit.service import record_audit
from tenants.context import all_tenants, current_tenant_id
from tenants.database.reads import first_or_raise
from tenants.exceptions import DomainError, FieldInvalidError
from tenants.tenancy import changes as row_changes
from tenants.tenancy.bases import OptionalTenantModel
from tenants.tenancy.changes import Difference
from tenants.translation import translate


class ConfiguredRowTakenError(DomainError):
    code, category, title = "configuration_taken", "conflict", gettext_noop("Another row has this name or position")


class ConfiguredRowsLimitError(DomainError):
    code, category, title = "configuration_limit", "limited", gettext_noop("The limit of rows is reached")


class ConfiguredRowNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such row")


@dataclass(frozen=True, slots=True)
class Configured[RowT: models.Model]:
    """Rows of one model that users configure.

    ``fields`` are those that users set, in the order of the forms. ``assign`` sets the values of a row, also those that
    are no columns, and returns what has changed. ``check`` completes a row that is about to be stored, or raises
    `FieldInvalidError`; ``check_delete`` raises the error of a row that cannot be deleted. A tenant, or the platform,
    may have ``most`` rows. Rows without a tenant's column belong to the platform.
    """

    model: type[RowT]
    fields: tuple[str, ...]
    check: Callable[[RowT], None] = lambda row: None
    check_delete: Callable[[RowT], None] = lambda row: None
    assign: Callable[[RowT, dict[str, Any]], Difference] = row_changes.assign
    most: int = 200

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the fields that are columns."""
        columns = {field.name for field in self.model._meta.fields}
        return tuple(name for name in self.fields if name in columns)

    @property
    def has_tenants(self) -> bool:
        """Return whether tenants may have rows of their own."""
        return issubclass(self.model, OptionalTenantModel)

    @property
    def joined(self) -> tuple[str, ...]:
        """Return the references that lists read with their rows."""
        return (*(("tenant",) if self.has_tenants else ()), *self.references)

    @property
    def references(self) -> frozenset[str]:
        """Return the fields that refer to other rows."""
        columns = (self.model._meta.get_field(name) for name in self.columns)
        return frozenset(field.name for field in columns if isinstance(field, models.ForeignKey))

    def save(self, row: RowT, changes: Mapping[str, Any], *, reason: str = "") -> RowT:
        """Create a row of the current scope, or change its fields.

        Raise `FieldInvalidError`, `ConfiguredRowTakenError` or `ConfiguredRowsLimitError`.
        """
        with self._scope(), transaction.atomic():
            is_new = row._state.adding
            if is_new:
                self._claim_place(row)
            difference = self.assign(row, dict(changes))
            if not is_new and not difference:
                return row
            self.check(row)
            try:
                with transaction.atomic():
                    row.save()
            except IntegrityError as error:
                raise ConfiguredRowTakenError from error
            # The reason of some rows is one of their columns.
            reason = reason or changes.get("reason", "")
            action = f"{_name_of(row)}.{'created' if is_new else 'changed'}"
            record_audit(action=action, target=row, before=difference.before, after=difference.after, reason=reason)
        return row

    def delete(self, row: RowT, *, reason: str = "") -> None:
        """Delete a row, with the rows that depend on it."""
        with self._scope(), transaction.atomic():
            self.check_delete(row)
            record_audit(action=f"{_name_of(row)}.deleted", target=row, before={"name": str(row)}, reason=reason)
            row.delete()

    def find(self, key: UUID) -> RowT:
        """Return a row of the current scope; raise `ConfiguredRowNotFoundError` if there is none."""
        rows: Any = self.model._default_manager.filter(pk=key)
        found: RowT = first_or_raise(rows, ConfiguredRowNotFoundError)
        return found

    def _scope(self) -> AbstractContextManager[None]:
        return nullcontext() if self.has_tenants else all_tenants()

    def _claim_place(self, row: RowT) -> None:
        rows = self.model._default_manager.all()
        if isinstance(row, OptionalTenantModel):
            row.tenant_id = current_tenant_id()
            rows = rows.filter(tenant=row.tenant_id)
        if rows[: self.most].count() >= self.most:
            raise ConfiguredRowsLimitError("At most %(limit)s are allowed.", {"limit": self.most})


def find_named(row: models.Model, field: str, name: str) -> Any:
    """Return the row of this name, or slug, that a field of a row may refer to; raise `FieldInvalidError` without."""
    related: Any = row._meta.get_field(field).related_model
    if issubclass(related, OptionalTenantModel):
        tenant_id = current_tenant_id() if row._state.adding else getattr(row, "tenant_id", None)
        found = related.objects.filter(tenant=tenant_id, name=name).first()
    else:
        found = related._default_manager.filter(slug=name).first()
    if found is None:
        raise FieldInvalidError.at(field, translate("There is no row with the name %(name)r.", {"name": name}))
    return found


def _name_of(row: models.Model) -> str:
    return row._meta.db_table.removeprefix(f"{row._meta.app_label}_")
