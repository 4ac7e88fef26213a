"""A client that sends a large body gets its response, also one sent before the body was read."""

from __future__ import annotations

import select
import socket

import pytest

from tenants.access.api_keys import issue_api_key
from tenants.models import Tenant
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.processes import eventually
from tests.acceptance.test_platform import free_port, is_answering

# The second is larger than the buffers of sockets.
SIZES = [180_000, 6_000_000]
PART = b" " * 16 * 1024
SECONDS = 60.0
HEAD = (
    "POST /api/v1/jobs/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Api-Key {}\r\n"
    "Content-Type: application/json\r\nContent-Length: {}\r\nConnection: {}\r\n\r\n"
)


@pytest.mark.slow
@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
def test_large_body_is_answered_with_503_during_database_outage(server: str, platform: Platform, acme: Tenant) -> None:
    port = free_port()
    start = platform.start_web if server == "gunicorn" else platform.start_streams
    start(port, DATABASE_URL=f"postgres://none:none@127.0.0.1:{free_port()}/none")
    eventually(lambda: is_answering(f"127.0.0.1:{port}"), within=START_SECONDS, what="the server answers")
    key = issue_api_key(tenant=acme, name="key", scopes=["jobs.submit"]).token
    for size in SIZES:
        for connection in ("close", "keep-alive"):
            answer = send_all(port, HEAD.format(key, size, connection), size)
            assert answer.startswith("HTTP/1.1 503 "), answer
            assert "retry-after: " in answer.lower()


def send_all(port: int, head: str, size: int) -> str:
    """Send a head and the whole body, half of it after an early response; return the head of the response.

    It waits for an early response, and fails as any client does if the connection is closed meanwhile.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as client:
        client.sendall(head.encode())
        left = size
        while left:
            if left <= size // 2 < left + len(PART):
                select.select([client], [], [], 2.0)
            client.sendall(PART[: min(left, len(PART))])
            left -= min(left, len(PART))
        answer = b""
        while b"\r\n\r\n" not in answer and (part := client.recv(4096)):
            answer += part
        return answer.decode("latin-1")
