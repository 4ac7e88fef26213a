"""Serializers of schedules, their fires, previews and backfills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from scheduling.conf import MAX_BACKFILL_FIRES, MAX_TAGS
from scheduling.jobs.job_keys.models import MAX_JOB_KEY_CHARACTERS, UniqueUntil
from scheduling.jobs.requests import MAX_FAIR_KEY_CHARACTERS, MAX_TAG_CHARACTERS
from scheduling.models import Schedule, ScheduleFire
from scheduling.schedules.models import MAX_INTERVAL_SECONDS, MAX_JITTER_SECONDS
from scheduling.schedules.queries import sentence_of
from scheduling.schedules.recurrence import CatchUpPolicy, DstPolicy, OverlapPolicy
from scheduling.schedules.recurrence.cron import MAX_CRON_CHARACTERS
from scheduling.schedules.recurrence.fires import MAX_ZONE_CHARACTERS
from scheduling.schedules.rules import MAX_NAME_CHARACTERS
from tenants.api.input import MomentField, NameField, StrictSerializer, WholeNumberField

DST_POLICIES = [policy.value for policy in DstPolicy]
OVERLAP_POLICIES = [policy.value for policy in OverlapPolicy]
CATCH_UP_POLICIES = [policy.value for policy in CatchUpPolicy]


class TimingSerializer(StrictSerializer):
    """Timing of a schedule: cron, interval or single time; zone, rule for clock changes, first and last time."""

    cron = NameField(
        required=False,
        allow_blank=True,
        max_length=MAX_CRON_CHARACTERS,
        help_text="Five fields, or `@daily` and the like; docs/how-to/schedules.md describes their syntax.",
    )
    interval_seconds = WholeNumberField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=MAX_INTERVAL_SECONDS,
        help_text="Instead of a cron: seconds between runs, from `starts_at`, or from one interval after now.",
    )
    once_at = MomentField(required=False, allow_null=True, help_text="Instead of a cron: the time of a single run.")
    timezone = NameField(
        required=False,
        max_length=MAX_ZONE_CHARACTERS,
        help_text="An IANA name. Default: the tenant's setting `timezone`.",
    )
    dst_policy = serializers.ChoiceField(
        choices=DST_POLICIES, required=False, help_text="Rule for clock changes. Default: `standard`."
    )
    starts_at = MomentField(required=False, allow_null=True, help_text="No run before.")
    ends_at = MomentField(required=False, allow_null=True, help_text="No run after.")


class ScheduleWriteSerializer(TimingSerializer):
    """Request to create or change a schedule. Omitted fields get their defaults, or keep their values on a change."""

    name = NameField(max_length=MAX_NAME_CHARACTERS, help_text="Unique in the tenant.")
    kind = NameField(max_length=64, required=False, help_text="Required without a template, which decides it.")
    template = NameField(
        required=False, allow_null=True, allow_blank=True, max_length=50, help_text="Name of a job template to run."
    )
    payload = serializers.DictField(
        required=False, help_text="By the kind's own schema; with a template, the values of its parameters."
    )
    priority = WholeNumberField(required=False, min_value=-(2**15), max_value=2**15 - 1)
    queue = NameField(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=60,
        help_text="Only if routing allows a choice of queue.",
    )
    tags = serializers.ListField(child=NameField(max_length=MAX_TAG_CHARACTERS), required=False, max_length=MAX_TAGS)
    fair_key = NameField(required=False, allow_blank=True, max_length=MAX_FAIR_KEY_CHARACTERS)
    concurrency_key = NameField(required=False, allow_blank=True, max_length=MAX_JOB_KEY_CHARACTERS)
    unique_key = NameField(
        required=False,
        allow_blank=True,
        max_length=MAX_JOB_KEY_CHARACTERS,
        help_text="While a job of the kind has this key, a run is skipped.",
    )
    unique_until = serializers.ChoiceField(["", *UniqueUntil.values], required=False)
    max_retries = WholeNumberField(required=False, allow_null=True, min_value=0, max_value=2**15 - 1)
    overlap_policy = serializers.ChoiceField(
        choices=OVERLAP_POLICIES,
        required=False,
        help_text="Rule while a run has not ended. Default: `allow`.",
    )
    catch_up_policy = serializers.ChoiceField(
        choices=CATCH_UP_POLICIES, required=False, help_text="Rule after an outage. Default: `latest`."
    )
    jitter_seconds = WholeNumberField(required=False, min_value=0, max_value=MAX_JITTER_SECONDS)

    def to_internal_value(self, data: Any) -> Any:
        """Return the validated fields; without a template, a new schedule needs a kind."""
        self.fields["kind"].required = not (isinstance(data, Mapping) and data.get("template"))
        return super().to_internal_value(data)

    def to_values(self) -> dict[str, Any]:
        """Return the validated values in the form that `create_schedule` and `update_schedule` take."""
        values = dict(self.validated_data)
        if "queue" in values:
            values["queue"] = values["queue"] or ""
        if "tags" in values:
            values["tags"] = list(dict.fromkeys(values["tags"]))
        return values


class ScheduleSerializer(serializers.Serializer[Schedule]):
    """A schedule in a response; its payload is included only if `context["reveals"]` is true."""

    id = serializers.UUIDField()
    tenant = serializers.CharField(source="tenant.slug")
    name = serializers.CharField()
    kind = serializers.CharField()
    template = serializers.SerializerMethodField(help_text="Name of the job template that it runs, or null.")
    payload = serializers.SerializerMethodField(help_text="Null if it is masked.")
    is_masked = serializers.SerializerMethodField(help_text="Whether the caller may not see the payload.")
    priority = serializers.IntegerField()
    queue = serializers.SerializerMethodField(help_text="Null: the queue of the kind's routing.")
    tags = serializers.ListField(child=serializers.CharField())
    fair_key = serializers.CharField()
    concurrency_key = serializers.CharField()
    unique_key = serializers.CharField()
    unique_until = serializers.CharField(help_text="`started`, `ended`, or empty for the default.")
    max_retries = serializers.IntegerField(allow_null=True)
    cron = serializers.CharField(help_text="Empty with an interval or a single time.")
    interval_seconds = serializers.IntegerField(allow_null=True)
    once_at = MomentField(allow_null=True)
    words = serializers.SerializerMethodField(help_text="The times in English.")
    timezone = serializers.CharField()
    dst_policy = serializers.ChoiceField(choices=DST_POLICIES)
    overlap_policy = serializers.ChoiceField(choices=OVERLAP_POLICIES)
    catch_up_policy = serializers.ChoiceField(choices=CATCH_UP_POLICIES)
    jitter_seconds = serializers.IntegerField()
    starts_at = MomentField(allow_null=True)
    ends_at = MomentField(allow_null=True)
    is_enabled = serializers.BooleanField()
    pause_reason = serializers.CharField()
    next_fire_at = MomentField(allow_null=True)
    last_fire_at = MomentField(allow_null=True)
    version = serializers.IntegerField(help_text="For the header If-Match.")
    created_at = MomentField()
    updated_at = MomentField()

    @extend_schema_field(serializers.DictField(allow_null=True))
    def get_payload(self, schedule: Schedule) -> Any:
        return None if self.get_is_masked(schedule) else schedule.payload

    def get_template(self, schedule: Schedule) -> str | None:
        return schedule.template.name if schedule.template is not None else None

    def get_is_masked(self, schedule: Schedule) -> bool:
        del schedule
        return not self.context.get("reveals", False)

    def get_queue(self, schedule: Schedule) -> str | None:
        return schedule.queue or None

    def get_words(self, schedule: Schedule) -> str:
        return sentence_of(schedule)


class ScheduleFireSerializer(serializers.Serializer[ScheduleFire]):
    """One time of a schedule, with its outcome and job."""

    id = serializers.UUIDField()
    fire_time = MomentField()
    trigger = serializers.ChoiceField(choices=ScheduleFire.Trigger.values)
    outcome = serializers.ChoiceField(choices=ScheduleFire.Outcome.values)
    reason = serializers.CharField()
    job = serializers.UUIDField(source="job_id", allow_null=True)
    fired_at = MomentField()


class StrictBooleanField(serializers.BooleanField):
    """Boolean field that accepts only JSON `true` and `false`, not "no", 0 or null."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return bool(data)


