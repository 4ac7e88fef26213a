"""Paused kinds, and drains of queues, kinds and pools; other pauses are columns of their targets."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class KindPause(models.Model):
    """Pause of a kind: none of its jobs is dispatched until the row is deleted."""

    kind = models.CharField(_("kind"), max_length=64, primary_key=True)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    paused_at = models.DateTimeField(_("paused at"), auto_now_add=True)
    paused_by = models.CharField(_("paused by"), max_length=200, blank=True, default="")
    paused_until = models.DateTimeField(_("paused until"), null=True, blank=True)

    class Meta:
        verbose_name = _("kind pause")
        verbose_name_plural = _("kind pauses")

    def __str__(self) -> str:
        return self.kind


class Drain(models.Model):
    """Drain of a queue, kind or pool, which refuses new jobs while existing ones finish.

    The drain of a tenant is stored in the tenant's row.
    """

    class Scope(models.TextChoices):
        QUEUE = "queue", _("Queue")
        KIND = "kind", _("Kind")
        POOL = "pool", _("Pool")

    scope = models.CharField(max_length=5, choices=Scope.choices)
    name = models.CharField(max_length=64)
    reason = models.CharField(max_length=200, blank=True)
    started_by = models.CharField(max_length=200, blank=True)
    started_at = models.DateTimeField()
    until = models.DateTimeField(null=True, blank=True)
    drained_at = models.DateTimeField(null=True, blank=True, help_text="When no jobs were left.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["scope", "name"], name="drain_scope_name")]

    def __str__(self) -> str:
        return f"{self.scope} {self.name}"
