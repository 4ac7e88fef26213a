"""Classes of service, to which the plans of tenants and the scheduler's settings both refer."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.models.names import NamedModel


class Tier(NamedModel):
    """A class of service, such as sandbox, team or professional."""

    # The slug is the key: rules and settings name a tier, and its name does not change.
    slug = models.SlugField(_("slug"), primary_key=True, max_length=50)
    name = models.CharField(_("name"), max_length=100)
    rank = models.PositiveSmallIntegerField(
        _("rank"), unique=True, help_text=_("Greater is better; orders the tiers on screens and in choices.")
    )

    class Meta:
        verbose_name = _("tier")
        verbose_name_plural = _("tiers")
        ordering = ["rank"]

    def __str__(self) -> str:
        return self.name
