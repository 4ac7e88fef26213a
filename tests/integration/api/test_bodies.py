"""Bodies as they come over the wire: slow, in chunks, cut short, or announced too large."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.test import RequestFactory
from rest_framework.test import APIClient

from scheduling.models import Job
from tenants.bodies import MAX_TEXT_BYTES, MAX_UPLOAD_BYTES
from tenants.context import all_tenants

JOBS = "/api/v1/jobs/"
BODY = b'{"kind": "noop"}'


class WatchedBody(io.BytesIO):
    """A body that notes whether a transaction was open while it was read."""

    was_atomic: bool | None = None

    def read(self, size: int | None = -1) -> bytes:
        self.was_atomic = bool(self.was_atomic) or connection.in_atomic_block
        return super().read(size)


def call(client: APIClient, body: io.BytesIO, **environ: Any) -> tuple[int, dict[str, Any]]:
    """A POST through the WSGI application, as a server makes it."""
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
def test_a_body_is_received_before_a_transaction_is_opened(transactional_db: None, acme_api: APIClient) -> None:
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
        ({"CONTENT_LENGTH": "999"}, 201, None),  # cut short after the whole of a JSON text
        ({"CONTENT_LENGTH": "7"}, 400, "json_invalid"),
        ({"CONTENT_LENGTH": ""}, 422, "invalid"),
        ({"CONTENT_LENGTH": "seven"}, 422, "invalid"),
    ],
)
def test_a_body_of_an_odd_length_is_answered(
    transactional_db: None, acme_api: APIClient, environ: dict[str, str], status: int, code: str | None
) -> None:
    answered, body = call(acme_api, io.BytesIO(BODY), **environ)
    assert (answered, body.get("code")) == (status, code)
    with all_tenants():
        assert Job.objects.count() == (status == 201)


@pytest.mark.django_db(transaction=True)
def test_a_stranger_is_refused_without_his_body_being_read(transactional_db: None) -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION="Api-Key a.b")
    body = WatchedBody(BODY)
    status, _ = call(client, body, CONTENT_LENGTH=str(len(BODY)))
    assert (status, body.was_atomic) == (401, None)
