"""What every row of a tenant is made of."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.context import require_scope
from tenants.ids import uuid7
from tenants.managers import TenantManager, claim_for_scope


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
