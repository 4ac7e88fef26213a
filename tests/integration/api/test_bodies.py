"""Request bodies on the wire: slow, chunked, truncated, or with a too large Content-Length."""

from __future__ import annotations

import io
import json
from typing import Any
from uuid import UUID

import pytest
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.test import RequestFactory
from rest_framework.test import APIClient

from scheduling.models import Job
from tenants.context import all_tenants
from tenants.models import Tenant
from tenants.requests.bodies import (
    MAX_ANONYMOUS_BYTES,
    MAX_TEXT_BYTES,
    MAX_UPLOAD_BYTES,
    BodyReservation,
    limit_of_route,
)
from tests.platform_settings import ChangePlatformSettings

JOBS = "/api/v1/jobs/"
BODY = b'{"kind": "noop"}'


class WatchedBody(io.BytesIO):
    """A body that records whether a transaction was open while it was read."""

    was_atomic: bool | None = None

    def read(self, size: int | None = -1) -> bytes:
        self.was_atomic = bool(self.was_atomic) or connection.in_atomic_block
        return super().read(size)


def call(client: APIClient, body: io.BytesIO, **environ: Any) -> tuple[int, dict[str, Any]]:
    """Send a POST through the WSGI application as a server does."""
    environ = {
        **RequestFactory()._base_environ(PATH_INFO=JOBS, REQUEST_METHOD="POST"),
        "HTTP_AUTHORIZATION": client._credentials["HTTP_AUTHORIZATION"],
        "CONTENT_TYPE": "application/json",
        "wsgi.input": body,
        **environ,
    }
    status: list[str] = []
    chunks = get_wsgi_application()(environ, lambda line, _headers, _error=None: status.append(line))
    content = b"".join(chunks)
    chunks.close()
    return int(status[0].split()[0]), json.loads(content)


@pytest.mark.django_db(transaction=True)
def test_body_is_received_before_a_transaction_opens(transactional_db: None, acme_api: APIClient) -> None:
    body = WatchedBody(BODY)
    status, job = call(acme_api, body, CONTENT_LENGTH=str(len(BODY)))
    assert (status, job["kind"]) == (201, "noop")
    assert body.was_atomic is False


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("environ", "status", "code"),
    [
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, 400, "length_required"),
        ({"CONTENT_LENGTH": str(MAX_TEXT_BYTES + 1)}, 413, "body_too_large"),
        (
            {"CONTENT_LENGTH": str(MAX_UPLOAD_BYTES + 1), "CONTENT_TYPE": "multipart/form-data; boundary=x"},
            413,
            "body_too_large",
        ),
        ({"CONTENT_LENGTH": "999"}, 201, None),  # truncated after the whole JSON text
        ({"CONTENT_LENGTH": "7"}, 400, "json_invalid"),
        ({"CONTENT_LENGTH": ""}, 422, "invalid"),
        ({"CONTENT_LENGTH": "seven"}, 422, "invalid"),
    ],
)
def test_body_with_a_wrong_length_is_answered(
    transactional_db: None, acme_api: APIClient, environ: dict[str, str], status: int, code: str | None
) -> None:
    answered, body = call(acme_api, io.BytesIO(BODY), **environ)
    assert (answered, body.get("code")) == (status, code)
    with all_tenants():
        assert Job.objects.count() == (status == 201)


@pytest.mark.django_db(transaction=True)
def test_invalid_key_is_refused_without_reading_the_body(transactional_db: None) -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION="Api-Key a.b")
    body = WatchedBody(BODY)
    status, _ = call(client, body, CONTENT_LENGTH=str(len(BODY)))
    assert (status, body.was_atomic) == (401, None)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"HTTP_AUTHORIZATION": "Api-Key jp0123456789." + "a" * 43},
        {"HTTP_COOKIE": "sessionid=0123456789abcdefghijklmnopqrstuv"},
        {"PATH_INFO": "/health/live"},
        {"PATH_INFO": "/nowhere/"},
    ],
)
def test_large_body_without_valid_credentials_is_refused_unread(transactional_db: None, sent: dict[str, str]) -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION="")
    body = WatchedBody(b"x" * (MAX_ANONYMOUS_BYTES + 1))
    status, answer = call(client, body, CONTENT_LENGTH=str(MAX_ANONYMOUS_BYTES + 1), **sent)
    assert (status, answer["code"], body.was_atomic) == (413, "body_too_large", None)


