"""Saved views: named filters of jobs, and named searches of log lines."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.tenancy.bases import OptionalTenantModel


class SavedView(OptionalTenantModel):
    """A named filter of the Jobs page or search of the Logs page: its owner's own, or shared with all who see the same.

    `tenant` is None for views of platform staff, who see the jobs of all tenants; tenants do not see these views.
    """

    class Place(models.TextChoices):
        JOBS = "jobs", _("Jobs")
        LOGS = "logs", _("Logs")

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    place = models.CharField(max_length=4, choices=Place.choices, default=Place.JOBS)
    name = models.CharField(max_length=60)
    query = models.TextField(help_text="The filter's canonical text.")
    is_shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "scheduling_saved_view"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "owner", "place", "name"], nulls_distinct=False, name="saved_view_name_of_owner"
            )
        ]

    def __str__(self) -> str:
        return self.name
