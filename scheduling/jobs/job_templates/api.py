"""`job-templates/`: named job requests with parameters, their versions, and their runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.jobs.answers import (
    RATE_HEADERS,
    StoredJobSerializer,
    add_rate_headers,
    mask_validation_errors,
    parse_idempotency_key,
)
from scheduling.jobs.job_templates.models import JobTemplate
from scheduling.jobs.job_templates.queries import find_templates, get_template, may_see_content
from scheduling.jobs.job_templates.rights import require_right_to_run
from scheduling.jobs.job_templates.serializers import (
    NewTemplateSerializer,
    NewTemplateVersionSerializer,
    TemplateDetailSerializer,
    TemplateFactsSerializer,
    TemplateRunSerializer,
    TemplateSerializer,
)
from scheduling.jobs.job_templates.service import (
    TEMPLATES,
    TemplateContent,
    add_version,
    create_template,
    delete_template,
    run_template,
    update_template,
)
from tenants.access.caller import access_of
from tenants.access.permissions import Permission
from tenants.api.editions import etag_headers
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import TenantViewSet
from tenants.limits.declared import LIST
from tenants.tenancy.changes import Difference
from tenants.versions.api import VersionsViewSetMixin, version_operations

_MANAGE = Permission.TEMPLATES_MANAGE
# Versions have payloads, which viewers do not see.
_CHANGES = ("create", "partial_update", "destroy", "versions", "add_version", "rollback", "withdraw")


@extend_schema_view(**version_operations("job_templates"))
class JobTemplateViewSet(ListModelMixin, VersionsViewSetMixin, TenantViewSet):
    """Job templates: named job requests with parameters and versions."""

    model = JobTemplate
    serializer_class = TemplateSerializer
    versioned = TEMPLATES
    find = staticmethod(lambda pk: get_template(UUID(pk)))
    permissions: ClassVar[Mapping[str, Permission]] = {
        **dict.fromkeys(("list", "retrieve"), Permission.JOBS_VIEW),
        **dict.fromkeys(_CHANGES, _MANAGE),
        # Which templates a caller may run is on the templates.
        "run": Permission.TEMPLATES_RUN,
    }
    request_costs: ClassVar[Mapping[str, int]] = {"versions": LIST}
    filter_backends: ClassVar[list[Any]] = [PagingOnly]

    def get_queryset(self) -> Any:
        return find_templates()

    @extend_schema(
        operation_id="job_templates_create", request=NewTemplateSerializer, responses={201: TemplateDetailSerializer}
    )
    def create(self, request: Request) -> Response:
        """Create a template with its first version."""
        values = NewTemplateSerializer.of(request.data).to_values()
        return self._answer(request, create_template(tenant=self.tenant, **values), status=201)

    @extend_schema(operation_id="job_templates_retrieve", responses=TemplateDetailSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        """Return a template: its parameters, and for its tenant's callers who may change it the content in effect."""
        return self._answer(request, get_template(UUID(pk)))

    @extend_schema(
        operation_id="job_templates_update", request=TemplateFactsSerializer, responses=TemplateDetailSerializer
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change the description of a template, or the roles that may run it."""
        template = self.begin_edit(lambda: get_template(UUID(pk)))
        changed = update_template(template=template, **TemplateFactsSerializer.of(request.data).validated_data)
        return self._answer(request, changed)

    @extend_schema(operation_id="job_templates_destroy", responses={204: OpenApiResponse(description="Deleted.")})
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete a template with its versions. Its jobs keep its name and version."""
        delete_template(template=self.begin_edit(lambda: get_template(UUID(pk))))
        return Response(status=204)

    @extend_schema(
        operation_id="job_templates_versions_create",
        request=NewTemplateVersionSerializer,
        responses={201: TemplateDetailSerializer},
    )
    @VersionsViewSetMixin.versions.mapping.post
    def add_version(self, request: Request, pk: str) -> Response:
        """Store the next version, which takes effect now or at a given time."""
        given = dict(NewTemplateVersionSerializer.of(request.data).validated_data)
        template = get_template(UUID(pk))
        add_version(template=template, content=TemplateContent(**given.pop("content")), **given)
        return self._answer(request, get_template(template.pk), status=201)

    @extend_schema(
        operation_id="job_templates_run",
        request=TemplateRunSerializer,
        parameters=RATE_HEADERS,
        responses={201: StoredJobSerializer},
    )
    @action(detail=True, methods=["post"], filter_backends=[], pagination_class=None)
    def run(self, request: Request, pk: str) -> Response:
        """Submit a job by the template. Answer 422 `parameters_invalid` with each faulty parameter."""
        template = get_template(UUID(pk))
        require_right_to_run(access_of(request), template)
        given = dict(TemplateRunSerializer.of(request.data).validated_data)
        key = parse_idempotency_key(request.headers.get("Idempotency-Key"))
        with mask_validation_errors(access_of(request)):
            submission = run_template(
                template=template, values=given.pop("parameters"), is_rate_limited=True, idempotency_key=key, **given
            )
        answer = Response(StoredJobSerializer(submission.job).data, status=201 if submission.created else 200)
        add_rate_headers(answer, submission.rate)
        return answer

    @action(detail=True, methods=["post"])
    def rollback(self, request: Request, **address: str) -> Response:
        """Make the content of an older version the next version."""
        with mask_validation_errors(self.access):
            return super().rollback(request, **address)

    def serialize_versions(self, versions: Sequence[Any]) -> Sequence[Any]:
        """Return the versions; for callers from whom contents are masked, without the values of payloads."""
        rows = super().serialize_versions(versions)
        if not may_see_content(self.access):
            for row in rows:
                shown = TEMPLATES.audited(Difference(row["before"], row["after"]))
                row.update(content=None, before=shown.before, after=shown.after)
        return rows

    def _answer(self, request: Request, template: JobTemplate, *, status: int = 200) -> Response:
        access = access_of(request)
        context = {
            "shows_content": may_see_content(access),
            "shows_schedules": access.may(Permission.SCHEDULES_VIEW),
        }
        shown = TemplateDetailSerializer(template, context=context).data
        return Response(shown, status=status, headers=etag_headers(template))