@pytest.mark.django_db(transaction=True)
def test_large_log_in_form_is_refused_unread(transactional_db: None) -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION="")
    body = WatchedBody(b"x")
    status, answer = call(
        client,
        body,
        PATH_INFO="/admin/login/",
        HTTP_COOKIE="csrftoken=" + "a" * 32,
        CONTENT_TYPE="multipart/form-data; boundary=x",
        CONTENT_LENGTH=str(MAX_ANONYMOUS_BYTES + 1),
    )
    assert (status, answer["code"], body.was_atomic) == (413, "body_too_large", None)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("space_of_process", "status", "code"),
    [(8 * 1024 * 1024, 422, "upload_refused"), (7 * 1024 * 1024, 503, "bodies_busy"), (1024, 413, "body_too_large")],
)
def test_body_beyond_the_body_space_of_the_process_is_refused(
    transactional_db: None,
    acme_api: APIClient,
    change_platform_settings: ChangePlatformSettings,
    space_of_process: int,
    status: int,
    code: str,
) -> None:
    change_platform_settings(BODY_SPACE_BYTES=space_of_process)
    form = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n%s\r\n--x--\r\n'
    body = form % (b" " * 1024 * 1024)
    with BodyReservation("") as one, BodyReservation("") as another:
        if code != "body_too_large":
            one.take(3 * 1024 * 1024, owner=None)
            another.take(3 * 1024 * 1024 - 1024, owner=UUID(int=1))
        answered, answer = call(
            acme_api,
            io.BytesIO(body),
            PATH_INFO="/api/v1/files/",
            CONTENT_TYPE="multipart/form-data; boundary=x",
            CONTENT_LENGTH=str(len(body)),
        )
    assert (answered, answer["code"]) == (status, code)
    # The space is free again.
    with BodyReservation("") as one, BodyReservation("") as another:
        one.take(space_of_process // 2, owner=None)
        another.take(space_of_process // 2, owner=UUID(int=1))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("taken_by", ["the same tenant", "another tenant"])
def test_tenant_takes_at_most_half_of_the_body_space(
    transactional_db: None,
    acme_api: APIClient,
    acme: Tenant,
    change_platform_settings: ChangePlatformSettings,
    taken_by: str,
) -> None:
    change_platform_settings(BODY_SPACE_BYTES=8 * 1024 * 1024)
    body = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n%s\r\n--x--\r\n' % (b" " * 1024 * 1024)
    with BodyReservation("") as other:
        other.take(3 * 1024 * 1024, owner=acme.pk if taken_by == "the same tenant" else UUID(int=1))
        status, answer = call(
            acme_api,
            io.BytesIO(body),
            PATH_INFO="/api/v1/files/",
            CONTENT_TYPE="multipart/form-data; boundary=x",
            CONTENT_LENGTH=str(len(body)),
        )
    expected = (503, "bodies_busy") if taken_by == "the same tenant" else (422, "upload_refused")
    assert (status, answer["code"]) == expected


@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [
        ("POST", "/api/v1/files/", MAX_UPLOAD_BYTES),
        ("POST", f"/api/v1/datasets/{UUID(int=1)}/documents/", MAX_UPLOAD_BYTES),
        ("POST", f"/api/v1/documents/{UUID(int=1)}/replace/", 50 * 1024 * 1024 + MAX_ANONYMOUS_BYTES),
        ("POST", "/admin/files/uploadedfile/upload/", MAX_UPLOAD_BYTES),
        ("POST", "/admin/retrieval/document/upload/", MAX_UPLOAD_BYTES),
        ("POST", f"/api/v1/files/{UUID(int=1)}/link/", 2 * 1024 * 1024),
        ("GET", "/api/v1/files/", 2 * 1024 * 1024),
        ("POST", "/api/v1/jobs/", 2 * 1024 * 1024),
        ("POST", "/api/v1/jobs/bulk/", MAX_TEXT_BYTES),
        ("POST", "/api/v1/batches/", MAX_TEXT_BYTES),
        ("POST", "/admin/login/", 2 * 1024 * 1024),
        ("POST", "/nowhere/", MAX_ANONYMOUS_BYTES),
    ],
)
def test_route_has_the_body_limit_of_its_view(method: str, path: str, limit: int) -> None:
    assert limit_of_route(path, method) == limit
