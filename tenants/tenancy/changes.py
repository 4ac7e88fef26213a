"""Assignment of new values to a model instance, with the difference for the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from tenants.exceptions import FieldInvalidError


@dataclass(frozen=True, slots=True)
class Difference:
    """The fields that have changed, with their values before and after, as the audit log stores them."""

    before: dict[str, Any]
    after: dict[str, Any]

    def __bool__(self) -> bool:
        return bool(self.after)


def assign(row: models.Model, changes: Mapping[str, Any]) -> Difference:
    """Set fields of a model instance without saving it, and return the difference.

    `changes` maps field names to values. Raise `FieldInvalidError`, which lists every field with an invalid value.
    """
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for name, value in changes.items():
        field = row._meta.get_field(name)
        assert isinstance(field, models.Field)  # callers name columns, not reverse relations
        old = getattr(row, field.attname)
        setattr(row, name, value)
        new = getattr(row, field.attname)
        if old != new:
            before[name], after[name] = old, new
    _validate(row, after)
    return Difference(before, after)


def _validate(row: models.Model, names: Mapping[str, Any]) -> None:
    others = {field.name for field in row._meta.fields if field.name not in names}
    try:
        row.clean_fields(exclude=others)
    except ValidationError as error:
        faults = [(field, detail) for field, details in error.message_dict.items() for detail in details]
        raise FieldInvalidError.at(*faults[0], *faults[1:]) from error
