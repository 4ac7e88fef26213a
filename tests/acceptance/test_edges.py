"""Attacks on availability against both servers: each is refused, and the server responds meanwhile."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from jobsplatform.request_heads import MAX_HOST_BYTES, MAX_TARGET_BYTES
from tenants.access.api_keys import issue_api_key
from tenants.context import tenant_context
from tenants.models import Tenant
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.hostile_clients import MOST_BYTES, Answer, pulse_of, send
from tests.acceptance.processes import eventually
from tests.acceptance.test_platform import free_port, is_answering
from workloads.documents.service import create_dataset

# Permitted delay of a request for /health/live by an attack, on a machine that runs other tests.
MAX_SECONDS = 1.0
TYPICAL_SHARE = 0.95
LEAST_ANSWERS = 40
TIMES = 6
BOUNDARY = "boundary"
SCOPES = ["datasets.manage", "jobs.submit"]


def multipart(name: str, content: bytes) -> bytes:
    return (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        + content
        + f"\r\n--{BOUNDARY}--\r\n".encode()
    )


def archive_of(parts: int) -> bytes:
    """Return an archive that is nothing but a directory."""
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 19, 0, 0, 0, 0, 0, 0)
    first = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 19, 0) + b"[Content_Types].xml"
    directory = (entry + b"[Content_Types].xml") * parts
    return first + directory + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65_535, 65_535, len(directory), 0, 0)


class Attacker:
    """Attacks on one server, with a tenant's key or without."""

    def __init__(self, port: int, tenant: Tenant) -> None:
        self.port = port
        self.key = issue_api_key(tenant=tenant, name=f"attacker of {port}", scopes=SCOPES).token
        with tenant_context(tenant):
            dataset = create_dataset(tenant=tenant, name=f"attacked at {port}")
        self.upload_path = f"/api/v1/datasets/{dataset.pk}/documents/"

    def upload(self, name: str, content: bytes) -> Answer:
        body = multipart(name, content)
        head = (
            f"POST {self.upload_path} HTTP/1.1\nHost: localhost\nAuthorization: Api-Key {self.key}\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}\nContent-Length: {len(body)}\nConnection: close"
        )
        return send(self.port, head, body=body)

    def uploads_of_comments(self) -> None:
        for _ in range(TIMES):
            assert self.upload("page.html", b"<!---->" * 40 + b"x").status == 202

    def uploads_of_directories(self) -> None:
        # The server looks at the first part only; the directory is read in the sandbox of the job, and refused there.
        for _ in range(2):
            assert self.upload("report.xlsx", archive_of(150_000)).status == 202

    def long_heads(self) -> None:
        for _ in range(TIMES):
            for size in (MAX_TARGET_BYTES + 1, 15_000, 60_000):
                assert send(self.port, f"GET /{'a' * size} HTTP/1.1\nHost: localhost").status in {400, 414, 431}
            longest = "a" * (MAX_TARGET_BYTES - 20)
            assert send(self.port, f"GET /{longest} HTTP/1.1\nHost: localhost\nConnection: close").status == 404
            assert send(self.port, f"GET /zz HTTP/1.1\nHost: {'a' * (MAX_HOST_BYTES + 1)}").status == 400
            assert send(self.port, f"GET /zz HTTP/1.1\nHost: {'a' * 8_000}").status == 400
            headers = "\n".join(f"X-{number}: {'a' * 4_000}" for number in range(5))
            assert send(self.port, f"GET /zz HTTP/1.1\nHost: localhost\n{headers}").status in {400, 431}

    def endless_bodies(self) -> None:
        for credentials in (
            "X-None: 0",
            "Authorization: Api-Key jp0123456789." + "a" * 43,
            "Cookie: sessionid=0123456789abcdefghijklmnopqrstuv",
        ):
            for path in ("/api/v1/jobs/", self.upload_path, "/health/live", "/nowhere/"):
                head = f"POST {path} HTTP/1.1\nHost: localhost\n{credentials}\nContent-Type: application/json"
                answer = send(self.port, f"{head}\nContent-Length: 20000000000", endless=True)
                assert answer.status == 413, answer
                assert "body_too_large" in answer.text
                assert answer.taken < MOST_BYTES
        form = (
            f"POST /admin/login/ HTTP/1.1\nHost: localhost\nCookie: csrftoken={'a' * 32}\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}\nContent-Length: 20000000000"
        )
        answer = send(self.port, form, endless=True, body=multipart("a", b"x")[:90])
        assert (answer.status, answer.taken < MOST_BYTES) == (413, True)
        own = f"POST /api/v1/jobs/ HTTP/1.1\nHost: localhost\nAuthorization: Api-Key {self.key}\nContent-Length: "
        assert send(self.port, f"{own}3000000", endless=True).status == 413

    def chunks_without_end(self) -> Answer:
        head = "POST /api/v1/jobs/ HTTP/1.1\nHost: localhost\nTransfer-Encoding: chunked"
        return send(self.port, head, endless=True, is_chunked=True)


ATTACKS: dict[str, Callable[[Attacker], None]] = {
    "uploads of comments": Attacker.uploads_of_comments,
    "uploads of directories": Attacker.uploads_of_directories,
    "long heads": Attacker.long_heads,
    "endless bodies": Attacker.endless_bodies,
}


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
def test_attack_on_availability_is_refused_while_server_answers(server: str, platform: Platform, acme: Tenant) -> None:
    port = free_port()
    process = platform.start_web(port) if server == "gunicorn" else platform.start_streams(port)
    eventually(lambda: is_answering(f"127.0.0.1:{port}"), within=START_SECONDS, what="the server answers")
    attacker = Attacker(port, acme)
    for name, attack in ATTACKS.items():
        with pulse_of(port) as pulse:
            while len(pulse.seconds) < LEAST_ANSWERS:
                attack(attacker)
        assert pulse.at(TYPICAL_SHARE) < MAX_SECONDS, name
    answer = attacker.chunks_without_end()
    # WSGI has no body without a length, so none of it is read.
    assert answer.status == (401 if server == "gunicorn" else 413), answer
    assert answer.taken < MOST_BYTES
    assert process.is_running
