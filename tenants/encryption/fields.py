"""Sealed values: JSON and text columns, sealed by the row when written and opened when read, and keyed hashes.

A read without the row (`values_list`, raw SQL) returns a `SealedValue`, which is neither a mapping nor a text. It must
be decrypted for the row that it was read from; code that forgets to do so fails instead of leaking a value.
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
from tenants.encryption.data_keys import digest_secret, opening_key, preload_keys, sealing_key
from tenants.encryption.envelope import (
    MARK,
    SealBrokenError,
    SealContext,
    key_id_of,
    quote,
    quote_text,
    seal,
    unquote,
    unquote_text,
    unseal,
)
from tenants.encryption.exceptions import DataKeyUnavailableError
from tenants.exceptions import DomainError

logger = logging.getLogger(__name__)


class SealedValueBrokenError(DomainError):
    """Raised if a stored value was altered or was copied from another row or field."""

    code, category = "sealed_value_broken", "conflict"
    title = gettext_noop("A stored value was altered, or was copied from another row or field.")


class UnsealedWriteError(RuntimeError):
    """A column of encrypted values was written without its row: save the row, or encrypt the value first."""


class MovedValueError(RuntimeError):
    """An encrypted value of one row was assigned to a new row, where it could not be decrypted."""


def is_sealing() -> bool:
    """Return whether values are encrypted when written, which is so if a master key is configured."""
    return bool(platform_settings.ENCRYPTION_MASTER_KEYS)


def digest_of(tenant_id: UUID, plain: bytes) -> bytes:
    """Return a hash of a tenant's value that may be stored; without encryption return `plain` unchanged.

    The hash is keyed with a secret of the tenant, so that the value cannot be guessed from it.
    """
    return hmac.digest(digest_secret(tenant_id), plain, "sha256") if is_sealing() else plain


@dataclass(frozen=True, slots=True)
class SealedValue:
    """An encrypted value as read from the database. Its `repr` reveals nothing."""

    text: str

    def __repr__(self) -> str:
        return "<sealed>"


@dataclass(frozen=True, slots=True)
class _Stored:
    """A value ready to be written as it is."""

    value: Any


_NOTHING, _EMPTY = _Stored(None), _Stored({})


class _Opening(DeferredAttribute):
    """The attribute of a row; an encrypted value is decrypted when it is first read."""

    field: SealedField

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        if instance is None:
            return self
        value = instance.__dict__.get(self.field.attname, _Opening)
        if value is _Opening:
            value = super().__get__(instance, cls)
        if type(value) is not SealedValue:
            return value
        return self.field.read_for(instance, value)

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


def sealed_as(row: Any) -> UUID:
    """Return the id for which a row's values are encrypted: its `sealed_id`, or its key if it has none."""
    found: UUID = getattr(row, "sealed_id", row.pk)
    return found


