"""`cfs-plans/what-if/`: what a change of terms would do, before it is made."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.serializers.what_if import WhatIfRequestSerializer, WhatIfSerializer
from scheduling.models import CFSPlan
from scheduling.selectors.what_if import answer_what_if
from tenants.api.viewsets import StaffViewSet
from tenants.permissions import Permission
from tenants.request_costs import HEAVY


class WhatIfViewSet(StaffViewSet):
    """A question, which changes nothing."""

    model = CFSPlan
    serializer_class = WhatIfSerializer
    filter_backends: ClassVar[list[Any]] = []
    permissions = {"ask": Permission.PLATFORM_VIEW}
    request_costs: ClassVar[dict[str, int]] = {"ask": HEAVY}

    @extend_schema(operation_id="cfs_plans_what_if", request=WhatIfRequestSerializer, responses=WhatIfSerializer)
    def ask(self, request: Request) -> Response:
        """Replay the last hour, and what waits and runs now, under the terms of now and under changed ones."""
        body = WhatIfRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        answer = answer_what_if(body.change, pool=body.validated_data.get("pool"))
        return Response(WhatIfSerializer(answer).data)
