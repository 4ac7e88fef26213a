"""Bases of models: rows of a tenant, rows with names, facts of a pause."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tenants.context import require_scope
from tenants.database.ids import uuid7
from tenants.managers import TenantManager, claim_for_scope
from tenants.names import find_invisible_character


class TenantModel(models.Model):
    """A row that belongs to one tenant.

    Its table needs `rls.EnableRowSecurity` in the migration that makes it (the catalog test insists), and a
    unique constraint on (tenant, id) where other rows refer to it with `rls.AddCompositeForeignKey`.
    """

    id = models.UUIDField(_("id"), primary_key=True, default=uuid7, editable=False)
    # The index that serves a table begins with the tenant; one on the tenant alone would only cost.
    tenant = models.ForeignKey(
        "tenants.Tenant", verbose_name=_("tenant"), on_delete=models.PROTECT, db_index=False, related_name="+"
    )

    objects = TenantManager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        # The default manager is not asked when a row is saved, so the guard stands here too.
        claim_for_scope(self, require_scope())
        super().save(*args, **kwargs)


class NamedModel(models.Model):
    """A row with a `name` in which nobody hides a character; forms say so beside the field."""

    class Meta:
        abstract = True

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        faults: dict[str, Any] = {}
        try:
            super().clean_fields(exclude)
        except ValidationError as error:
            faults = error.update_error_dict(faults)
        invisible = find_invisible_character(str(getattr(self, "name", "")))
        if "name" not in (exclude or ()) and invisible is not None:
            faults["name"] = [
                ValidationError(
                    gettext("It must not contain the invisible character U+%(code)s.")
                    % {"code": f"{ord(invisible):04X}"}
                )
            ]
        if faults:
            raise ValidationError(faults)


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
