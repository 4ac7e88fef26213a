"""API of `access-reviews/` and `access-review-lines/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access.permissions import Permission
from tenants.api.filters import StrictFilterBackend
from tenants.api.input import NameField, StrictSerializer
from tenants.api.pagination import OldestFirstPagination, PagingOnly
from tenants.api.viewsets import TenantViewSet
from tenants.models import AccessReview, AccessReviewLine
from tenants.reviews.models import AccessDecision
from tenants.reviews.queries import with_counts
from tenants.reviews.service import MOST_DECIDED, close_review, decide, open_review, refresh_review
from tenants.tenancy.pausing import REASON_LIMIT

_ON_ROW: dict[str, Any] = {"detail": True, "methods": ["post"], "filter_backends": [], "pagination_class": None}


class AccessReviewSerializer(serializers.ModelSerializer[AccessReview]):
    """An access review, and how many of its lines have which decision."""

    tenant = serializers.CharField(source="tenant.slug", allow_null=True, default=None, help_text="Null: the platform.")
    open_lines = serializers.IntegerField()
    keep_lines = serializers.IntegerField()
    revoke_lines = serializers.IntegerField()
    ended_lines = serializers.IntegerField(help_text="Whose access ended before it was decided about.")

    class Meta:
        model = AccessReview
        counts = ("open_lines", "keep_lines", "revoke_lines", "ended_lines")
        fields = ("id", "tenant", "opened_by", "opened_at", "closed_by", "closed_at", "sha256", *counts)
        read_only_fields = fields


class AccessReviewLineSerializer(serializers.ModelSerializer[AccessReviewLine]):
    """A member, role, key or account at the snapshot, and the decision about it."""

    class Meta:
        model = AccessReviewLine
        facts = ("id", "review", "kind", "object_id", "subject", "role", "grants", "given_at", "last_used_at")
        fields = (*facts, "decision", "note", "is_own", "decided_by", "decided_at")
        read_only_fields = fields


class DecisionsSerializer(StrictSerializer):
    """Request to decide about lines: all of them, or none."""

    decision = serializers.CharField(max_length=6, help_text="`keep` or `revoke`.")
    lines = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=MOST_DECIDED)
    note = NameField(max_length=REASON_LIMIT, required=False, allow_blank=True, default="")


class AccessReviewViewSet(ListModelMixin, RetrieveModelMixin, TenantViewSet):
    """Reviews of who has access, the newest first. A person opens, decides and closes: an API key cannot."""

    model = AccessReview
    serializer_class = AccessReviewSerializer
    filter_backends: ClassVar[list[Any]] = [PagingOnly]
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.AUDIT_VIEW,
        "retrieve": Permission.AUDIT_VIEW,
        "create": Permission.MEMBERS_MANAGE,
        "decide": Permission.MEMBERS_MANAGE,
        "refresh": Permission.MEMBERS_MANAGE,
        "close": Permission.MEMBERS_MANAGE,
    }
    # Without a tenant: the review of the platform.
    over_all_tenants = frozenset({"create", "decide", "refresh", "close"})

    def get_queryset(self) -> QuerySet[Any]:
        return with_counts(super().get_queryset().select_related("tenant"))

    @extend_schema(operation_id="access_reviews_open", request=None, responses={201: AccessReviewSerializer})
    def create(self, request: Request) -> Response:
        """Open a review of the tenant or, if none is named, of the platform: who has access now is stored as lines."""
        StrictSerializer.of(request.data)
        return self._answer(open_review(tenant=self.access.tenant, may=self.access.may), status=201)

    @extend_schema(operation_id="access_reviews_decide", request=DecisionsSerializer, responses=AccessReviewSerializer)
    @action(**_ON_ROW)
    def decide(self, request: Request, pk: str) -> Response:
        """Keep or revoke the access of lines. 409 `access_line_changed` if one is not as it was at the snapshot."""
        asked = DecisionsSerializer.of(request.data).validated_data
        values = {"decision": asked["decision"], "line_ids": asked["lines"], "note": asked["note"]}
        return self._answer(decide(review_id=UUID(pk), may=self.access.may, **values))

    @extend_schema(operation_id="access_reviews_refresh", request=None, responses=AccessReviewSerializer)
    @action(**_ON_ROW)
    def refresh(self, request: Request, pk: str) -> Response:
        """Read the undecided lines again: changed ones are shown as they are now, vanished ones have ended."""
        StrictSerializer.of(request.data)
        return self._answer(refresh_review(review_id=UUID(pk), may=self.access.may))

    @extend_schema(operation_id="access_reviews_close", request=None, responses=AccessReviewSerializer)
    @action(**_ON_ROW)
    def close(self, request: Request, pk: str) -> Response:
        """Close a review. 409 `access_review_undecided` while a line has no decision."""
        StrictSerializer.of(request.data)
        return self._answer(close_review(review_id=UUID(pk), may=self.access.may))

    def _answer(self, review: AccessReview, *, status: int = 200) -> Response:
        return Response(AccessReviewSerializer(self.get_queryset().get(pk=review.pk)).data, status=status)


class LineFilter(django_filters.FilterSet):
    """Filters of the lines."""

    review = django_filters.UUIDFilter(help_text="The id of the review.")
    decision = django_filters.ChoiceFilter(choices=[(value, value) for value in AccessDecision.values])

    class Meta:
        model = AccessReviewLine
        fields: ClassVar[list[str]] = []


class AccessReviewLineViewSet(ListModelMixin, RetrieveModelMixin, TenantViewSet):
    """Lines of reviews, in the order of their snapshots."""

    model = AccessReviewLine
    serializer_class = AccessReviewLineSerializer
    filterset_class = LineFilter
    filter_backends: ClassVar[list[Any]] = [StrictFilterBackend]
    pagination_class = OldestFirstPagination
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.AUDIT_VIEW,
        "retrieve": Permission.AUDIT_VIEW,
    }
