"""Serializers and API views of `datasets/`."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access.permissions import Permission
from tenants.api.editions import EditedRows, etag_headers
from tenants.api.input import NameField, NumberField, StrictSerializer, TextField, WholeNumberField
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import TenantViewSet
from tenants.limits.declared import SEARCH
from tenants.tenancy.regions import MOST_REGIONS, REGION_LENGTH
from workloads.documents.api.search_serializers import (
    DatasetsSearchSerializer,
    SearchAnswerSerializer,
    SearchSerializer,
)
from workloads.documents.extraction.limits import MAX_OCR_PAGES
from workloads.documents.indexing.api.serializers import OperationSerializer, ReasonBodySerializer
from workloads.documents.indexing.dataset_operations import delete_with_documents
from workloads.documents.metadata import MAX_FIELD_NAME_LENGTH, MAX_FIELDS, FieldType
from workloads.documents.models import Dataset
from workloads.documents.platform_settings import MAX_MODEL_NAME_LENGTH
from workloads.documents.queries import get_dataset, has_documents
from workloads.documents.reranking import Reranking
from workloads.documents.search import SearchMode, search_datasets
from workloads.documents.search_results import Timings
from workloads.documents.service import (
    EXTRACTION,
    SPLITTING,
    archive_dataset,
    create_dataset,
    delete_dataset,
    unarchive_dataset,
    update_dataset,
)
from workloads.documents.split_settings import MAX_CHUNK_SIZE, MAX_PARENT_SIZE, MIN_CHUNK_SIZE, Chunking, SizeUnit


class MetadataFieldSerializer(StrictSerializer):
    """A field of which documents can have values."""

    name = NameField(max_length=MAX_FIELD_NAME_LENGTH)
    type = serializers.ChoiceField(choices=list(FieldType))


class DatasetSerializer(serializers.ModelSerializer[Dataset]):
    """A dataset with its settings."""

    metadata_fields = serializers.SerializerMethodField()

    class Meta:
        model = Dataset
        fields = ["id", "name", "description", *EXTRACTION, *SPLITTING, "home_region", "allowed_regions"]
        fields += ["text_weight", "min_score", "is_reranked", "metadata_fields"]
        fields += ["summary_model", "embedding_model", "next_model", "state", "created_at"]
        read_only_fields = fields

    @extend_schema_field(MetadataFieldSerializer(many=True))
    def get_metadata_fields(self, dataset: Dataset) -> list[dict[str, str]]:
        return list(dataset.metadata_fields)


class DatasetNameField(NameField):
    """Serializer field of a dataset's name, converted to Unicode normal form NFC because names are unique."""

    def to_internal_value(self, data: Any) -> str:
        return unicodedata.normalize("NFC", super().to_internal_value(data))


