"""Serializers of searches in datasets."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from tenants.api.input import NumberField, StrictSerializer, TextField, WholeNumberField
from workloads.documents.search import MAX_DATASETS, MAX_QUERY_LENGTH, MAX_TOP_K, SearchMode

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
        "parent": {"type": "array", "items": {"type": "integer"}, "description": "First and last chunk of its parent."},
        "joint": {"type": "string", "description": "What stands before the chunk in its parent."},
        "summary": {"type": "string", "description": "Of a summary only: the model that has written it."},
    },
}


class SearchSerializer(StrictSerializer):
    """Request body: a search in a dataset."""

    query = TextField(max_length=MAX_QUERY_LENGTH)
    top_k = WholeNumberField(min_value=1, max_value=MAX_TOP_K, default=10)
    mode = serializers.ChoiceField(choices=list(SearchMode), default=SearchMode.HYBRID.value)
    min_score = NumberField(
        min_value=0,
        max_value=1,
        allow_null=True,
        default=None,
        help_text="Chunks with a lower score are left out. Null: the dataset's least score.",
    )
    fold_duplicates = serializers.BooleanField(
        default=True, help_text="Whether a chunk with nearly the text of a better one is listed with it."
    )
    filter = serializers.DictField(
        allow_null=True,
        default=None,
        help_text='Values that documents must have: `{"year": {"gte": 2024}, "tag": {"in": ["a", "b"]}}`.',
    )
    rerank = serializers.BooleanField(
        allow_null=True,
        default=None,
        help_text="Whether the re-ranking endpoint re-orders the best results. Null: as the dataset is set.",
    )


class DatasetsSearchSerializer(SearchSerializer):
    """Request body: a search in several datasets."""

    datasets = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=MAX_DATASETS)


class HitDocumentSerializer(serializers.Serializer[Any]):
    """The document that a chunk belongs to."""

    id = serializers.UUIDField()
    name = serializers.CharField()


@extend_schema_field(LOCATION_SCHEMA)
class LocationField(serializers.DictField):
    """Serializer field for the position in its document at which a chunk begins."""


class HighlightSerializer(serializers.Serializer[Any]):
    """A place of a term of the query, in characters of the text; the end is the place after the last."""

    start = serializers.IntegerField()
    end = serializers.IntegerField()


class DuplicateSerializer(serializers.Serializer[Any]):
    """A chunk whose text is nearly that of the chunk that is listed."""

    chunk = serializers.UUIDField(source="pk")
    document = HitDocumentSerializer()


class HitSerializer(serializers.Serializer[Any]):
    """A chunk that matched a search, with the text of its parent if it has one.

    Scores can be compared between answers of the same mode and weights.
    """

    chunk = serializers.UUIDField(source="chunk.pk")
    score = serializers.FloatField()
    dataset = serializers.UUIDField(source="chunk.dataset_id")
    document = HitDocumentSerializer(source="chunk.document")
    text = serializers.CharField()
    location = LocationField(source="chunk.location")
    is_summary = serializers.BooleanField(source="chunk.is_summary", help_text="Whether a model has written the text.")
    highlights = HighlightSerializer(many=True)
    duplicates = DuplicateSerializer(many=True)


class SearchAnswerSerializer(serializers.Serializer[Any]):
    """The chunks that match a search, best first."""

    results = HitSerializer(many=True)
    milliseconds = serializers.DictField(child=serializers.FloatField(), help_text="Durations by part.")
    reranked = serializers.BooleanField(help_text="Whether the re-ranking endpoint has decided the order.")
    rerank_reason = serializers.CharField(help_text="The code of the reason if it should have but has not, else empty.")
