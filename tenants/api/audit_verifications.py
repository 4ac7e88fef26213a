"""`audit-verifications/`: was anything of the audit log altered? Asked for, watched, answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from tenants.api.pagination import PagingOnly
from tenants.api.serializers import NoBodySerializer
from tenants.api.viewsets import TenantViewSet
from tenants.chain_check import told_finding
from tenants.models import AuditVerification, VerificationState
from tenants.permissions import Permission
from tenants.request_costs import HEAVY
from tenants.services.audit_requests import MOST_FINDINGS, request_verification


class FindingSerializer(serializers.Serializer[Any]):
    """One thing that is wrong with a chain."""

    kind = serializers.CharField()
    chain = serializers.UUIDField()
    sequence = serializers.IntegerField(allow_null=True)
    entry = serializers.UUIDField(allow_null=True)
    detail = serializers.SerializerMethodField(help_text="What is wrong, in the reader's language.")

    def get_detail(self, finding: Mapping[str, Any]) -> str:
        return told_finding(finding)


class CoveredSerializer(serializers.Serializer[AuditVerification]):
    """What was looked at so far."""

    chains = serializers.IntegerField()
    seals = serializers.IntegerField()
    entries = serializers.IntegerField()
    heads = serializers.IntegerField()


class AuditVerificationSerializer(serializers.Serializer[AuditVerification]):
    """A verification of the tenant's chain: who asked, how far it is, what it has found."""

    id = serializers.UUIDField()
    requested_at = serializers.DateTimeField()
    actor_kind = serializers.CharField()
    actor_id = serializers.CharField()
    actor_label = serializers.CharField()
    state = serializers.ChoiceField(
        choices=[state.value for state in VerificationState],
        help_text="`altered` as soon as something was found, `intact` only at the end.",
    )
    is_complete = serializers.BooleanField()
    progress = serializers.FloatField(help_text="About which part was looked at, from 0 to 1.")
    covered = CoveredSerializer(source="*")
    finding_count = serializers.IntegerField()
    findings = FindingSerializer(many=True, help_text=f"The first {MOST_FINDINGS}.")
    finished_at = serializers.DateTimeField(allow_null=True)


class AuditVerificationViewSet(ListModelMixin, RetrieveModelMixin, TenantViewSet):
    """Verifications of the tenant's chain against its entries and signed heads, newest first."""

    model = AuditVerification
    serializer_class = AuditVerificationSerializer
    filter_backends: ClassVar[list[Any]] = [PagingOnly]
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.AUDIT_VIEW,
        "retrieve": Permission.AUDIT_VIEW,
        "create": Permission.AUDIT_VIEW,
    }
    request_costs: ClassVar[Mapping[str, int]] = {"create": HEAVY}

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().defer("place")

    @extend_schema(
        operation_id="audit_verifications_create",
        request=NoBodySerializer,
        responses={
            201: OpenApiResponse(AuditVerificationSerializer, "It has begun; a short chain is verified already."),
            200: OpenApiResponse(AuditVerificationSerializer, "The one that goes on already."),
        },
    )
    def create(self, request: Request) -> Response:
        """Verify the tenant's chain. What takes longer than a moment goes on; ask its address until `is_complete`."""
        NoBodySerializer(data=request.data).is_valid(raise_exception=True)
        requested = request_verification(tenant=self.tenant)
        answer = Response(self.get_serializer(requested.verification).data, status=201 if requested.is_new else 200)
        answer["Location"] = reverse("audit-verification-detail", args=[requested.verification.pk], request=request)
        return answer
