"""API view of `datasets/{id}/preview/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.core.files.uploadedfile import UploadedFile
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access.permissions import Permission
from tenants.api.input import StrictJSONParser, TextField
from tenants.api.viewsets import TenantViewSet, Unpaged
from tenants.limits.declared import HEAVY
from tenants.requests.bodies import MAX_ANONYMOUS_BYTES
from workloads.documents.api.search_serializers import LocationField
from workloads.documents.api.views import SplittingSerializer
from workloads.documents.indexing.api.serializers import MAX_TEXT_LENGTH, TEXT_FORMATS, EncodingField
from workloads.documents.indexing.preview import MAX_PREVIEW_BYTES, preview_file, preview_text
from workloads.documents.models import Dataset
from workloads.documents.queries import get_dataset
from workloads.documents.split_settings import MAX_CHUNK_SIZE, MAX_PARENT_SIZE, MIN_CHUNK_SIZE


class PreviewTextSerializer(SplittingSerializer):
    """Request body: a text to preview. Settings that are missing are those of the dataset."""

    text = TextField(max_length=MAX_TEXT_LENGTH)
    format = serializers.ChoiceField(choices=list(TEXT_FORMATS), default="text")


class PreviewFileSerializer(SplittingSerializer):
    """Request body: a file of at most 5 MiB to preview, as `multipart/form-data`, whose numbers are texts."""

    chunk_size = serializers.IntegerField(min_value=MIN_CHUNK_SIZE, max_value=MAX_CHUNK_SIZE, required=False)
    chunk_overlap = serializers.IntegerField(min_value=0, max_value=MAX_CHUNK_SIZE // 2, required=False)
    parent_size = serializers.IntegerField(min_value=MIN_CHUNK_SIZE, max_value=MAX_PARENT_SIZE, required=False)
    file = serializers.FileField()
    encoding = EncodingField()


class PreviewChunkSerializer(serializers.Serializer[Any]):
    """A chunk that the document would have."""

    position = serializers.IntegerField()
    text = serializers.CharField()
    location = LocationField()
    tokens = serializers.IntegerField(help_text="Estimated.")
    characters = serializers.IntegerField()


class PreviewAnswerSerializer(serializers.Serializer[Any]):
    """The first 50 chunks, and the number of all."""

    total = serializers.IntegerField()
    chunks = PreviewChunkSerializer(many=True)
    encoding = serializers.CharField(source="facts.encoding")
    pages = serializers.IntegerField(source="facts.pages", allow_null=True)
    warnings = serializers.ListField(source="facts.warnings", child=serializers.CharField())


class DatasetPreviewViewSet(Unpaged, TenantViewSet):
    """Preview of the chunks of a dataset's future document."""

    model = Dataset
    permissions: ClassVar[Mapping[str, Permission]] = {"preview": Permission.DATASETS_MANAGE}
    request_costs: ClassVar[Mapping[str, int]] = {"preview": HEAVY}
    parser_classes: ClassVar[list[type[BaseParser]]] = [StrictJSONParser, MultiPartParser]
    max_upload_bytes: ClassVar[Mapping[str, int]] = {"preview": MAX_PREVIEW_BYTES + MAX_ANONYMOUS_BYTES}

    @extend_schema(
        operation_id="datasets_preview",
        request={"application/json": PreviewTextSerializer, "multipart/form-data": PreviewFileSerializer},
        responses=PreviewAnswerSerializer,
    )
    def preview(self, request: Request, dataset_id: str) -> Response:
        """Return the chunks that a file or text would have in the dataset, with other settings if given.

        Nothing is stored. Answer 422 `preview_refused` with the reason for a file that cannot be indexed.
        """
        dataset = get_dataset(UUID(dataset_id))
        is_file = (request.content_type or "").startswith("multipart/")
        asked = (PreviewFileSerializer if is_file else PreviewTextSerializer).of(request.data).validated_data
        file: UploadedFile[bytes] | None = asked.pop("file", None)
        source = {name: asked.pop(name) for name in ("text", "format", "encoding") if name in asked}
        for name, value in asked.items():
            setattr(dataset, name, value)
        settings = dataset.split_settings
        if file is not None:
            found = preview_file(tenant=self.tenant, file=file, settings=settings, encoding=source["encoding"])
        else:
            content_type = TEXT_FORMATS[source["format"]]
            found = preview_text(tenant=self.tenant, text=source["text"], content_type=content_type, settings=settings)
        return Response(PreviewAnswerSerializer(found).data)
