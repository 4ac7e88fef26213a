"""Saved views: named filters of jobs."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from tenants.context import claim_for_scope, require_scope
from tenants.database.ids import uuid7
from tenants.tenancy.bases import TenantManager


class SavedView(models.Model):
    """A named filter of the Jobs page: its owner's own, or shared with all who see the same jobs.

    `tenant` is None for views of platform staff, who see the jobs of all tenants; tenants do not see these views.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", models.PROTECT, null=True, db_index=False, related_name="+")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    name = models.CharField(max_length=60)
    query = models.TextField(help_text="The filter's canonical text.")
    is_shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_saved_view"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "owner", "name"], nulls_distinct=False, name="saved_view_name_of_owner"
            )
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        claim_for_scope(self, require_scope())
        super().save(*args, **kwargs)
