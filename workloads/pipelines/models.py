"""Models of pipelines, their versions, their runs, and the runs' entities."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from tenants.encryption.error_texts import SealedErrorField
from tenants.encryption.fields import SealedJSONField
from tenants.tenancy.bases import NamedModel, TenantModel


class PipelineRunState(models.TextChoices):
    """The state of a pipeline run. The last four are final, unless one of the run's entities is retried."""

    WAITING = gettext_noop("waiting"), _("Waiting")
    RUNNING = gettext_noop("running"), _("Running")
    COMPLETED = gettext_noop("completed"), _("Completed")
    PARTIAL = gettext_noop("partial"), _("Partial")
    FAILED = gettext_noop("failed"), _("Failed")
    CANCELLED = gettext_noop("cancelled"), _("Cancelled")


class EntityState(models.TextChoices):
    """The state of one entity of a run. The last three are final, unless the entity is retried."""

    WAITING = gettext_noop("waiting"), _("Waiting")
    RUNNING = gettext_noop("running"), _("Running")
    COMPLETED = gettext_noop("completed"), _("Completed")
    ERROR = gettext_noop("error"), _("Error")
    CANCELLED = gettext_noop("cancelled"), _("Cancelled")


OPEN_ENTITIES = (EntityState.WAITING, EntityState.RUNNING)
OPEN_RUNS = (PipelineRunState.WAITING, PipelineRunState.RUNNING)


class Pipeline(NamedModel, TenantModel):
    """A named pipeline. Its definition is in its versions; each edit of it is a version."""

    name = models.CharField(_("name"), max_length=100)
    description = models.CharField(_("description"), max_length=1_000, blank=True)
    latest_number = models.PositiveIntegerField(_("latest number"), default=0, editable=False)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("pipeline")
        verbose_name_plural = _("pipelines")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "id"], name="pipeline_tenant_id"),
            models.UniqueConstraint(fields=["tenant", "name"], name="pipeline_name_unique"),
        ]


class PipelineVersion(TenantModel):
    """One saved version of a pipeline's definition, which never changes.

    ``dataset_id`` is the dataset that its ``load`` named when it was saved.
    """

    # Rows refer to each other by (tenant, id); the constraints are in the migration.
    pipeline = models.ForeignKey(
        Pipeline,
        models.CASCADE,
        verbose_name=_("pipeline"),
        db_constraint=False,
        db_index=False,
        related_name="versions",
    )
    number = models.PositiveIntegerField(_("number"))
    definition = models.JSONField(_("definition"))
    dataset_id = models.UUIDField(_("dataset id"))
    note = models.CharField(_("note"), max_length=500, blank=True)
    created_by = models.CharField(_("created by"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("pipeline version")
        verbose_name_plural = _("pipeline versions")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "id"], name="pipeline_version_tenant_id"),
            models.UniqueConstraint(fields=["tenant", "pipeline", "number"], name="pipeline_version_number_unique"),
        ]

    def __str__(self) -> str:
        return gettext("version %(number)s") % {"number": self.number}


