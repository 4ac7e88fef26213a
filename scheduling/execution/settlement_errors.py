"""Texts of errors in the form in which a settlement stores them: once for all rows about the job."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

from scheduling.breakers.rules import DependencyReport
from scheduling.execution.json_limits import storable_text
from tenants.encryption.envelope import quote_text
from tenants.encryption.error_texts import seal_error
from tenants.encryption.fields import is_sealing

# Of an error's message, what its entry in the list of errors and a breaker have.
BEGINNING_CHARACTERS = 500

# A tenant and its job.
type Owner = tuple[UUID, UUID]


def error_columns(message: str, traceback: str, owner: Owner | None, *, is_plain: bool) -> dict[str, str]:
    """Return the columns of an error that has texts, sealed for its job; with ``is_plain`` the message is not."""
    stored = storable_text(message)
    columns = {"error_message": (quote_text(stored) or "") if is_plain else _sealed(stored, owner)} if message else {}
    if len(stored) > BEGINNING_CHARACTERS and not is_plain:
        columns["error_beginning"] = _sealed(stored[:BEGINNING_CHARACTERS], owner)
    if traceback:
        columns["traceback"] = _sealed(storable_text(traceback), owner, "traceback")
    return columns


def dependency_row(report: DependencyReport, owner: Owner | None) -> dict[str, Any]:
    """Return the report on a dependency for the statement, with its message sealed for the job."""
    return asdict(report) | {
        "error_type": storable_text(report.error_type),
        "error_message": _sealed(storable_text(report.error_message)[:BEGINNING_CHARACTERS], owner),
    }


def _sealed(text: str, owner: Owner | None, part: str = "message") -> str:
    if owner is None:
        # With encryption, the execution is not live any more, and nothing is settled.
        return "" if is_sealing() else quote_text(text) or ""
    return seal_error(text, tenant_id=owner[0], owner_id=owner[1], part=part)
