"""Narrowing of a role to queues, kinds and datasets. The managers of their models apply it to every query."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from django.db.models import ForeignKey, QuerySet


@dataclass(frozen=True, slots=True)
class Narrowing:
    """The names of the queues, kinds and datasets that a role is narrowed to; an empty set permits all of them."""

    queues: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    datasets: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.queues or self.kinds or self.datasets)

    def covers(self, **names: str) -> bool:
        """Return whether the names are permitted; `covers(kinds="noop", queues="default")`."""
        return all(not (allowed := getattr(self, field)) or name in allowed for field, name in names.items())

    def apply[QuerySetT: QuerySet[Any]](self, rows: QuerySetT) -> QuerySetT:
        """Return the rows that are permitted.

        A model declares `narrowed_by`, which maps a field of this class to its column, or to its reference to a row
        with such a name.
        """
        declared = getattr(rows.model, "narrowed_by", {})
        for name in (field.name for field in fields(self) if field.name in declared):
            if allowed := sorted(getattr(self, name)):
                column: Any = rows.model._meta.get_field(declared[name])
                is_reference = isinstance(column, ForeignKey)
                # A subquery, not a join: a row lock would lock the joined row, too.
                found = column.related_model._default_manager.filter(name__in=allowed) if is_reference else allowed
                rows = rows.filter(**{f"{declared[name]}__in": found})
        return rows
