"""Moving what waits to the queues that routing names by now."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from tenants.ids import uuid7


class BacklogMove(models.Model):
    """One move of the backlog: why, how far it is, how much it moved; one is open at a time.

    It goes over all waiting jobs, pass after pass, until a pass that began well after it was asked for found
    nothing more to move. ``phase`` and ``cursor`` say where the next turn goes on.
    """

    class Phase(models.TextChoices):
        READY = "ready"
        DUE = "due"
        HELD = "held"
        SUSPENDED = "suspended"
        # What became ready between the first look and the one at where it had waited before.
        READY_AGAIN = "again"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    cause = models.CharField(max_length=200)
    requested_by = models.CharField(max_length=200, blank=True)
    requested_at = models.DateTimeField()
    phase = models.CharField(max_length=10, choices=Phase.choices, default=Phase.READY)
    cursor = models.JSONField(default=list)
    pass_began_at = models.DateTimeField(null=True)
    found_in_pass = models.BigIntegerField(default=0)
    passes = models.PositiveIntegerField(default=0)
    looked_at = models.BigIntegerField(default=0)
    moved = models.BigIntegerField(default=0)
    is_open = models.BooleanField(default=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "scheduling_backlog_move"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["is_open"], condition=Q(is_open=True), name="backlog_move_one_open")
        ]

    def __str__(self) -> str:
        return f"{self.cause}: {self.moved} moved"
