"""Abstract models of versioned rows and of their versions."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tenants.database.ids import uuid7


class VersionedModel(models.Model):
    """Base of rows whose edits are stored as versions; one version is in effect."""

    # Whether every change of the row is a version; then the number is used for optimistic locking
    # (`tenants.tenancy.editions`).
    is_edited_by_version: ClassVar[bool] = True

    version = models.PositiveIntegerField(
        _("version"), default=1, db_default=1, editable=False, help_text=_("Number of the version in effect.")
    )

    class Meta:
        abstract = True


class VersionFacts(models.Model):
    """Base of versions: each row holds the whole content that applies from a time on.

    A concrete model adds a foreign key to the versioned row with the related name `versions`. A version is never
    changed, except that its outcome is written once; a trigger enforces this. ``before`` and ``after`` hold the
    difference from the version that was in effect when this one was written.
    """

    class Outcome(models.TextChoices):
        """The state of a version: scheduled, in effect at some time, withdrawn, or refused when it was due."""

        WAITING = "waiting", _("scheduled")
        APPLIED = "applied", _("took effect")
        WITHDRAWN = "withdrawn", _("withdrawn")
        REFUSED = "refused", _("refused when due")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    number = models.PositiveIntegerField()
    author = models.CharField(max_length=200, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    content = models.JSONField()
    before = models.JSONField()
    after = models.JSONField()
    effective_from = models.DateTimeField(db_default=Now())
    created_at = models.DateTimeField(db_default=Now())
    outcome = models.CharField(max_length=10, choices=Outcome.choices, default=Outcome.WAITING)
    outcome_at = models.DateTimeField(null=True)
    outcome_note = models.CharField(max_length=500, blank=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return gettext("version %(number)s") % {"number": self.number}
