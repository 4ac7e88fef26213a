"""What the platform did for its own upkeep, and how each run ended."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from tenants.ids import uuid7
from tenants.sentences import Sentence, read_kept
from tenants.texts import said


class UpkeepRun(models.Model):
    """One bounded run of one upkeep task.

    ``cursor`` says where the next run goes on. While it runs the row is the lease: a process that died keeps
    others out no longer than ``lease_expires_at``. ``findings`` are as `keep` of tenants/sentences.py makes them.
    """

    class Outcome(models.TextChoices):
        RUNNING = "running"
        OK = "ok"
        PARTIAL = "partial", "more to do"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=64)
    outcome = models.CharField(max_length=10, choices=Outcome.choices, default=Outcome.RUNNING)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    counts = models.JSONField(default=dict, help_text="What was done, by name.")
    findings = models.JSONField(default=list, help_text="What is wrong, in words; a run with findings has failed.")
    error = models.TextField(blank=True)
    cursor = models.JSONField(default=dict, help_text="Where the next run goes on.")
    lease_expires_at = models.DateTimeField()

    class Meta:
        db_table = "scheduling_upkeep_run"
        indexes = [models.Index(fields=["name", "-id"], name="upkeep_run_by_name")]
        constraints = [
            models.UniqueConstraint(fields=["name"], condition=Q(outcome="running"), name="upkeep_one_run_at_a_time")
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.outcome}"

    @property
    def sentences(self) -> list[Sentence]:
        """The findings, each to be told in the reader's language."""
        return read_kept(self.findings)

    @property
    def told(self) -> list[str]:
        """Why it has failed, for people: its error, then what it has found."""
        return [*filter(None, [said(self.error)]), *(sentence.told for sentence in self.sentences)]
