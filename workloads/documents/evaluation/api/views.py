"""API views of `datasets/{id}/evaluations/` and `evaluations/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access.permissions import Permission
from tenants.api.editions import EditedRows, etag_headers
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import TenantViewSet
from tenants.requests.bodies import MAX_ANONYMOUS_BYTES
from workloads.documents.evaluation.api.serializers import (
    ComparisonQuerySerializer,
    ComparisonSerializer,
    EvaluationSerializer,
    NewEvaluationSerializer,
)
from workloads.documents.evaluation.models import Evaluation
from workloads.documents.evaluation.queries import compare, find_evaluations, get_evaluation
from workloads.documents.evaluation.questions import MAX_FILE_BYTES
from workloads.documents.evaluation.service import delete_evaluation, start_evaluation
from workloads.documents.queries import get_dataset


class DatasetEvaluationsViewSet(TenantViewSet):
    """The evaluations of one dataset."""

    model = Evaluation
    serializer_class = EvaluationSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.DATASETS_VIEW,
        "create": Permission.DATASETS_MANAGE,
    }
    filter_backends: ClassVar[list[Any]] = [PagingOnly]
    parser_classes: ClassVar[list[type[BaseParser]]] = [MultiPartParser]
    max_upload_bytes: ClassVar[Mapping[str, int]] = {"create": MAX_FILE_BYTES + MAX_ANONYMOUS_BYTES}

    @extend_schema(operation_id="datasets_evaluations_list", responses=EvaluationSerializer(many=True))
    def list(self, request: Request, dataset_id: str) -> Response:
        """List the evaluations of a dataset, newest first: its last 100 are kept."""
        return _page(self, find_evaluations().filter(dataset=get_dataset(UUID(dataset_id))))

    @extend_schema(
        operation_id="datasets_evaluations_start",
        request={"multipart/form-data": NewEvaluationSerializer},
        responses={202: OpenApiResponse(EvaluationSerializer, description="Accepted; one job asks the questions.")},
    )
    def create(self, request: Request, dataset_id: str) -> Response:
        """Measure by questions how well searches in a dataset find their answers, by mode and weight.

        Answer 400 `questions_invalid` with the numbers of the lines if the file is faulty, or names a document that the
        dataset lacks.
        """
        dataset = get_dataset(UUID(dataset_id))
        body = NewEvaluationSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        data = body.validated_data["file"].read(MAX_FILE_BYTES + 1)
        evaluation = start_evaluation(
            tenant=self.tenant, dataset=dataset, data=data, note=body.validated_data["note"], is_rate_limited=True
        )
        return Response(EvaluationSerializer(get_evaluation(evaluation.pk)).data, status=202)


class EvaluationViewSet(EditedRows, TenantViewSet):
    """The tenant's evaluations of datasets."""

    model = Evaluation
    serializer_class = EvaluationSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.DATASETS_VIEW,
        "retrieve": Permission.DATASETS_VIEW,
        "comparison": Permission.DATASETS_VIEW,
        "destroy": Permission.DATASETS_MANAGE,
    }
    filter_backends: ClassVar[list[Any]] = [PagingOnly]

    @extend_schema(operation_id="evaluations_list", responses=EvaluationSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List the evaluations of all datasets, newest first."""
        return _page(self, find_evaluations())

    @extend_schema(operation_id="evaluations_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Return one evaluation with its results."""
        evaluation = get_evaluation(UUID(pk))
        return Response(EvaluationSerializer(evaluation).data, headers=etag_headers(evaluation))

    @extend_schema(operation_id="evaluations_destroy", responses={204: OpenApiResponse(description="Deleted.")})
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete an evaluation. If its job still runs, it is discarded."""
        delete_evaluation(evaluation_id=self.begin_edit(lambda: get_evaluation(UUID(pk))).pk)
        return Response(status=204)

    @extend_schema(
        operation_id="evaluations_compare", parameters=[ComparisonQuerySerializer], responses=ComparisonSerializer
    )
    @action(detail=True, filter_backends=[], pagination_class=None)
    def comparison(self, request: Request, pk: str) -> Response:
        """Compare an evaluation with an earlier one of the same dataset: settings, metrics, and questions."""
        after = get_evaluation(UUID(pk))
        asked = ComparisonQuerySerializer.of(request.query_params.dict()).validated_data
        return Response(ComparisonSerializer(compare(get_evaluation(asked["before"]), after)).data)


def _page(view: TenantViewSet, evaluations: QuerySet[Evaluation]) -> Response:
    page = view.paginate_queryset(view.filter_queryset(evaluations.defer("questions", "ranks")))
    return view.get_paginated_response(EvaluationSerializer(page, many=True).data)
