"""Serializers of chunks."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from tenants.api.input import StrictSerializer, TextField, WholeNumberField
from workloads.documents.api.search_serializers import LocationField
from workloads.documents.chunks.queries import ChunkState, extracted_text
from workloads.documents.chunks.rules import MAX_CHUNK_CHARACTERS
from workloads.documents.models import Chunk, ChunkChange

_MAX_FILTER = 200


class ChunkSerializer(serializers.Serializer[Any]):
    """A chunk of a document."""

    id = serializers.UUIDField()
    dataset = serializers.UUIDField(source="dataset_id")
    document = serializers.UUIDField(source="document_id")
    place = serializers.FloatField(source="order", help_text="Where it stands in its document.")
    text = serializers.CharField()
    location = LocationField()
    is_summary = serializers.BooleanField(help_text="Whether a model has written it, as a summary of the document.")
    is_enabled = serializers.BooleanField(help_text="False: no search finds it.")
    is_edited = serializers.BooleanField(help_text="Whether a person has changed or added its text.")
    is_embedding = serializers.SerializerMethodField(help_text="Whether its vector is still that of an earlier text.")
    version = serializers.IntegerField()

    def get_is_embedding(self, chunk: Chunk) -> bool:
        return chunk.vector_digest is None


class FullChunkSerializer(ChunkSerializer):
    """A chunk with the text that indexing gave it."""

    extracted_text = serializers.SerializerMethodField(help_text="Null if it was added by hand.")

    def get_extracted_text(self, chunk: Chunk) -> str | None:
        return extracted_text(chunk)


class ChunkVersionSerializer(serializers.Serializer[Any]):
    """An earlier text of a chunk: the change that replaced it, by whom, and when."""

    number = serializers.IntegerField()
    text = serializers.CharField()
    change = serializers.ChoiceField(choices=ChunkChange.choices)
    replaced_by = serializers.CharField()
    replaced_at = serializers.DateTimeField()


class ChunkVersionsSerializer(serializers.Serializer[Any]):
    """The earlier texts of a chunk, newest first."""

    versions = ChunkVersionSerializer(many=True)


class SplitChunkSerializer(serializers.Serializer[Any]):
    """Both parts of a chunk that was split."""

    chunks = FullChunkSerializer(many=True)


class ChunkQuerySerializer(StrictSerializer):
    """Query parameters that filter a list of chunks."""

    state = serializers.ChoiceField(choices=list(ChunkState), required=False)
    words = TextField(max_length=_MAX_FILTER, required=False, help_text="Words that text or headings must have.")
    heading = TextField(max_length=_MAX_FILTER, required=False, help_text="Words that the headings must have.")


class DatasetChunkQuerySerializer(ChunkQuerySerializer):
    """Query parameters that filter the list of a dataset's chunks."""

    document = serializers.UUIDField(required=False)


class ChunkReasonSerializer(StrictSerializer):
    """Request body: an optional reason for a change of a chunk."""

    reason = TextField(max_length=500, required=False, allow_blank=True, default="")


class NewChunkSerializer(ChunkReasonSerializer):
    """Request body: the text of a new chunk."""

    text = TextField(max_length=MAX_CHUNK_CHARACTERS, trim_whitespace=False)


class ChunkChangesSerializer(ChunkReasonSerializer):
    """Request body: the fields of a chunk that can be changed."""

    text = TextField(max_length=MAX_CHUNK_CHARACTERS, trim_whitespace=False, required=False)
    is_enabled = serializers.BooleanField(required=False)


class SplitSerializer(ChunkReasonSerializer):
    """Request body: before which character of its text a chunk is split."""

    offset = WholeNumberField(min_value=1, max_value=MAX_CHUNK_CHARACTERS)


class RestoreSerializer(ChunkReasonSerializer):
    """Request body: the number of the version that a chunk gets again."""

    version = WholeNumberField(min_value=1, max_value=2**31 - 1)
