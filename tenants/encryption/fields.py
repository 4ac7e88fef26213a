"""Sealed values: JSON columns, sealed by the row when written and opened when its attribute is read, and keyed hashes.

A read without the row (`values_list`, raw SQL) returns a `SealedValue`, which is neither a mapping nor a text. It must
be opened for the row that it was read from, so that omitting this is an error and never a leak.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, override
from uuid import UUID

from django.db import models
from django.db.models.query_utils import DeferredAttribute
from django.utils.translation import gettext_noop

from tenants.database.platform_settings import platform_settings
from tenants.encryption.data_keys import (
    DataKeyUnavailableError,
    digest_secret,
    opening_key,
    preload_keys,
    sealing_key,
)
from tenants.encryption.envelope import SealBrokenError, SealContext, key_id_of, quote, seal, unquote, unseal
from tenants.exceptions import DomainError

logger = logging.getLogger(__name__)


class SealedValueBrokenError(DomainError):
    """Raised if a stored value was altered or belongs to another place."""

    code = "sealed_value_broken"
    category = "conflict"
    title = gettext_noop("A stored value was altered, or belongs to another place.")


class UnsealedWriteError(RuntimeError):
    """A sealed column was written without its row: save the row, or seal the value first."""


class MovedValueError(RuntimeError):
    """A sealed value of one row was assigned to a new row, where it could not be opened."""


def is_sealing() -> bool:
    """Return whether values are sealed when written, that is whether there is a master key."""
    return bool(platform_settings.ENCRYPTION_MASTER_KEYS)


def digest_of(tenant_id: UUID, plain: bytes) -> bytes:
    """Return a hash of a tenant's value that may be stored.

    It is keyed while values are sealed, so that the value cannot be guessed from it.
    """
    return hmac.digest(digest_secret(tenant_id), plain, "sha256") if is_sealing() else plain


@dataclass(frozen=True, slots=True)
class SealedValue:
    """A sealed value as read from the database. `repr` reveals nothing of it."""

    text: str

    def __repr__(self) -> str:
        return "<sealed>"


@dataclass(frozen=True, slots=True)
class _Stored:
    """A value ready to be written as it is."""

    value: Any


_NOTHING, _EMPTY = _Stored(None), _Stored({})


class _Opening(DeferredAttribute):
    """The attribute of a row; a sealed value is opened when it is first read."""

    field: SealedJSONField

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        if instance is None:
            return self
        value = instance.__dict__.get(self.field.attname, _Opening)
        if value is _Opening:
            value = super().__get__(instance, cls)
        if type(value) is not SealedValue:
            return value
        opened = self.field.open(value, tenant_id=instance.tenant_id, row_id=instance.pk)
        instance.__dict__[self.field.attname] = opened
        return opened

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


class SealedJSONField(models.JSONField):
    """A JSON column of a tenant's table with sealed values. Its model has `tenant_id` and a UUID primary key."""

    descriptor_class = _Opening
    # All such columns, for the command that seals old rows and the test that no column is missing.
    all_fields: ClassVar[list[SealedJSONField]] = []

    @override
    def contribute_to_class(self, cls: type[models.Model], name: str, private_only: bool = False) -> None:
        """Register the column when a model is defined."""
        super().contribute_to_class(cls, name, private_only)
        if not cls._meta.abstract:
            self.all_fields.append(self)

    def deconstruct(self) -> Any:
        """Return a plain JSONField, so that migrations do not change."""
        name, _, arguments, keywords = super().deconstruct()
        return name, "django.db.models.JSONField", arguments, keywords

    def stored(self, value: Any, *, tenant_id: UUID, row_id: UUID) -> Any:
        """Return the JSON to write for a row. None and {} are not sealed."""
        if not value or not is_sealing():
            return quote(value)
        return seal(value, sealing_key(tenant_id), self._place(tenant_id, row_id))

    def opened(self, stored: Any, *, tenant_id: UUID, row_id: UUID) -> Any:
        """Return the value of the JSON that a statement has read for a row; an empty one is never sealed."""
        if not stored:
            return stored
        text, plain = unquote(stored)
        return plain if text is None else self.open(SealedValue(text), tenant_id=tenant_id, row_id=row_id)

    def open(self, value: Any, *, tenant_id: UUID, row_id: UUID) -> Any:
        """Return the value of a `values_list` item of a row.

        Raise `DataKeyUnavailableError` or `SealedValueBrokenError`.
        """
        if type(value) is not SealedValue:
            return value
        try:
            key = opening_key(tenant_id, key_id_of(value.text))
            return unseal(value.text, key, self._place(tenant_id, row_id))
        except SealBrokenError as error:
            raise SealedValueBrokenError(f"{self.model._meta.label} {row_id}, {self.name}: {error}") from error

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """Return a plain value, or one that is still sealed."""
        text, plain = unquote(super().from_db_value(value, expression, connection))
        return plain if text is None else SealedValue(text)

    @override
    def pre_save(self, model_instance: Any, add: bool) -> Any:
        """Return the row's value, sealed for the row."""
        value = model_instance.__dict__[self.attname]
        if hasattr(value, "resolve_expression"):
            return value
        if type(value) is SealedValue:
            if add:
                raise MovedValueError(MovedValueError.__doc__)
            return _Stored({"$sealed": value.text})
        if value is None or value == {}:
            # The same object for all rows, so that many of them are written as one value.
            return _NOTHING if value is None else _EMPTY
        return _Stored(self.stored(value, tenant_id=model_instance.tenant_id, row_id=model_instance.pk))

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        """Return the value for the statement; raise `UnsealedWriteError` if it must be sealed and is not."""
        if isinstance(value, _Stored):
            return super().get_db_prep_save(value.value, connection)
        if hasattr(value, "resolve_expression") or not value:
            return super().get_db_prep_save(value, connection)
        if is_sealing():
            raise UnsealedWriteError(UnsealedWriteError.__doc__)
        return super().get_db_prep_save(quote(value), connection)

    def _place(self, tenant_id: UUID, row_id: UUID) -> SealContext:
        return SealContext(tenant_id, self.model._meta.db_table, row_id, self.name)


def sealed_field(model: type[models.Model], name: str) -> SealedJSONField:
    """Return the sealed column, for services that read or write it without its rows."""
    field = model._meta.get_field(name)
    assert isinstance(field, SealedJSONField)
    return field


def open_readable_rows(
    model: type[models.Model], name: str, rows: Iterable[tuple[UUID, UUID, Any]]
) -> Iterator[tuple[UUID, Any]]:
    """Yield ids and opened values from `values_list("pk", "tenant_id", name)`; all tenants' keys by one statement.

    Rows that cannot be opened are logged and left out.
    """
    field = sealed_field(model, name)
    for row_id, tenant_id, value in _with_keys(rows):
        try:
            yield row_id, field.open(value, tenant_id=tenant_id, row_id=row_id)
        except (DataKeyUnavailableError, SealedValueBrokenError):
            logger.exception("sealed_value.unreadable", extra={"row": str(row_id), "column": str(field)})


def _with_keys(rows: Iterable[tuple[UUID, UUID, Any]]) -> list[tuple[UUID, UUID, Any]]:
    read = list(rows)
    preload_keys({tenant_id for _, tenant_id, value in read if type(value) is SealedValue})
    return read
