"""API of `evidence-packs/` and `evidence-schedules/`."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import FileResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request

from scheduling.configuration.api import ON_ROW, ConfiguredViewSet
from scheduling.configuration.serializers import row_serializer
from scheduling.evidence.models import EvidencePack
from scheduling.evidence.service import PACKS, SCHEDULES, open_pack
from tenants.access.permissions import Permission
from tenants.limits.declared import HEAVY

_SHOWN = ("state", "error", "entries", "faults", "size_bytes", "sha256", "requested_by", "requested_at")


def download_response(pack: EvidencePack) -> FileResponse:
    """Return the response with a pack as a ZIP archive; raise EvidenceNotStoredError or ArchiveUnavailableError."""
    name, headers = f"evidence-{pack.template}-{pack.since:%Y-%m-%d}.zip", {"Cache-Control": "private, no-store"}
    return FileResponse(open_pack(pack), as_attachment=True, filename=name, headers=headers)


class EvidencePackViewSet(ConfiguredViewSet):
    """Signed packs of a period, made in the background. A stored pack is not changed."""

    path, configured, shown = "evidence-packs", PACKS, row_serializer(PACKS, *_SHOWN)
    request_costs: ClassVar[dict[str, int]] = {"download": HEAVY}
    views, changes = Permission.AUDIT_VIEW, Permission.AUDIT_EXPORT
    others = {"download": Permission.AUDIT_EXPORT}

    @extend_schema(operation_id="evidence_packs_download", responses={(200, "application/zip"): OpenApiTypes.BINARY})
    @action(**{**ON_ROW, "methods": ["get"]})
    def download(self, request: Request, pk: str) -> Any:
        """Download a stored pack as a ZIP archive. Answer 409 `evidence_not_stored` before it is made."""
        return download_response(self.find(pk))


class EvidenceScheduleViewSet(ConfiguredViewSet):
    """When packs of the last month or quarter are made, and which contacts receive their links."""

    path, configured = "evidence-schedules", SCHEDULES
    views, changes = Permission.AUDIT_VIEW, Permission.AUDIT_EXPORT
