"""Circuit breakers: jobs of one tenant and kind that fail one after another wait until what they need is back."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from scheduling.circuit import CircuitState
from tenants.managers import TenantManager

STATE_CHOICES = [
    (CircuitState.COUNTING.value, "counting failures"),
    (CircuitState.OPEN.value, "open"),
    (CircuitState.HALF_OPEN.value, "half open: one job tries"),
    (CircuitState.CLOSING.value, "closing: its jobs come back"),
]


class Circuit(models.Model):
    """The breaker of one tenant's jobs of one kind.

    There is no row while nothing fails. The meaning of the states is in ``scheduling.circuit``; ticks alone move
    them, but for ``closing``, which a person may also ask for.
    """

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey("tenants.Tenant", models.PROTECT, db_index=False, related_name="+")
    kind = models.CharField(max_length=64)
    state = models.CharField(max_length=9, choices=STATE_CHOICES)
    failures = models.PositiveIntegerField(help_text="In a row, of one fingerprint.")
    fingerprint = models.CharField(max_length=16)
    error_type = models.CharField(max_length=100)
    error_message = models.CharField(max_length=200)
    counted_from = models.DateTimeField(help_text="When the first failure of the row happened.")
    opened_at = models.DateTimeField(null=True)
    until = models.DateTimeField(null=True, help_text="When one job tries.")
    probe_job_id = models.UUIDField(null=True, help_text="The job that tries.")

    objects = TenantManager()

    class Meta:
        verbose_name = "circuit breaker"
        constraints = [models.UniqueConstraint(fields=["tenant", "kind"], name="circuit_tenant_kind")]
        indexes = [
            # What a tick looks for: those whose time has come, and those on their way back.
            models.Index(fields=["until"], condition=Q(state="open"), name="circuit_until"),
            models.Index(fields=["id"], condition=Q(state__in=["half_open", "closing"]), name="circuit_moving"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.tenant_id}"


class CircuitNews(models.Model):
    """How an execution ended, where that may move a breaker; appended at settlement, emptied by ticks."""

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_index=False, db_constraint=False)
    kind = models.CharField(max_length=64)
    job_id = models.UUIDField()
    fingerprint = models.CharField(max_length=16, help_text="Of the error; empty for a success.")
    error_type = models.CharField(max_length=100)
    error_message = models.CharField(max_length=200)
    at = models.DateTimeField()

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_circuit_news"
        indexes = [models.Index(fields=["tenant", "kind"], name="circuit_news_tenant_kind")]