class SplittingSerializer(StrictSerializer):
    """The settings of splitting. Sizes are in the unit, of which tokens are estimated."""

    chunking = serializers.ChoiceField(choices=Chunking.choices, required=False)
    size_unit = serializers.ChoiceField(choices=SizeUnit.choices, required=False)
    chunk_size = WholeNumberField(
        min_value=MIN_CHUNK_SIZE, max_value=MAX_CHUNK_SIZE, required=False, help_text="At most 1,000 tokens."
    )
    chunk_overlap = WholeNumberField(min_value=0, max_value=MAX_CHUNK_SIZE // 2, required=False)
    parent_size = WholeNumberField(
        min_value=MIN_CHUNK_SIZE, max_value=MAX_PARENT_SIZE, required=False, help_text="Of `parent_child` only."
    )


class DatasetChangesSerializer(SplittingSerializer):
    """Request body: the fields of a dataset that can be changed."""

    name = DatasetNameField(max_length=100, required=False)
    description = TextField(max_length=1_000, required=False, allow_blank=True)
    max_ocr_pages = WholeNumberField(
        min_value=0,
        max_value=MAX_OCR_PAGES,
        required=False,
        help_text="Pages without text of each PDF whose pictures are read by text recognition; 0: none.",
    )
    reads_comments = serializers.BooleanField(
        required=False, help_text="Whether comments of Word documents belong to the text, with their authors' names."
    )
    home_region = NameField(
        max_length=REGION_LENGTH, required=False, allow_blank=True, help_text="Empty: that of the tenant."
    )
    allowed_regions = serializers.ListField(
        child=NameField(max_length=REGION_LENGTH),
        required=False,
        max_length=MOST_REGIONS,
        help_text="The regions whose pools may run jobs about it, the nearest first; empty: those of the tenant.",
    )
    text_weight = NumberField(
        min_value=0,
        max_value=1,
        required=False,
        allow_null=True,
        help_text="Weight of words in the mode hybrid; the rest is that of vectors. Null: by how rare the words are.",
    )
    min_score = NumberField(
        min_value=0,
        max_value=1,
        required=False,
        allow_null=True,
        help_text="Chunks with a lower score are not found. Null: all are.",
    )
    is_reranked = serializers.BooleanField(
        required=False, help_text="Whether searches let the platform's re-ranking endpoint re-order their results."
    )
    metadata_fields = MetadataFieldSerializer(
        many=True,
        required=False,
        max_length=MAX_FIELDS,
        help_text="What documents can have values of, for filters. All fields, not only new ones.",
    )
    summary_model = NameField(
        max_length=MAX_MODEL_NAME_LENGTH,
        required=False,
        allow_blank=True,
        help_text="Chat model, as `endpoint/model`, that adds a chunk with a summary to each document; empty: none.",
    )


class NewDatasetSerializer(DatasetChangesSerializer):
    """Request body: a new dataset. Only the name is required."""

    name = DatasetNameField(max_length=100)
    embedding_model = NameField(
        max_length=MAX_MODEL_NAME_LENGTH, required=False, help_text="Without it: the model that the tenant has chosen."
    )


class DeletionSerializer(StrictSerializer):
    """Query parameters of a deletion."""

    with_documents = serializers.BooleanField(
        default=False, help_text="Delete its documents, too. Without it a dataset with documents is refused."
    )


class DatasetViewSet(ListModelMixin, EditedRows, TenantViewSet):
    """Datasets: documents that are searched together."""

    model = Dataset
    serializer_class = DatasetSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.DATASETS_VIEW,
        "retrieve": Permission.DATASETS_VIEW,
        "search": Permission.DATASETS_VIEW,
        "search_several": Permission.DATASETS_VIEW,
        "create": Permission.DATASETS_MANAGE,
        "partial_update": Permission.DATASETS_MANAGE,
        "destroy": Permission.DATASETS_MANAGE,
        "archive": Permission.DATASETS_MANAGE,
        "unarchive": Permission.DATASETS_MANAGE,
    }
    request_costs: ClassVar[Mapping[str, int]] = {"search": SEARCH, "search_several": SEARCH}
    filter_backends: ClassVar[list[Any]] = [PagingOnly]

    def get_queryset(self) -> QuerySet[Any]:
        """Return the tenant's datasets with those that are being deleted."""
        return super().get_queryset() if getattr(self, "swagger_fake_view", False) else Dataset.every.all()

    @extend_schema(operation_id="datasets_create", request=NewDatasetSerializer, responses={201: DatasetSerializer})
    def create(self, request: Request) -> Response:
        """Create a dataset."""
        body = NewDatasetSerializer.of(request.data)
        dataset = create_dataset(tenant=self.tenant, **body.validated_data)
        return _answer(dataset, status=201)

    @extend_schema(operation_id="datasets_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Return one dataset, also one that is being deleted."""
        return _answer(get_dataset(UUID(pk), is_kept=False))

    @extend_schema(operation_id="datasets_update", request=DatasetChangesSerializer, responses=DatasetSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change a dataset. New settings apply to documents that are indexed from now on, regions at once."""
        dataset = self.begin_edit(lambda: get_dataset(UUID(pk)))
        return _answer(update_dataset(dataset=dataset, **DatasetChangesSerializer.of(request.data).validated_data))

    @extend_schema(
        operation_id="datasets_destroy",
        parameters=[DeletionSerializer],
        responses={204: OpenApiResponse(description="Deleted."), 202: OperationSerializer},
    )
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete a dataset. Answer 409 `dataset_in_use` if it has documents.

        With `with_documents` it is deleted with them: no search finds it from now on, and a job removes the documents.
        """
        asked = DeletionSerializer.of(request.query_params.dict()).validated_data
        dataset = self.begin_edit(lambda: get_dataset(UUID(pk), is_kept=False))
        if asked["with_documents"] and has_documents(dataset):
            started = delete_with_documents(tenant=self.tenant, dataset_id=dataset.pk, is_rate_limited=True)
            return Response(OperationSerializer(started).data, status=202)
        delete_dataset(dataset_id=dataset.pk)
        return Response(status=204)

    @extend_schema(operation_id="datasets_archive", request=ReasonBodySerializer, responses=DatasetSerializer)
    @action(detail=True, methods=["post"], filter_backends=[], pagination_class=None)
    def archive(self, request: Request, pk: str) -> Response:
        """Archive a dataset: it stays searchable, and takes no documents and no re-indexing."""
        body = ReasonBodySerializer.of(request.data)
        return _answer(archive_dataset(dataset_id=UUID(pk), **body.validated_data))

    @extend_schema(operation_id="datasets_unarchive", request=ReasonBodySerializer, responses=DatasetSerializer)
    @action(detail=True, methods=["post"], filter_backends=[], pagination_class=None)
    def unarchive(self, request: Request, pk: str) -> Response:
        """Let an archived dataset take documents again, or what is left of one that is being deleted."""
        body = ReasonBodySerializer.of(request.data)
        return _answer(unarchive_dataset(dataset_id=UUID(pk), **body.validated_data))

    @extend_schema(operation_id="datasets_search", request=SearchSerializer, responses=SearchAnswerSerializer)
    @action(detail=True, methods=["post"], filter_backends=[], pagination_class=None)
    def search(self, request: Request, pk: str) -> Response:
        """Return the chunks that match a query, by words, by meaning, or by both."""
        return _search(SearchSerializer.of(request.data), [get_dataset(UUID(pk))])

    @extend_schema(
        operation_id="datasets_search_several", request=DatasetsSearchSerializer, responses=SearchAnswerSerializer
    )
    @action(detail=False, methods=["post"], filter_backends=[], pagination_class=None, url_path="search")
    def search_several(self, request: Request) -> Response:
        """Return the chunks of up to 10 datasets that match a query. Each is searched with its own weights."""
        body = DatasetsSearchSerializer.of(request.data)
        return _search(body, [get_dataset(one) for one in dict.fromkeys(body.validated_data["datasets"])])


def _search(body: SearchSerializer, datasets: Sequence[Dataset]) -> Response:
    asked, timings, reranking = body.validated_data, Timings(), Reranking()
    hits = search_datasets(
        datasets=datasets,
        query=asked["query"],
        top_k=asked["top_k"],
        mode=SearchMode(asked["mode"]),
        min_score=asked["min_score"],
        is_folded=asked["fold_duplicates"],
        metadata_filter=asked["filter"],
        is_reranked=asked["rerank"],
        timings=timings,
        reranking=reranking,
    )
    answer: dict[str, Any] = {"results": hits, "milliseconds": timings.parts}
    answer |= {"reranked": reranking.is_done, "rerank_reason": reranking.reason}
    return Response(SearchAnswerSerializer(answer).data)


def _answer(dataset: Dataset, *, status: int = 200) -> Response:
    return Response(DatasetSerializer(dataset).data, status=status, headers=etag_headers(dataset))
