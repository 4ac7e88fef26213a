"""Serializers of sources of documents."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from tenants.api.input import NameField, StrictSerializer, WholeNumberField
from workloads.documents.sources.models import MAX_DOCUMENTS, ContentSource, GoneItems, SourceItem
from workloads.documents.sources.queries import SYNC_STATUSES
from workloads.files.incoming import MAX_FILE_BYTES


class CountsSerializer(serializers.Serializer[Any]):
    """The results of the last sync that was completed; empty before."""

    listed = serializers.IntegerField(required=False)
    new = serializers.IntegerField(required=False)
    changed = serializers.IntegerField(required=False)
    failed = serializers.IntegerField(required=False)
    gone = serializers.IntegerField(required=False)
    is_complete = serializers.BooleanField(required=False, help_text="False: the listing was cut, so nothing is gone.")


class DocumentSourceSerializer(serializers.ModelSerializer[ContentSource]):
    """A source of documents, and its last sync."""

    dataset = serializers.UUIDField(source="dataset_id")
    job = serializers.UUIDField(source="job_id", allow_null=True)
    sync_status = serializers.ChoiceField(choices=SYNC_STATUSES)
    error_code = serializers.CharField(source="job_error_type", allow_null=True)
    error_message = serializers.CharField(source="job_error_message", allow_null=True)
    counts = serializers.SerializerMethodField()

    class Meta:
        model = ContentSource
        fields = ["id", "name", "dataset", "connector", "config", "credentials", "max_documents", "max_file_bytes"]
        fields += ["gone_items", "is_enabled", "sync_status", "job", "error_code", "error_message", "synced_at"]
        fields += ["counts", "created_at"]
        read_only_fields = fields

    @extend_schema_field(CountsSerializer)
    def get_counts(self, source: ContentSource) -> Any:
        return source.counts


class SourceChangesSerializer(StrictSerializer):
    """Request body: the fields of a source that can be changed."""

    name = NameField(max_length=100, required=False)
    config = serializers.DictField(required=False, help_text="The configuration, by the schema of the connector.")
    credentials = serializers.DictField(
        child=NameField(max_length=63),
        required=False,
        help_text="The name of a stored secret for each credential of the connector.",
    )
    max_documents = WholeNumberField(min_value=1, max_value=MAX_DOCUMENTS, required=False)
    max_file_bytes = WholeNumberField(min_value=1, max_value=MAX_FILE_BYTES, required=False)
    gone_items = serializers.ChoiceField(
        choices=GoneItems.choices, required=False, help_text="What happens to the documents of items that are gone."
    )
    is_enabled = serializers.BooleanField(required=False)


class NewSourceSerializer(SourceChangesSerializer):
    """Request body: a new source of documents."""

    name = NameField(max_length=100)
    dataset = serializers.UUIDField()
    connector = NameField(max_length=63, help_text="`s3`, `sitemap`, or the name of a plug-in.")
    config = serializers.DictField(help_text="The configuration, by the schema of the connector.")


class SourceItemSerializer(serializers.ModelSerializer[SourceItem]):
    """An item of a source, and its document."""

    document = serializers.UUIDField(source="document_id", allow_null=True)

    class Meta:
        model = SourceItem
        fields = ["id", "key", "version", "state", "document", "sha256", "error_code", "error_message", "changed_at"]
        read_only_fields = fields
