"""Serializers and API view of `datasets/{id}/reembed/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access.permissions import Permission
from tenants.api.input import NameField, StrictSerializer, TextField
from tenants.api.viewsets import TenantViewSet, Unpaged
from tenants.limits.declared import SEARCH
from workloads.documents.models import Dataset
from workloads.documents.platform_settings import MAX_MODEL_NAME_LENGTH
from workloads.documents.queries import get_dataset
from workloads.documents.reembedding.service import plan_reembedding, reembed_dataset


class ReembeddingQuerySerializer(StrictSerializer):
    """Query of a plan: the model to re-embed by."""

    model = NameField(max_length=MAX_MODEL_NAME_LENGTH, help_text="Name of an embedding model.")


class NewReembeddingSerializer(ReembeddingQuerySerializer):
    """Request body: the model to re-embed by."""

    reason = TextField(max_length=500, required=False, allow_blank=True, default="")


class ReembeddingPlanSerializer(serializers.Serializer[Any]):
    """What the re-embedding of a dataset costs, and how far it has come."""

    embedding_model = serializers.CharField(help_text="The model whose vectors serve searches.")
    next_model = serializers.CharField(help_text="The model of a re-embedding that has begun, else empty.")
    model = serializers.CharField()
    chunks = serializers.IntegerField()
    chunks_done = serializers.IntegerField(help_text="Chunks that have a vector of `model`.")
    estimated_tokens = serializers.IntegerField()
    estimated_price = serializers.FloatField(allow_null=True, help_text="Null if the model has no price.")
    job = serializers.UUIDField(allow_null=True, help_text="The job of the last re-embedding.")


class ReembeddingViewSet(Unpaged, TenantViewSet):
    """The re-embedding of one dataset by another model."""

    model = Dataset
    serializer_class = ReembeddingPlanSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "retrieve": Permission.DATASETS_VIEW,
        "create": Permission.DATASETS_MANAGE,
    }
    # Both count the dataset's chunks.
    request_costs: ClassVar[Mapping[str, int]] = {"retrieve": SEARCH, "create": SEARCH}

    @extend_schema(
        operation_id="datasets_reembed_plan",
        parameters=[ReembeddingQuerySerializer],
        responses=ReembeddingPlanSerializer,
    )
    def retrieve(self, request: Request, dataset_id: str) -> Response:
        """Return what re-embedding a dataset by a model would cost, and the progress of one that has begun."""
        dataset = get_dataset(UUID(dataset_id))
        asked = ReembeddingQuerySerializer.of(request.query_params.dict()).validated_data
        return Response(_describe(dataset, asked["model"]))

    @extend_schema(
        operation_id="datasets_reembed",
        request=NewReembeddingSerializer,
        responses={202: OpenApiResponse(ReembeddingPlanSerializer, description="Accepted; one job re-embeds it.")},
    )
    def create(self, request: Request, dataset_id: str) -> Response:
        """Embed all chunks of a dataset by another model. The old vectors serve until every chunk has its new one.

        The model in use gives up a re-embedding that has begun. Answer 409 `reembedding_refused` if there is none.
        """
        asked = NewReembeddingSerializer.of(request.data).validated_data
        dataset = get_dataset(UUID(dataset_id))
        changed = reembed_dataset(
            tenant=self.tenant, dataset=dataset, model=asked["model"], is_rate_limited=True, reason=asked["reason"]
        )
        return Response(_describe(changed, asked["model"]), status=202)


def _describe(dataset: Dataset, model: str) -> Any:
    return ReembeddingPlanSerializer(plan_reembedding(dataset, model)).data
