"""Serializers of pipelines, runs and entities."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from tenants.api.input import NameField, StrictSerializer, TextField, WholeNumberField
from workloads.pipelines.queries import SHOWN_ENTITY_STATES, SHOWN_RUN_STATES
from workloads.pipelines.source_schema import SOURCES_SCHEMA

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


@extend_schema_field({"type": "object", "description": "A graph: GET /pipelines/definition-schema/ has its schema."})
class PipelineDefinitionField(serializers.JSONField):
    """Serializer field for the definition of a pipeline.

    The service validates it and names the position of each fault.
    """


@extend_schema_field(_inlined(SOURCES_SCHEMA))
class SourcesField(serializers.JSONField):
    """Serializer field for the sources of a run. The service validates them and names the position of each fault."""


class PipelineNameField(NameField):
    """Serializer field of a pipeline's name, converted to Unicode normal form NFC because names are unique."""

    def to_internal_value(self, data: Any) -> str:
        return unicodedata.normalize("NFC", super().to_internal_value(data))


class PipelineSerializer(serializers.Serializer[Any]):
    """A pipeline without its definition, which belongs to its versions."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    description = serializers.CharField()
    latest_version = serializers.IntegerField(source="latest_number")
    created_at = serializers.DateTimeField()


class NewPipelineSerializer(StrictSerializer):
    """Request body: a pipeline with its first definition."""

    name = PipelineNameField(max_length=100)
    description = TextField(max_length=1_000, required=False, allow_blank=True)
    definition = PipelineDefinitionField()
    note = NameField(max_length=500, required=False, allow_blank=True)


class PipelineChangesSerializer(StrictSerializer):
    """Request body: the fields of a pipeline that can be changed without a new version."""

    name = PipelineNameField(max_length=100, required=False)
    description = TextField(max_length=1_000, required=False, allow_blank=True)


class PipelineVersionSummarySerializer(serializers.Serializer[Any]):
    """A version of a pipeline, without its definition."""

    number = serializers.IntegerField()
    dataset = serializers.UUIDField(source="dataset_id", help_text="The dataset that it loads into.")
    note = serializers.CharField()
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()


class PipelineVersionSerializer(PipelineVersionSummarySerializer):
    """A version of a pipeline, with its definition."""

    definition = PipelineDefinitionField()


class NewPipelineVersionSerializer(StrictSerializer):
    """Request body: a definition to save as the next version."""

    definition = PipelineDefinitionField()
    note = NameField(max_length=500, required=False, allow_blank=True, default="")
    expected_version = WholeNumberField(
        required=False,
        min_value=1,
        max_value=MAX_NUMBER,
        help_text="409 `pipeline_changed` if another version is the latest.",
    )


class NewPipelineRunSerializer(StrictSerializer):
    """Request body: a run to start."""

    version = WholeNumberField(
        required=False, min_value=1, max_value=MAX_NUMBER, help_text="A version's number; absent: the latest."
    )
    sources = SourcesField(required=False, help_text="Sources of this run, in place of the definition's.")
    priority = serializers.BooleanField(
        required=False, default=False, help_text="Request the queue `priority_pipeline`; paid tiers always use it."
    )


class PipelineErrorSerializer(serializers.Serializer[Any]):
    """Why a run or an entity has failed."""

    code = serializers.CharField()
    message = serializers.CharField()


class EntityCountsSerializer(serializers.Serializer[Any]):
    """The number of a run's entities: in total, completed, in error and cancelled."""

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
    """A run of a pipeline, and its progress."""

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
    """One source of a run, and the progress of loading it."""

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
    """Query parameters that filter the list of runs."""

    pipeline = serializers.UUIDField(required=False)
    state = serializers.ChoiceField(choices=SHOWN_RUN_STATES, required=False)


class PipelineEntityQuerySerializer(StrictSerializer):
    """Query parameters that filter the list of entities."""

    state = serializers.ChoiceField(choices=SHOWN_ENTITY_STATES, required=False)


class EntityRetrySerializer(StrictSerializer):
    """Request body: an optional reason for the retry of an entity."""

    reason = TextField(max_length=500, required=False, allow_blank=True, default="")
