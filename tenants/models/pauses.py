"""What is known of a pause, besides that it is one and why."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class PauseFacts(models.Model):
    """Who paused a row, since when, and until when: empty for a pause that a person ends."""

    paused_by = models.CharField(_("paused by"), max_length=200, blank=True, default="", editable=False)
    paused_at = models.DateTimeField(_("paused at"), null=True, blank=True, editable=False)
    paused_until = models.DateTimeField(
        _("paused until"),
        null=True,
        blank=True,
        help_text=_("It is resumed by itself at this time; empty: by a person."),
    )

    class Meta:
        abstract = True
