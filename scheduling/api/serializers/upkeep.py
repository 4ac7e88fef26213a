"""Upkeep tasks of the platform, and runs of them over one tenant."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from scheduling.models import TenantUpkeepRun, UpkeepRun
from scheduling.services.upkeep.status import UpkeepLine
from scheduling.services.upkeep.tenant_runs import RunFinding, count_findings, findings_of
from tenants.api.fields import MomentField, NameField, StrictSerializer


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
        return [sentence.localized for sentence in run.sentences]

    def get_error(self, run: UpkeepRun) -> str:
        return run.error and gettext(run.error)


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
        return gettext(line.task.title)

    def get_text(self, line: UpkeepLine) -> str:
        return line.task.text and gettext(line.task.text)

    def get_interval_seconds(self, line: UpkeepLine) -> float:
        """Time between two runs."""
        return line.interval.total_seconds()


class RunTaskSerializer(StrictSerializer):
    """The task to run over the tenant."""

    task = NameField(max_length=64, help_text="`verify_audit` verifies the tenant's chain of the audit log.")


class RunFindingSerializer(serializers.Serializer[RunFinding]):
    """One fault that a run has found."""

    code = serializers.CharField()
    text = serializers.CharField(help_text="What is wrong, in the reader's language.")
    chain = serializers.UUIDField(allow_null=True)
    sequence = serializers.IntegerField(allow_null=True)
    entry = serializers.UUIDField(allow_null=True)


class TenantRunSerializer(serializers.Serializer[TenantUpkeepRun]):
    """A run of an upkeep task over the tenant, from its request to its end."""

    id = serializers.UUIDField()
    task = serializers.CharField(source="name")
    # A string and no enumeration in the schema: the platform's runs have a field of this name with other choices.
    outcome = serializers.CharField(
        help_text="`requested`, `running`, `partial` between two parts; `ok` or `failed` at the end."
    )
    is_open = serializers.BooleanField(help_text="Whether it has not ended.")
    requested_by = serializers.CharField()
    requested_at = MomentField()
    started_at = MomentField(allow_null=True)
    finished_at = MomentField(allow_null=True)
    progress = serializers.FloatField(help_text="About which part was looked at, from 0 to 1.")
    counts = serializers.DictField(child=serializers.IntegerField(), help_text="What was looked at, by name.")
    finding_count = serializers.SerializerMethodField(help_text="Faults that were found so far.")
    findings = serializers.SerializerMethodField(help_text="The first of them.")
    error = serializers.SerializerMethodField(help_text="Why it was cut off, if it was.")

    def get_finding_count(self, run: TenantUpkeepRun) -> int:
        return count_findings(run)

    @extend_schema_field(RunFindingSerializer(many=True))
    def get_findings(self, run: TenantUpkeepRun) -> list[dict[str, Any]]:
        return list(RunFindingSerializer(findings_of(run), many=True).data)

    def get_error(self, run: TenantUpkeepRun) -> str:
        return run.error and gettext(run.error)
