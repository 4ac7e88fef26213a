"""Labels of data with regions, and which data a job is about."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from tenants.tenancy.bases import TenantManager
from tenants.tenancy.regions import REGION_LENGTH


class RegionLabel(models.Model):
    """The regions in which jobs about a tenant's data may run, beside those of the tenant; empty: no restriction.

    ``subject`` is the id of the data, such as a dataset. The id is part of the name of a gate of waiting jobs.
    """

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_index=False, db_constraint=False)
    subject = models.UUIDField()
    home_region = models.CharField(max_length=REGION_LENGTH, blank=True)
    allowed_regions = ArrayField(models.CharField(max_length=REGION_LENGTH), default=list)
    changed_at = models.DateTimeField()

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_region_label"
        constraints = [models.UniqueConstraint(fields=["tenant", "subject"], name="region_label_subject")]


class JobSubject(models.Model):
    """The data that a job is about. Jobs that are about no data have no row."""

    job_id = models.UUIDField(primary_key=True)
    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_index=False, db_constraint=False)
    subject = models.UUIDField()

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_job_subject"