class SealedField(models.Field):  # type: ignore[type-arg] # not generic at run time
    """Base of columns with encrypted values. The model must have `tenant_id` and a UUID primary key.

    Rows whose key is not chosen before they are written have a `sealed_id`, which the same row always has.
    """

    descriptor_class = _Opening
    # All such columns, for the command that seals old rows and the test that no column is missing.
    all_fields: ClassVar[list[SealedField]] = []
    plain_class: ClassVar[str]
    column_type: ClassVar[str]

    @override
    def contribute_to_class(self, cls: type[models.Model], name: str, private_only: bool = False) -> None:
        """Add the column to `all_fields` when a model is defined."""
        super().contribute_to_class(cls, name, private_only)
        if not cls._meta.abstract:
            self.all_fields.append(self)

    def deconstruct(self) -> Any:
        """Return the deconstruction of the plain field, so that migrations do not refer to this class."""
        name, _, arguments, keywords = super().deconstruct()
        return name, self.plain_class, arguments, keywords

    def id_of(self, row: Any) -> UUID:
        """Return the id for which the value of a row is encrypted."""
        return sealed_as(row)

    def read_for(self, row: Any, value: SealedValue) -> Any:
        """Return the decrypted value of a row, which keeps it."""
        opened = self.open(value, tenant_id=row.tenant_id, row_id=self.id_of(row))
        row.__dict__[self.attname] = opened
        return opened

    def stored(self, value: Any, *, tenant_id: UUID, row_id: UUID) -> Any:
        """Return the value to write into a row: encrypted if encryption is on. Empty values are never encrypted."""
        if not value or not is_sealing():
            return self._quoted(value)
        return self._marked(seal(value, sealing_key(tenant_id), self._place(tenant_id, row_id)))

    def ready(self, value: Any, *, tenant_id: UUID, row_id: UUID) -> Any:
        """Return the value for `QuerySet.update` of one row, encrypted for it."""
        return _Stored(self.stored(value, tenant_id=tenant_id, row_id=row_id))

    def opened(self, stored: Any, *, tenant_id: UUID, row_id: UUID) -> Any:
        """Return the decrypted value of the column, as a raw statement has read it from a row."""
        if not stored:
            return stored
        text, plain = self._unquoted(stored)
        return plain if text is None else self.open(SealedValue(text), tenant_id=tenant_id, row_id=row_id)

    def open(self, value: Any, *, tenant_id: UUID, row_id: UUID) -> Any:
        """Return the decrypted value of the column, as `values_list` has read it from a row.

        Raise `DataKeyUnavailableError` or `SealedValueBrokenError` if it cannot be decrypted.
        """
        if type(value) is not SealedValue:
            return value
        try:
            key = opening_key(tenant_id, key_id_of(value.text))
            return unseal(value.text, key, self._place(tenant_id, row_id))
        except SealBrokenError as error:
            raise SealedValueBrokenError(f"{self.model._meta.label} {row_id}, {self.name}: {error}") from error

    @override
    def pre_save(self, model_instance: Any, add: bool) -> Any:
        """Return the row's value in the form to write, encrypted for this row."""
        value = model_instance.__dict__[self.attname]
        if hasattr(value, "resolve_expression"):
            return value
        if type(value) is SealedValue:
            if add:
                raise MovedValueError(MovedValueError.__doc__)
            return _Stored(self._marked({MARK: value.text}))
        if value is None or value == {}:
            # The same object for all rows, so that many of them are written as one value.
            return _NOTHING if value is None else _EMPTY
        return _Stored(self.stored(value, tenant_id=model_instance.tenant_id, row_id=self.id_of(model_instance)))

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        """Return the value for the statement; raise `UnsealedWriteError` if it should be encrypted and is not."""
        if isinstance(value, _Stored):
            return super().get_db_prep_save(value.value, connection)
        if hasattr(value, "resolve_expression") or not value:
            return super().get_db_prep_save(value, connection)
        if is_sealing():
            raise UnsealedWriteError(UnsealedWriteError.__doc__)
        return super().get_db_prep_save(self._quoted(value), connection)

    def _marked(self, sealed: dict[str, str]) -> Any:
        """Return the encrypted value in the column's form."""
        return sealed

    def _quoted(self, value: Any) -> Any:
        return quote(value)

    def _unquoted(self, stored: Any) -> tuple[str | None, Any]:
        return unquote(stored)

    def _place(self, tenant_id: UUID, row_id: UUID) -> SealContext:
        return SealContext(tenant_id, self.model._meta.db_table, row_id, self.name)


class SealedJSONField(SealedField, models.JSONField):
    """A JSON column with encrypted values."""

    plain_class, column_type = "django.db.models.JSONField", "jsonb"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """Return the value if it is stored in plain, else a `SealedValue`."""
        text, plain = unquote(super().from_db_value(value, expression, connection))
        return plain if text is None else SealedValue(text)


class SealedTextField(SealedField, models.TextField):  # type: ignore[type-arg] # not generic at run time
    """A text column with encrypted values: `$sealed:` and the encrypted text."""

    plain_class, column_type = "django.db.models.TextField", "text"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """Return the text if it is stored in plain, else a `SealedValue`."""
        text, plain = unquote_text(value)
        return plain if text is None else SealedValue(text)

    @override
    def _marked(self, sealed: dict[str, str]) -> str:
        return f"{MARK}:{sealed[MARK]}"

    @override
    def _quoted(self, value: Any) -> Any:
        return quote_text(value)

    @override
    def _unquoted(self, stored: Any) -> tuple[str | None, Any]:
        return unquote_text(stored)


def sealed_field(model: type[models.Model], name: str) -> SealedField:
    """Return the encrypted column of that name, for services that read or write it without model instances."""
    field = model._meta.get_field(name)
    assert isinstance(field, SealedField)
    return field


def open_readable_rows(
    model: type[models.Model], name: str, rows: Iterable[tuple[UUID, UUID, Any]]
) -> Iterator[tuple[UUID, Any]]:
    """Yield the id and the decrypted value of each row; `rows` come from `values_list("pk", "tenant_id", name)`.

    The keys of all tenants are read with one statement. A row that cannot be decrypted is logged and left out.
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
