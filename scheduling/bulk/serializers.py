"""Serializers of bulk operations and previews, and of the requests to start, abort and undo an operation."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from scheduling.bulk.effect import EFFECT_NOTES, BulkEffect, WaitRow
from scheduling.bulk.queries import BulkProgress, progress_of
from scheduling.bulk.starting import BulkPlan, SampledJob
from scheduling.models import BulkOperation
from tenants.api.input import NameField, StrictSerializer, TextField, WholeNumberField
from tenants.tenancy.pausing import REASON_LIMIT

_MAX_TICKET_CHARACTERS = 2_000
_MAX_FILTER_CHARACTERS = 10_000


class BulkRequestSerializer(StrictSerializer):
    """Request to preview or start a bulk operation: filter, action and reason."""

    filter = TextField(
        max_length=_MAX_FILTER_CHARACTERS,
        required=False,
        default="",
        help_text=(
            "Required except for `reroute`, such as `state:discarded queue:pipeline age:>1h`; see "
            "docs/reference/filters.md."
        ),
    )
    operation = serializers.ChoiceField(choices=BulkOperation.Operation.choices)
    priority = WholeNumberField(required=False, help_text="For `reprioritise`; within the plan's limits.")
    queue = NameField(
        max_length=60, required=False, help_text="For `move_queue`: a queue that routing allows the tenant to choose."
    )
    payload_patch = serializers.DictField(
        default=None,
        allow_null=True,
        help_text=(
            "For `retry` and `requeue` of one tenant's jobs: merged into each payload (RFC 7396: null "
            "removes a member); requires the permission `jobs.reveal`."
        ),
    )
    reason = NameField(
        max_length=REASON_LIMIT, required=False, allow_blank=True, default="", help_text="Required unless `dry_run`."
    )
    dry_run = serializers.BooleanField(default=False, help_text="Only preview the operation.")
    number = WholeNumberField(
        required=False,
        allow_null=True,
        default=None,
        help_text="Number of matching jobs, required above 1,000; that of the preview if its `ticket` is given.",
    )
    ticket = TextField(
        max_length=_MAX_TICKET_CHARACTERS,
        required=False,
        allow_blank=True,
        default="",
        help_text="From a dry run: the operation covers exactly the jobs that it showed. Valid for 15 minutes.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Reject fields that a reroute does not use."""
        if attrs["operation"] == BulkOperation.Operation.REROUTE:
            taken = ("operation", "reason")
            unfit = [name for name, value in attrs.items() if name not in taken and value not in (None, "", False)]
            if unfit:
                fault = serializers.ErrorDetail(gettext("This operation does not use this field."), code="invalid")
                raise serializers.ValidationError({name: [fault] for name in unfit})
        return attrs

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the action's own parameters (priority or queue) as the service takes them."""
        return {name: self.validated_data[name] for name in ("priority", "queue") if name in self.validated_data}


class BulkReasonSerializer(StrictSerializer):
    """Request to abort or undo an operation, with the reason."""

    reason = NameField(max_length=REASON_LIMIT, help_text="For the audit log.")


class BulkRefusalSerializer(serializers.Serializer[Any]):
    """Error code and text that say why a job would be refused."""

    code = serializers.CharField()
    detail = serializers.CharField()


class SampledJobSerializer(serializers.Serializer[SampledJob]):
    """One of the first matching jobs; its refusal quotes the payload only if ``context["reveals"]`` is true."""

    id = serializers.UUIDField(source="job.id")
    kind = serializers.CharField(source="job.kind")
    state = serializers.CharField(source="job.state")
    queue = serializers.CharField(source="job.queue.name")
    created_at = serializers.DateTimeField(source="job.created_at")
    refusal = serializers.SerializerMethodField(
        help_text="Why it would be refused, for example for its payload; or null."
    )

    @extend_schema_field(BulkRefusalSerializer(allow_null=True))
    def get_refusal(self, item: SampledJob) -> Any:
        if item.refusal is None:
            return None
        return {"code": item.refusal.code, "detail": item.refusal_words(reveals=self.context["reveals"])}


class WaitLineSerializer(serializers.Serializer[WaitRow]):
    """Wait in one pool of a job that the tenant submits now, provided that no more jobs arrive."""

    tenant = serializers.CharField()
    pool = serializers.CharField()
    now_seconds = serializers.FloatField(allow_null=True, help_text="Null: it never starts at the current rate.")
    after_seconds = serializers.FloatField(allow_null=True)