class PipelineRun(TenantModel):
    """One run of one version of a pipeline.

    ``job_id`` is the job of the whole run; a retried entity has its own job.
    """

    pipeline = models.ForeignKey(
        Pipeline, models.CASCADE, verbose_name=_("pipeline"), db_constraint=False, db_index=False, related_name="runs"
    )
    version = models.ForeignKey(
        PipelineVersion,
        models.CASCADE,
        verbose_name=_("version"),
        db_constraint=False,
        db_index=False,
        related_name="runs",
    )
    job_id = models.UUIDField(_("job id"))
    state = models.CharField(_("state"), max_length=10, choices=PipelineRunState, default=PipelineRunState.WAITING)
    entities_total = models.PositiveIntegerField(_("entities total"))
    entities_completed = models.PositiveIntegerField(_("entities completed"), default=0)
    entities_error = models.PositiveIntegerField(_("entities error"), default=0)
    entities_cancelled = models.PositiveIntegerField(_("entities cancelled"), default=0)
    error_code = models.CharField(_("error code"), max_length=64, blank=True)
    error_message = SealedErrorField(_("error message"), max_length=1_000, blank=True)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)

    class Meta:
        verbose_name = _("pipeline run")
        verbose_name_plural = _("pipeline runs")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "id"], name="pipeline_run_tenant_id"),
            models.CheckConstraint(
                condition=models.Q(state__in=PipelineRunState.values), name="pipeline_run_state_known"
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "pipeline", "id"], name="pipeline_run_of_pipeline"),
            models.Index(fields=["tenant", "version"], name="pipeline_run_of_version"),
            models.Index(fields=["id"], name="pipeline_run_open", condition=models.Q(state__in=["waiting", "running"])),
            models.Index(fields=["ended_at"], name="pipeline_run_ended", condition=models.Q(ended_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return gettext("run %(id)s") % {"id": self.pk}


class PipelineEntity(TenantModel):
    """One source of a run (a file, a page or a text) on its way to a document.

    Only the job ``job_id`` may write it. ``content_key`` and ``passages_key`` locate, in the file storage, what one
    step has left for the next. ``document_id`` is the document that its chunks are loaded into.
    ``nodes`` are the states of the nodes of its graph with their seconds; ``outputs`` are kept until it is completed.
    """

    run = models.ForeignKey(
        PipelineRun, models.CASCADE, verbose_name=_("run"), db_constraint=False, db_index=False, related_name="entities"
    )
    position = models.PositiveIntegerField(_("position"))
    source = models.JSONField(_("source"))
    name = models.CharField(_("name"), max_length=255)
    state = models.CharField(_("state"), max_length=10, choices=EntityState, default=EntityState.WAITING)
    job_id = models.UUIDField(_("job id"))
    attempt = models.PositiveSmallIntegerField(_("attempt"), default=0)
    content_key = models.CharField(_("content key"), max_length=200, blank=True)
    content_sha256 = models.CharField(_("content sha256"), max_length=64, blank=True)
    content_type = models.CharField(_("content type"), max_length=100, blank=True)
    size_bytes = models.PositiveBigIntegerField(_("size bytes"), default=0)
    passages_key = models.CharField(_("passages key"), max_length=200, blank=True)
    passages_sha256 = models.CharField(_("passages sha256"), max_length=64, blank=True)
    nodes = models.JSONField(_("nodes"), default=dict, db_default={})
    outputs = SealedJSONField(_("outputs"), default=dict, db_default={})
    document_id = models.UUIDField(_("document id"), null=True, blank=True)
    is_duplicate = models.BooleanField(_("is duplicate"), default=False)
    chunks_done = models.PositiveIntegerField(_("chunks done"), default=0)
    chunks_total = models.PositiveIntegerField(_("chunks total"), null=True, blank=True)
    error_code = models.CharField(_("error code"), max_length=64, blank=True)
    error_message = SealedErrorField(_("error message"), max_length=1_000, blank=True, owner="job_id")
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)

    class Meta:
        verbose_name = _("pipeline entity")
        verbose_name_plural = _("pipeline entities")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "run", "position"], name="pipeline_entity_position_unique"),
            models.CheckConstraint(
                condition=models.Q(state__in=EntityState.values), name="pipeline_entity_state_known"
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "run", "state"], name="pipeline_entity_by_state"),
            models.Index(fields=["tenant", "content_key"], name="pipeline_entity_content"),
            models.Index(fields=["tenant", "passages_key"], name="pipeline_entity_passages"),
            models.Index(
                fields=["id"], name="pipeline_entity_open", condition=models.Q(state__in=["waiting", "running"])
            ),
        ]

    def __str__(self) -> str:
        return self.name


# Columns that refer to contents.
FILE_REFERENCES = ((PipelineEntity, "content_key"), (PipelineEntity, "passages_key"))
