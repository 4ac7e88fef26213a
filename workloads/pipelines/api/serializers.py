"""Serializers of pipelines, runs and entities."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from tenants.api.input import NameField, StrictSerializer, TextField, WholeNumberField
from workloads.pipelines.definition import SCHEMA, SOURCES_SCHEMA
from workloads.pipelines.queries import SHOWN_ENTITY_STATES, SHOWN_RUN_STATES

MAX_NUMBER = 2**31 - 1


def _inlined(schema: Any) -> Any:
    """Return the schema for the OpenAPI document, which supports alternatives but no conditions."""
    if isinstance(schema, Mapping):
        parts = schema.get("allOf", ())
        if parts and all("if" in part for part in parts):
            return {"description": schema.get("description", ""), "oneOf": [_alternative(part) for part in parts]}
        return {name: _inlined(value) for name, value in schema.items() if name != "$schema"}
    return [_inlined(value) for value in schema] if isinstance(schema, list) else schema


def _alternative(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a condition on ``type`` and its consequence as one alternative."""
    kind, then = part["if"]["properties"]["type"]["const"], part["then"]
    return {
        "type": "object",
        "required": ["type", *then["required"]],
        "properties": {**then["properties"], "type": {"type": "string", "enum": [kind]}},
        "additionalProperties": False,
    }


@extend_schema_field(_inlined(SCHEMA))
class PipelineDefinitionField(serializers.JSONField):
    """A definition, which the service validates; each fault names its place."""


@extend_schema_field(_inlined(SOURCES_SCHEMA))
class SourcesField(serializers.JSONField):
    """Sources of a run, which the service validates; each fault names its place."""


class PipelineNameField(NameField):
    """Field of a pipeline's name, in Unicode form NFC, since names are unique."""

    def to_internal_value(self, data: Any) -> str:
        return unicodedata.normalize("NFC", super().to_internal_value(data))


class PipelineSerializer(serializers.Serializer[Any]):
    """A pipeline; its definition is that of its latest version."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    description = serializers.CharField()
    latest_version = serializers.IntegerField(source="latest_number")
    created_at = serializers.DateTimeField()


class NewPipelineSerializer(StrictSerializer):
    """A pipeline with its first definition."""

    name = PipelineNameField(max_length=100)
    description = TextField(max_length=1_000, required=False, allow_blank=True)
    definition = PipelineDefinitionField()
    note = NameField(max_length=500, required=False, allow_blank=True)


class PipelineChangesSerializer(StrictSerializer):
    """Fields of a pipeline that can be changed; a definition is changed by saving a version."""

    name = PipelineNameField(max_length=100, required=False)
    description = TextField(max_length=1_000, required=False, allow_blank=True)


class PipelineVersionSummarySerializer(serializers.Serializer[Any]):
    """A version without its definition."""

    number = serializers.IntegerField()
    dataset = serializers.UUIDField(source="dataset_id", help_text="The dataset that it loads into.")
    note = serializers.CharField()
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()


class PipelineVersionSerializer(PipelineVersionSummarySerializer):
    """A saved definition."""

    definition = PipelineDefinitionField()


class NewPipelineVersionSerializer(StrictSerializer):
    """A definition to save as the next version."""

    definition = PipelineDefinitionField()
    note = NameField(max_length=500, required=False, allow_blank=True, default="")
    expected_version = WholeNumberField(
        required=False,
        min_value=1,
        max_value=MAX_NUMBER,
        help_text="409 `pipeline_changed` if another version is the latest.",
    )


class NewPipelineRunSerializer(StrictSerializer):
    """A run to start."""

    version = WholeNumberField(
        required=False, min_value=1, max_value=MAX_NUMBER, help_text="A version's number; absent: the latest."
    )
    sources = SourcesField(required=False, help_text="Sources of this run, in place of the definition's.")
    priority = serializers.BooleanField(
        required=False, default=False, help_text="Request the queue `priority_pipeline`; paid tiers always use it."
    )


class PipelineErrorSerializer(serializers.Serializer[Any]):
    """Why something failed."""

    code = serializers.CharField()
    message = serializers.CharField()


class EntityCountsSerializer(serializers.Serializer[Any]):
    """Number of a run's entities, in total and by outcome."""

    total = serializers.IntegerField(source="entities_total")
    completed = serializers.IntegerField(source="entities_completed")
    error = serializers.IntegerField(source="entities_error")
    cancelled = serializers.IntegerField(source="entities_cancelled")


class _ShownSerializer(serializers.Serializer[Any]):
    error = serializers.SerializerMethodField()

    @extend_schema_field(PipelineErrorSerializer(allow_null=True))
    def get_error(self, row: Any) -> dict[str, str] | None:
        if not row.shown_error_code:
            return None
        return {"code": row.shown_error_code, "message": row.shown_error_message}


class PipelineRunSerializer(_ShownSerializer):
    """A run and its progress."""

    id = serializers.UUIDField()
    pipeline = serializers.UUIDField(source="pipeline_id")
    version = serializers.IntegerField(source="version.number")
    state = serializers.ChoiceField(choices=SHOWN_RUN_STATES, source="shown_state")
    entities = EntityCountsSerializer(source="*")
    job = serializers.UUIDField(
        source="job_id", help_text="The job of the run: cancel, pause and monitor the run through it."
    )
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)


class PipelineEntitySerializer(_ShownSerializer):
    """One source of a run and its progress."""

    id = serializers.UUIDField()
    run = serializers.UUIDField(source="run_id")
    position = serializers.IntegerField()
    name = serializers.CharField()
    source = serializers.CharField(source="source_type", help_text="`file`, `url` or `text`.")
    state = serializers.ChoiceField(choices=SHOWN_ENTITY_STATES, source="shown_state")
    attempt = serializers.IntegerField()
    chunks_done = serializers.IntegerField()
    chunks_total = serializers.IntegerField(allow_null=True, help_text="Null until the text is split.")
    document = serializers.UUIDField(source="document_id", allow_null=True)
    is_duplicate = serializers.BooleanField(help_text="The dataset already had this content; nothing was loaded.")
    job = serializers.UUIDField(source="job_id")
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)


class PipelineRunQuerySerializer(StrictSerializer):
    """Filters of the list of runs."""

    pipeline = serializers.UUIDField(required=False)
    state = serializers.ChoiceField(choices=SHOWN_RUN_STATES, required=False)


class PipelineEntityQuerySerializer(StrictSerializer):
    """Filters of the list of entities."""

    state = serializers.ChoiceField(choices=SHOWN_ENTITY_STATES, required=False)


class EntityRetrySerializer(StrictSerializer):
    """Optional reason for the retry of an entity."""

    reason = TextField(max_length=500, required=False, allow_blank=True, default="")
