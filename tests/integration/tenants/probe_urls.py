"""URLs that exist only in tests: views that write and then fail."""

from __future__ import annotations

from typing import ClassVar, NoReturn

from django.core.exceptions import PermissionDenied
from django.db import OperationalError, connection
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import include, path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ValidationError

from tenants.access.permissions import Permission
from tenants.api.viewsets import StaffViewSet, TenantViewSet
from tenants.context import current_actor
from tenants.database.ids import uuid7
from tenants.exceptions import SlugTakenError
from tenants.models import ApiKey
from tests.integration.sessions import terminate_own, time_out
from tests.integration.tenants.sql import run_sql, transaction_settings

FAILURES: dict[str, Exception] = {
    "invalid": ValidationError({"name": ["Wrong."]}),
    "domain": SlugTakenError(),
    "fault": ZeroDivisionError("a fault of the program"),
    "missing": Http404(),
    "denied": PermissionDenied(),
    "outage": OperationalError("server closed the connection"),
}


# Settings by which the server ends the session of a request, and the request's loss of it at COMMIT.
TIME_OUTS = {"idle": "idle_in_transaction_session_timeout", "long": "transaction_timeout"}


def write(name: str) -> None:
    ApiKey.objects.create(name=name, prefix=uuid7().hex[-16:], scopes=["jobs.view"])


class ProbeViewSet(TenantViewSet):
    """A view set that writes a key, then does what the body states."""

    model = ApiKey
    permissions: ClassVar = {"create": Permission.JOBS_SUBMIT, "retrieve": Permission.JOBS_VIEW}
    max_body_bytes = 1_000

    def create(self, request: Request) -> Response:
        write("probe")
        how = request.data["how"]
        if how == "sql":
            run_sql("SELECT 1/0")
        if how in FAILURES:
            raise FAILURES[how]
        lose_session(how)
        return Response({"wrote": self.tenant.slug}, status=201)

    def retrieve(self, request: Request) -> Response:
        role, tenant_id = transaction_settings()
        actor = current_actor()
        return Response(
            {
                "role": role,
                "tenant": tenant_id,
                "actor": [actor.kind, actor.label],
                "request_id": actor.request_id,
                "is_atomic": connection.in_atomic_block,
            }
        )


class StaffProbeViewSet(StaffViewSet):
    """A view set for platform users."""

    model = ApiKey
    permissions: ClassVar = {"retrieve": Permission.PLATFORM_VIEW}

    def retrieve(self, request: Request) -> Response:
        return Response({})


def lose_session(how: str) -> None:
    """Let the server terminate the session, at a statement or before the COMMIT."""
    if how in TIME_OUTS:
        time_out(TIME_OUTS[how])
    if how == "commit":
        terminate_own()


def losing(request: HttpRequest, how: str) -> HttpResponse:
    """Return a page that loses its session."""
    write("probe")
    lose_session(how)
    return HttpResponse("done")


def plain(request: HttpRequest, how: str) -> NoReturn:
    """Write and fail in a view without REST framework, which only ATOMIC_REQUESTS rolls back."""
    write("probe")
    raise FAILURES[how]


def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Return a body that is produced after the transaction has ended."""

    def body():
        yield repr(transaction_settings())

    return StreamingHttpResponse(body())


urlpatterns = [
    path("api/v1/probe/", ProbeViewSet.as_view({"get": "retrieve", "post": "create"})),
    path("api/v1/staff-probe/", StaffProbeViewSet.as_view({"get": "retrieve"})),
    path("api/v1/plain/<slug:how>/", plain),
    path("api/v1/losing/<slug:how>/", losing),
    path("admin/losing/<slug:how>/", losing),
    path("api/v1/stream/", stream),
    path("", include("jobsplatform.urls")),
]
