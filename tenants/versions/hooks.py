"""The interface of a kind of versioned rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from tenants.context import all_tenants
from tenants.exceptions import DomainError, PlanChangedError
from tenants.tenancy.changes import Difference
from tenants.versions.models import VersionedModel

type Content = dict[str, Any]


class VersionHooks[RowT: VersionedModel](ABC):
    """The operations that differ between the kinds of versioned rows."""

    noun: ClassVar[str]
    # The foreign key by which a version refers to its row.
    owner: ClassVar[str]
    changed_action: ClassVar[str]
    # A model of `VersionFacts`.
    versions: ClassVar[Any]
    # Whether the rows are tenants', so that a command must name the tenant.
    is_tenants: ClassVar[bool] = False
    # Whether an edit that changes no content is a version too, because its reason may be new.
    writes_unchanged: ClassVar[bool] = False

    @abstractmethod
    def find(self, name: str) -> RowT:
        """Return the row of this name in the current scope; raise a DomainError if there is none."""

    @abstractmethod
    def lock(self, row: RowT) -> RowT:
        """Return the current row, locked; raise a DomainError if it is gone."""

    @abstractmethod
    def describe(self, row: RowT) -> Content:
        """Return the whole content in effect."""

    @abstractmethod
    def check(self, row: RowT, content: Mapping[str, Any]) -> None:
        """Raise a DomainError unless the content can take effect now."""

    @abstractmethod
    def put(self, row: RowT, content: Mapping[str, Any]) -> None:
        """Put the content into effect, save the row with its version, and notify those concerned."""

    @abstractmethod
    def flatten(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return the content as fields that are compared one by one."""

    def scope(self, row: RowT) -> AbstractContextManager[None]:
        """Return the scope in which the row and its versions are read and written, with a savepoint of its own."""
        return all_tenants()

    def authorise(self, content: Mapping[str, Any]) -> None:  # noqa: B027 - a kind need not have it
        """Raise a DomainError if the current actor may not write this content; not called when its time comes."""

    def check_due(self, row: RowT, content: Mapping[str, Any]) -> None:
        """Raise a DomainError unless a content that was validated when written can still take effect."""
        self.check(row, content)

    def overtaken(self, row: RowT, expected: int) -> DomainError:
        """Return the error for an edit of a row that is no longer at the expected version."""
        return PlanChangedError(
            "The plan is at version %(current)s, not %(version)s.", {"current": row.version, "version": expected}
        )

    def audited(self, difference: Difference) -> Difference:
        """Return the part of a difference that the audit log stores."""
        return difference

    def effects(self, row: RowT) -> Mapping[str, Any]:
        """Return what a change of the row would affect now."""
        return {}
