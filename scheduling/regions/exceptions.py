"""Errors of regions."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class RegionNotAllowedError(DomainError):
    code, category = "region_not_allowed", "invalid"
    title = gettext_noop("No queue of this job is in a region that its tenant allows")