class BulkEffectSerializer(serializers.Serializer[BulkEffect]):
    """Estimated waits before and after the operation; a tenant's users and keys see only those of their tenant."""

    lines = WaitLineSerializer(many=True, help_text="The most affected tenants, longer waits first.")
    notes = serializers.SerializerMethodField(help_text="What the estimate leaves out: code and sentence.")

    @extend_schema_field(serializers.DictField(child=serializers.CharField()))
    def get_notes(self, effect: BulkEffect) -> dict[str, str]:
        return {code: EFFECT_NOTES[code] for code in effect.notes}


class BulkPreviewSerializer(serializers.Serializer[BulkPlan]):
    """Preview of a bulk operation: which jobs it would change, and how the waits would change."""

    words = serializers.CharField(source="preview.words", help_text="The filter in words.")
    filter = serializers.CharField(source="jobs.job_filter.text", help_text="The filter as it would be frozen.")
    count = serializers.IntegerField(source="preview.count.value", help_text="Matching jobs, counted up to 10,000.")
    count_is_more = serializers.BooleanField(source="preview.count.is_capped")
    eligible = serializers.IntegerField(source="preview.eligible", help_text="Jobs of these that can be changed.")
    ineligible = serializers.DictField(
        source="preview.ineligible",
        child=serializers.IntegerField(),
        help_text="Jobs that cannot be changed, by reason.",
    )
    by_state = serializers.DictField(source="preview.by_state", child=serializers.IntegerField())
    by_queue = serializers.DictField(source="preview.by_queue", child=serializers.IntegerField())
    sample = SampledJobSerializer(many=True)
    effect = BulkEffectSerializer(help_text="Tenants that would wait longer or less, by predicted costs.")
    needs_number = serializers.BooleanField()
    ticket = serializers.CharField()


class BulkProgressSerializer(serializers.Serializer[BulkProgress]):
    """Progress of an operation: its rate, its share and the time left."""

    seconds = serializers.FloatField()
    rate = serializers.FloatField(help_text="Jobs a second, over its whole duration.")
    share = serializers.FloatField(allow_null=True, help_text="0 to 1; null if the total is unknown.")
    eta_seconds = serializers.FloatField(allow_null=True)


class BulkOperationSerializer(serializers.Serializer[BulkOperation]):
    """A bulk operation; ``context["now"]`` must be the database's time, for the progress."""

    id = serializers.UUIDField()
    tenant = serializers.CharField(source="tenant.slug", allow_null=True, default=None, help_text="Null: all tenants'.")
    operation = serializers.ChoiceField(choices=BulkOperation.Operation.choices)
    parameters = serializers.DictField()
    has_payload_patch = serializers.BooleanField(help_text="Whether it changes payloads; the patch is not shown.")
    filter = serializers.CharField(help_text="The filter as frozen at the start.")
    asked_filter = serializers.CharField()
    state = serializers.ChoiceField(choices=BulkOperation.State.choices)
    expected = serializers.IntegerField(help_text="Jobs that matched at the start, counted up to 10,000.")
    expected_is_more = serializers.BooleanField(source="is_expected_capped")
    seen = serializers.IntegerField()
    changed = serializers.IntegerField()
    ineligible = serializers.DictField(
        child=serializers.IntegerField(), help_text="Jobs that could not be changed, by reason."
    )
    progress = serializers.SerializerMethodField()
    resume_at = serializers.DateTimeField(
        allow_null=True, help_text="When a limit of the tenant allows it to continue."
    )
    error = serializers.CharField(help_text="Error of the last turn, if it failed.")
    reason = serializers.CharField()
    actor = serializers.SerializerMethodField()
    undo_of = serializers.UUIDField(source="undo_of_id", allow_null=True)
    batch = serializers.UUIDField(source="batch_id", allow_null=True, help_text="The batch that it cancels, or null.")
    is_undoable = serializers.BooleanField(help_text="Whether it can be undone.")
    frozen_at = serializers.DateTimeField(help_text="Jobs submitted later are not changed.")
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)

    @extend_schema_field(BulkProgressSerializer)
    def get_progress(self, operation: BulkOperation) -> Any:
        return BulkProgressSerializer(progress_of(operation, self.context["now"])).data

    def get_actor(self, operation: BulkOperation) -> str:
        return f"{operation.actor_kind}:{operation.actor_label or operation.actor_id}"