class BackfillSerializer(StrictSerializer):
    """Request of a backfill: the first and the last time to cover, both inclusive."""

    to = MomentField(source="until", help_text="Inclusive, and not in the future.")
    dry_run = StrictBooleanField(default=True, help_text="Only list the times; submit nothing.")
    reason = NameField(default="", allow_blank=True, max_length=500)

    def get_fields(self) -> dict[str, Any]:
        # `from` is a keyword of Python and cannot be an attribute.
        return {"from": MomentField(source="since", help_text="Inclusive."), **super().get_fields()}


class RefusedFireSerializer(serializers.Serializer[Any]):
    """A time that got no job, and the reason."""

    fire_time = MomentField()
    reason = serializers.CharField()


class BackfillResultSerializer(serializers.Serializer[Any]):
    """Preview or result of a backfill."""

    dry_run = serializers.BooleanField()
    count = serializers.IntegerField(help_text="Times without a job.")
    fire_times = serializers.ListField(child=MomentField(), max_length=MAX_BACKFILL_FIRES)
    skipped = serializers.IntegerField(help_text="Times that already have their job.")
    submitted = serializers.IntegerField()
    refused = RefusedFireSerializer(many=True)


class PreviewRequestSerializer(TimingSerializer):
    """Request to preview a timing."""


class PreviewedRunSerializer(serializers.Serializer[Any]):
    """A future run in a preview."""

    at = MomentField()
    local = serializers.SerializerMethodField(help_text="Local time of the zone, with its offset.")
    utc_offset = serializers.CharField()
    note = serializers.CharField(help_text="Note on a clock change; else empty.")

    def get_local(self, run: Any) -> str:
        return str(run.local.isoformat())


class PreviewSerializer(serializers.Serializer[Any]):
    """Preview of a timing: its times in words and the next ten runs."""

    words = serializers.CharField()
    timezone = serializers.CharField()
    least_interval_seconds = serializers.IntegerField(allow_null=True, help_text="Null for a single time.")
    runs = PreviewedRunSerializer(many=True)
