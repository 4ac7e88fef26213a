"""Errors of regions."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from django.utils.translation import gettext, gettext_noop

from tenants.exceptions import DomainError

if TYPE_CHECKING:
    from scheduling.regions.rules import Residency


class RegionNotAllowedError(DomainError):
    code, category = "region_not_allowed", "invalid"
    title = gettext_noop("No queue of this job is in an allowed region")

    @classmethod
    def of_data(cls, subject: UUID, residency: Residency) -> RegionNotAllowedError:
        """Build the error of a job about the data ``subject``, which may run where ``residency`` allows it."""
        values = {"subject": subject, "allowed": ", ".join(residency.all_allowed()) or gettext("none")}
        return cls(
            gettext_noop(
                "Jobs about the data %(subject)s may run in these regions only: %(allowed)s. Ask the platform for a "
                "queue in one of them, or allow another region for the data."
            ),
            values,
        )


class RegionsJustChangedError(DomainError):
    code, category, title = "regions_just_changed", "limited", gettext_noop("Regions of data were changed just now")
