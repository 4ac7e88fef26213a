"""Models of workflow runs and their nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.encryption.error_texts import SealedErrorField
from tenants.encryption.fields import SealedJSONField
from tenants.tenancy.bases import TenantModel
from workloads.workflows.records.records import TERMINAL_STATES, RecordState
from workloads.workflows.records.rows import MAX_ERROR_CODE, MAX_ERROR_MESSAGE, MAX_WORKFLOW_NAME

STATE_CHOICES = [(state.value, _(state.value)) for state in RecordState]
# Columns that may be large, and are encrypted.
HEAVY_FIELDS = ("inputs", "outputs", "graph")
OPEN_STATES = [state.value for state in RecordState if not state.is_terminal]


class RecordedModel(TenantModel):
    """Base of runs and nodes.

    A row has a head (state, error, times) at one version, and two values with their own versions. A value is stored in
    its row. If it is large, the row holds its beginning as text, and ``…_key`` locates the whole in the file storage.
    Only :mod:`upserts` writes rows.
    """

    version = models.PositiveIntegerField(_("version"))
    state = models.CharField(_("state"), max_length=10, choices=STATE_CHOICES)
    inputs = SealedJSONField(_("inputs"), null=True)
    inputs_version = models.PositiveIntegerField(_("inputs version"), default=0)
    inputs_bytes = models.PositiveBigIntegerField(_("inputs bytes"), default=0)
    inputs_key = models.CharField(_("inputs key"), max_length=200, null=True)
    inputs_sha256 = models.CharField(_("inputs sha256"), max_length=64, blank=True)
    outputs = SealedJSONField(_("outputs"), null=True)
    outputs_version = models.PositiveIntegerField(_("outputs version"), default=0)
    outputs_bytes = models.PositiveBigIntegerField(_("outputs bytes"), default=0)
    outputs_key = models.CharField(_("outputs key"), max_length=200, null=True)
    outputs_sha256 = models.CharField(_("outputs sha256"), max_length=64, blank=True)
    error_code = models.CharField(_("error code"), max_length=MAX_ERROR_CODE, blank=True)
    error_message = SealedErrorField(_("error message"), max_length=MAX_ERROR_MESSAGE, blank=True)
    started_at = models.DateTimeField(_("started at"), null=True)
    ended_at = models.DateTimeField(_("ended at"), null=True)

    class Meta:
        abstract = True

    @property
    def is_terminal(self) -> bool:
        """Return whether the stored state is final."""
        return self.state in TERMINAL_STATES

    @property
    def elapsed_seconds(self) -> float | None:
        """Return the seconds from the start to the end; None if there is no end yet."""
        if self.started_at is None or self.ended_at is None:
            return None
        return max(0.0, (self.ended_at - self.started_at).total_seconds())


def _value_indexes(prefix: str) -> list[models.Index]:
    # The clean-up of files queries which keys are in use.
    return [
        models.Index(
            fields=["tenant", f"{name}_key"],
            name=f"{prefix}_{name}_key",
            condition=models.Q(**{f"{name}_key__isnull": False}),
        )
        for name in ("inputs", "outputs")
    ]


class WorkflowRun(RecordedModel):
    """One run of a version of a workflow. The id is a UUIDv7, given by whatever records the run.

    ``job_id`` is the job that runs it or, for a run executed outside the platform (``is_external``), the job that
    stored its newest version. The functions in :mod:`queries` combine the stored state with the state of a job that
    runs it, which may have been cancelled or have failed.
    """

    workflow_id = models.UUIDField(_("workflow id"))
    workflow_version = models.PositiveIntegerField(_("workflow version"))
    workflow_name = models.CharField(_("workflow name"), max_length=MAX_WORKFLOW_NAME, blank=True)
    job_id = models.UUIDField(_("job id"))
    total_tokens = models.PositiveBigIntegerField(_("total tokens"), default=0)
    total_cost = models.DecimalField(_("total cost"), max_digits=24, decimal_places=12, null=True)
    total_steps = models.PositiveIntegerField(_("total steps"), default=0)
    graph = SealedJSONField(_("graph"), null=True)
    is_external = models.BooleanField(_("is external"), db_default=False)
    replay_of = models.UUIDField(_("replay of"), null=True)

    class Meta:
        verbose_name = _("workflow run")
        verbose_name_plural = _("workflow runs")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "id"], name="workflow_run_tenant_id"),
            models.CheckConstraint(
                condition=models.Q(state__in=[state for state, _label in STATE_CHOICES]),
                name="workflow_run_state_known",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "workflow_id", "id"], name="workflow_run_workflow"),
            models.Index(fields=["tenant", "job_id"], name="workflow_run_job"),
            models.Index(fields=["tenant", "id"], name="workflow_run_open", condition=models.Q(state__in=OPEN_STATES)),
            *_value_indexes("workflow_run"),
        ]

    def __str__(self) -> str:
        return f"{self.workflow_name or self.workflow_id} {self.pk}"


class NodeRun(RecordedModel):
    """One node of a run, once for each pass of the iterations around it.

    ``run_version`` is the version of the run with which the row was last written; it is never higher than the run's.
    """

    # Rows refer to each other by (tenant, id); the constraints are in the migration.
    run = models.ForeignKey(WorkflowRun, models.CASCADE, db_constraint=False, db_index=False, related_name="nodes")
    run_version = models.PositiveIntegerField()
    # Columns that `sealed_id` is made of.
    sealed_by = ("run_id", "node_id", "path")
    node_id = models.CharField(max_length=100)
    path: ArrayField[Any, Any] = ArrayField(models.PositiveIntegerField(), default=list)
    node_type = models.CharField(max_length=64)
    attempt = models.PositiveIntegerField(default=1)
    tokens = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "run", "node_id", "path"], name="node_run_unique"),
            models.CheckConstraint(
                condition=models.Q(state__in=[state for state, _label in STATE_CHOICES]), name="node_run_state_known"
            ),
        ]
        indexes = [models.Index(fields=["tenant", "run", "id"], name="node_run_of_run"), *_value_indexes("node_run")]

    def __str__(self) -> str:
        return ".".join([self.node_id, *map(str, self.path)])

    @property
    def sealed_id(self) -> UUID:
        """Return the id for which the values are encrypted: an upsert does not know the row's own."""
        return node_seal_id(self.run_id, self.node_id, self.path)


def node_seal_id(run_id: UUID, node_id: str, path: Sequence[int]) -> UUID:
    """Return the id for which the values of a node of a run are encrypted."""
    return uuid5(run_id, ".".join([*map(str, path), node_id]))
