"""Labels of regions: their form, and the check of a tenant's home region against those that it allows."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.validators import RegexValidator
from django.utils.translation import gettext, gettext_lazy

from tenants.exceptions import FieldInvalidError

REGION_LENGTH = 40
MOST_REGIONS = 20
REGION = RegexValidator(
    r"^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\Z",
    gettext_lazy("Use lower-case letters, digits and hyphens, without a hyphen at the beginning or the end."),
)


def check_regions(*, home: str, allowed: Sequence[str]) -> None:
    """Raise FieldInvalidError if a region is allowed twice, or if the home region is not one of the allowed ones."""
    if len(set(allowed)) < len(allowed):
        raise FieldInvalidError.at("allowed_regions", gettext("Name each region once."))
    if home and allowed and home not in allowed:
        detail = gettext("The home region %(home)s is not among the allowed regions: %(allowed)s.")
        raise FieldInvalidError.at("home_region", detail % {"home": home, "allowed": ", ".join(allowed)})
