"""Circuit breakers, and the reported results that may change their states."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from scheduling.breakers.rules import BLOCKING, FORCED, CircuitState
from scheduling.kit.base import MAX_DEPENDENCY_CHARACTERS
from tenants.encryption.error_texts import SealedErrorField
from tenants.tenancy.bases import TenantManager

STATE_CHOICES = [
    (CircuitState.COUNTING.value, _("counting failures")),
    (CircuitState.OPEN.value, _("open")),
    (CircuitState.HALF_OPEN.value, _("half open: one job probes")),
    (CircuitState.CLOSING.value, _("closing: its jobs are released")),
    (CircuitState.FORCED_OPEN.value, _("forced open")),
    (CircuitState.FORCED_CLOSED.value, _("forced closed")),
]


class Circuit(models.Model):
    """Circuit breaker of a dependency of the jobs of one kind; an empty dependency stands for the kind's own work.

    It belongs to one tenant or, without a tenant, is shared by all. A row exists only after a failure or while the
    breaker is forced. ``scheduling.breakers.rules`` defines the states. The dispatcher's ticks change them, except
    ``closing`` and the forced states, which operators set.
    """

    id = models.BigAutoField(_("id"), primary_key=True)
    tenant = models.ForeignKey(
        "tenants.Tenant",
        models.PROTECT,
        verbose_name=_("tenant"),
        null=True,
        db_index=False,
        related_name="+",
        help_text=_("The affected tenant; empty: all tenants."),
    )
    kind = models.CharField(_("kind"), max_length=64)
    dependency = models.CharField(
        _("dependency"),
        max_length=MAX_DEPENDENCY_CHARACTERS,
        blank=True,
        help_text=_("The dependency; empty: the kind itself."),
    )
    holds_all = models.BooleanField(
        _("holds all"), help_text=_("Every job of the kind needs it; otherwise only the jobs that have used it.")
    )
    state = models.CharField(_("state"), max_length=13, choices=STATE_CHOICES)
    failures = models.PositiveIntegerField(
        _("failures"), help_text=_("Consecutive failures; without a dependency, those of one error fingerprint.")
    )
    tenants = models.JSONField(_("tenants"), default=dict, help_text=_("Failures by tenant, if the breaker is shared."))
    fingerprint = models.CharField(_("fingerprint"), max_length=16)
    error_type = models.CharField(_("error type"), max_length=100)
    error_message = SealedErrorField(_("error message"), max_length=500, owner="error_job_id")
    error_job_id = models.UUIDField(_("error job id"), null=True, help_text=_("The job that failed last."))
    counted_from = models.DateTimeField(
        _("counted from"), help_text=_("Time of the first of the consecutive failures.")
    )
    opened_at = models.DateTimeField(_("opened at"), null=True)
    until = models.DateTimeField(
        _("until"), null=True, help_text=_("When one job probes next, or the forced state ends.")
    )
    probe_job_id = models.UUIDField(_("probe job id"), null=True, help_text=_("The probing job."))
    probe_tenant_id = models.UUIDField(
        _("probe tenant id"),
        null=True,
        help_text=_("Tenant of the current or last probe; another tenant's job probes next."),
    )
    forced_by = models.CharField(_("forced by"), max_length=200, blank=True, help_text=_("Who forced it."))
    forced_reason = models.CharField(
        _("forced reason"), max_length=200, blank=True, help_text=_("Reason of the forced state.")
    )

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_circuit_breaker"
        verbose_name = _("circuit breaker")
        verbose_name_plural = _("circuit breakers")
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "kind", "dependency"], nulls_distinct=False, name="circuit_breaker_name"
            )
        ]
        indexes = [
            # For the gate before each job: whether any breaker of its kind blocks, then which.
            models.Index(fields=["kind"], condition=Q(state__in=BLOCKING), name="circuit_breaker_blocking"),
            models.Index(
                fields=["kind", "tenant"],
                condition=Q(state__in=BLOCKING, holds_all=True),
                name="circuit_breaker_holds_all",
            ),
            # For ticks: breakers that are due, and those being closed.
            models.Index(fields=["until"], condition=Q(state="open"), name="circuit_breaker_until"),
            models.Index(
                fields=["id"],
                condition=Q(state__in=["half_open", "closing", "forced_closed"]),
                name="circuit_breaker_moving",
            ),
            models.Index(fields=["until"], condition=Q(state__in=FORCED), name="circuit_breaker_forced"),
            models.Index(fields=["counted_from"], condition=Q(state="counting"), name="circuit_breaker_counting"),
        ]

    def __str__(self) -> str:
        needed = f"{self.kind}: {self.dependency}" if self.dependency else self.kind
        return needed if self.tenant_id is None else f"{needed} of {self.tenant_id}"


class CircuitNews(models.Model):
    """Reported result of an execution or a dependency; a tick applies it to the breakers and deletes the row."""

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_index=False, db_constraint=False)
    kind = models.CharField(max_length=64)
    dependency = models.CharField(max_length=MAX_DEPENDENCY_CHARACTERS, blank=True, db_default="")
    is_shared = models.BooleanField(db_default=False, help_text="Counts for the shared breaker too.")
    job_id = models.UUIDField()
    fingerprint = models.CharField(max_length=16, help_text="Fingerprint of the error; empty for a success.")
    error_type = models.CharField(max_length=100)
    error_message = SealedErrorField(max_length=500, owner="job_id")
    retry_after_seconds = models.FloatField(null=True, help_text="Wait that the dependency has requested.")
    at = models.DateTimeField()

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_circuit_news"
        indexes = [
            models.Index(fields=["tenant", "kind"], name="circuit_news_tenant_kind"),
            models.Index(fields=["kind", "dependency"], condition=Q(is_shared=True), name="circuit_news_shared"),
        ]
