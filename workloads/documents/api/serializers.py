"""Serializers of datasets, searches and their results."""

from __future__ import annotations

import unicodedata
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from tenants.api.input import NameField, StrictSerializer, TextField, WholeNumberField
from workloads.documents.models import Dataset
from workloads.documents.search import MAX_QUERY_LENGTH, MAX_TOP_K, SearchMode
from workloads.documents.splitting import MAX_CHUNK_SIZE, MIN_CHUNK_SIZE

LOCATION_SCHEMA = {
    "type": "object",
    "description": "Where the chunk begins: `heading` is the path of headings above it.",
    "properties": {
        "heading": {"type": "array", "items": {"type": "string"}},
        "page": {"type": "integer"},
        "page_end": {"type": "integer"},
        "line": {"type": "integer"},
        "row": {"type": "integer"},
        "paragraph": {"type": "integer"},
    },
}


class DatasetSerializer(serializers.ModelSerializer[Dataset]):
    """A dataset with its settings."""

    class Meta:
        model = Dataset
        fields = ["id", "name", "description", "chunk_size", "chunk_overlap", "embedding_model", "created_at"]
        read_only_fields = fields


class DatasetNameField(NameField):
    """Serializer field of a dataset's name, converted to Unicode normal form NFC because names are unique."""

    def to_internal_value(self, data: Any) -> str:
        return unicodedata.normalize("NFC", super().to_internal_value(data))


class DatasetChangesSerializer(StrictSerializer):
    """Request body: the fields of a dataset that can be changed. Sizes are in tokens."""

    name = DatasetNameField(max_length=100, required=False)
    description = TextField(max_length=1_000, required=False, allow_blank=True)
    chunk_size = WholeNumberField(min_value=MIN_CHUNK_SIZE, max_value=MAX_CHUNK_SIZE, required=False)
    chunk_overlap = WholeNumberField(min_value=0, max_value=MAX_CHUNK_SIZE // 2, required=False)


class NewDatasetSerializer(DatasetChangesSerializer):
    """Request body: a new dataset. Only the name is required."""

    name = DatasetNameField(max_length=100)


class SearchSerializer(StrictSerializer):
    """Request body: a search in a dataset."""

    query = TextField(max_length=MAX_QUERY_LENGTH)
    top_k = WholeNumberField(min_value=1, max_value=MAX_TOP_K, default=10)
    mode = serializers.ChoiceField(choices=list(SearchMode), default=SearchMode.HYBRID.value)


class HitDocumentSerializer(serializers.Serializer[Any]):
    """The document that a chunk belongs to."""

    id = serializers.UUIDField()
    name = serializers.CharField()


@extend_schema_field(LOCATION_SCHEMA)
class LocationField(serializers.DictField):
    """Serializer field for the position in its document at which a chunk begins."""


class HitSerializer(serializers.Serializer[Any]):
    """A chunk that matched a search. Scores can be compared only within one answer."""

    chunk = serializers.UUIDField(source="chunk.pk")
    score = serializers.FloatField()
    document = HitDocumentSerializer(source="chunk.document")
    text = serializers.CharField(source="chunk.text")
    location = LocationField(source="chunk.location")


class SearchAnswerSerializer(serializers.Serializer[Any]):
    """The chunks that match a search, best first."""

    results = HitSerializer(many=True)
    milliseconds = serializers.DictField(child=serializers.FloatField(), help_text="Durations by part.")
