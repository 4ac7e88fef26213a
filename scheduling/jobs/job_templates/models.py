"""Models of job templates and their versions."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.encryption.fields import SealedJSONField
from tenants.models import Role
from tenants.tenancy.bases import TenantModel
from tenants.versions.models import VersionedModel, VersionFacts


class JobTemplate(TenantModel, VersionedModel):
    """A named job request with parameters. Its versions hold the content; a job records the version that it ran."""

    # Name, description and runners change without a version.
    is_edited_by_version = False

    name = models.SlugField(
        _("name"), max_length=50, db_index=False, help_text=_("Lower-case letters, digits and hyphens; unique.")
    )
    description = models.CharField(_("description"), max_length=1_000, blank=True)
    runners = ArrayField(
        models.CharField(max_length=20, choices=Role.choices),
        verbose_name=_("who may run it"),
        default=list,
        blank=True,
        help_text=_("Roles that may run it although they may not submit other jobs."),
    )
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("job template")
        verbose_name_plural = _("job templates")
        db_table = "scheduling_job_template"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "id"], name="job_template_tenant_id"),
            models.UniqueConstraint(fields=["tenant", "name"], name="job_template_name_unique"),
        ]

    def __str__(self) -> str:
        return self.name


class JobTemplateVersion(TenantModel, VersionFacts):
    """One version of a template's content: kind, payload, parameters and options of its jobs."""

    # A payload is sealed here as it is on a job.
    content = SealedJSONField()
    before = SealedJSONField()
    after = SealedJSONField()
    # Rows refer to each other by (tenant, id); the constraint is in the migration.
    template = models.ForeignKey(
        JobTemplate, models.CASCADE, db_constraint=False, db_index=False, related_name="versions"
    )

    class Meta:
        verbose_name_plural = _("versions of job templates")
        db_table = "scheduling_job_template_version"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "template", "number"], name="job_template_version_unique"),
        ]
        indexes = [
            models.Index(
                fields=["effective_from"], condition=models.Q(outcome="waiting"), name="job_template_version_waiting"
            )
        ]
