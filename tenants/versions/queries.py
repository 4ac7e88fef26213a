"""Queries for the versions of versioned rows."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from tenants.versions.models import VersionFacts


def versions_of(row: Any) -> QuerySet[VersionFacts]:
    """Return the versions of a row, newest first."""
    versions: QuerySet[VersionFacts] = row.versions.order_by("-number")
    return versions


def waiting_versions(row: Any) -> QuerySet[VersionFacts]:
    """Return the scheduled versions of a row, the next one first."""
    waiting = versions_of(row).filter(outcome=VersionFacts.Outcome.WAITING)
    return waiting.order_by("effective_from", "number")
