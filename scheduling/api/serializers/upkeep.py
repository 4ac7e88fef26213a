"""Upkeep as those see it who look after the platform."""

from __future__ import annotations

from rest_framework import serializers

from scheduling.models import UpkeepRun
from scheduling.services.upkeep.status import UpkeepLine
from tenants.api.fields import MomentField
from tenants.texts import said


class UpkeepRunSerializer(serializers.Serializer[UpkeepRun]):
    """One run of a task."""

    outcome = serializers.ChoiceField(
        choices=UpkeepRun.Outcome.choices, help_text="partial: the time was up, the next run goes on."
    )
    started_at = MomentField()
    finished_at = MomentField(allow_null=True)
    counts = serializers.DictField(child=serializers.IntegerField(), help_text="What was done, by name.")
    findings = serializers.SerializerMethodField(help_text="What is wrong, in the reader's language.")
    error = serializers.SerializerMethodField(help_text="Why it was cut off, if it was.")

    def get_findings(self, run: UpkeepRun) -> list[str]:
        return [sentence.told for sentence in run.sentences]

    def get_error(self, run: UpkeepRun) -> str:
        return said(run.error)


class UpkeepTaskSerializer(serializers.Serializer[UpkeepLine]):
    """A task with its last run."""

    name = serializers.CharField(source="task.name")
    title = serializers.SerializerMethodField(help_text="What it is called, in the reader's language.")
    text = serializers.SerializerMethodField(help_text="What it does, in the reader's language.")
    interval_seconds = serializers.SerializerMethodField()
    is_enabled = serializers.BooleanField(help_text="Whether beat runs it.")
    is_overdue = serializers.BooleanField(help_text="No success within three intervals.")
    due_at = MomentField(allow_null=True)
    succeeded_at = MomentField(allow_null=True)
    last_run = UpkeepRunSerializer(source="last", allow_null=True)

    def get_title(self, line: UpkeepLine) -> str:
        return said(line.task.title)

    def get_text(self, line: UpkeepLine) -> str:
        return said(line.task.text)

    def get_interval_seconds(self, line: UpkeepLine) -> float:
        """Time between two runs."""
        return line.interval.total_seconds()
