"""The interface that each kind of versioned rows implements."""

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
    """The operations in which the kinds of versioned rows differ. A subclass describes the rows of one model."""

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
        """Return the row with that name in the current scope; raise a DomainError if there is none."""

    @abstractmethod
    def lock(self, row: RowT) -> RowT:
        """Return the row as now stored, locked; raise a DomainError if it does not exist any more."""

    @abstractmethod
    def describe(self, row: RowT) -> Content:
        """Return the content of the row that is in effect, complete."""

    @abstractmethod
    def check(self, row: RowT, content: Mapping[str, Any]) -> None:
        """Raise a DomainError if the content cannot take effect now."""

    @abstractmethod
    def put(self, row: RowT, content: Mapping[str, Any]) -> None:
        """Put the content into effect: save it and the version number, and notify other parts of the platform."""

    @abstractmethod
    def flatten(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return the content as a flat dict; its values are compared one by one to find differences."""

    def scope(self, row: RowT) -> AbstractContextManager[None]:
        """Return a context manager for the scope, with a savepoint, in which the row and its versions are accessed."""
        return all_tenants()

    def authorise(self, content: Mapping[str, Any]) -> None:  # noqa: B027 - a kind need not have it
        """Raise a DomainError if the current actor may not write this content.

        It is called when a version is written, and not when a scheduled one takes effect.
        """

    def require_approval(  # noqa: B027 - a kind need not have it
        self, row: RowT, content: Content, difference: Difference, **options: Any
    ) -> None:
        """Raise `ApprovalRequiredError` if a second person must approve an edit; ``options`` are those of `edit`."""

    def require_approval_to_withdraw(self, row: RowT, number: int, reason: str) -> None:  # noqa: B027 - as above
        """Raise `ApprovalRequiredError` if a second person must approve that a scheduled version is withdrawn."""

    def check_due(self, row: RowT, content: Mapping[str, Any]) -> None:
        """Raise a DomainError if scheduled content, valid when it was written, cannot take effect any more."""
        self.check(row, content)

    def overtaken(self, row: RowT, expected: int) -> DomainError:
        """Return the error for an edit whose expected version is not the row's current one."""
        return PlanChangedError(
            "The plan is at version %(current)s, not %(version)s.", {"current": row.version, "version": expected}
        )

    def audited(self, difference: Difference) -> Difference:
        """Return the part of a difference that the audit log stores. By default it is all of it."""
        return difference

    def effects(self, row: RowT) -> Mapping[str, Any]:
        """Return what a change of the row would affect now, for the preview. By default it is empty."""
        return {}
