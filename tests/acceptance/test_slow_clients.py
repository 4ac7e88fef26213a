"""Slow clients of both servers: each is disconnected, and uses no more than its share meanwhile."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tenants.models import Tenant
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.hostile_clients import Answer, dribble
from tests.acceptance.processes import eventually
from tests.acceptance.test_edges import BOUNDARY, Attacker
from tests.acceptance.test_platform import free_port, is_answering

GRACE_SECONDS = 10


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
def test_slow_clients_are_cut_off(server: str, platform: Platform, acme: Tenant, globex: Tenant) -> None:
    port = free_port()
    start = platform.start_web if server == "gunicorn" else platform.start_streams
    start(port, RECEIVE_GRACE_SECONDS=str(GRACE_SECONDS))
    eventually(lambda: is_answering(f"127.0.0.1:{port}"), within=START_SECONDS, what="the server answers")
    attacker, other = Attacker(port, acme), Attacker(port, globex)
    text = b"word " * 300_000
    assert attacker.upload("first.txt", text).status == 202  # the first upload of a process is slow
    with ThreadPoolExecutor() as clients:
        upload = eventually(lambda: hold_share(attacker, clients), what="the tenant's share is taken")
        assert other.upload("b.txt", text).status == 202
        assert is_refused(upload)
        assert attacker.upload("c.txt", text).status == 202

        key = f"Authorization: Api-Key {attacker.key}\n"
        begin = "POST {} HTTP/1.1\nHost: localhost\n{}Content-Type: {}\nContent-Length: 10000\n\n"
        small = clients.submit(dribble, port, begin.format("/api/v1/jobs/", key, "application/json"))
        cookie, kind = "Cookie: csrftoken=" + "a" * 32 + "\n", "application/x-www-form-urlencoded"
        form = clients.submit(dribble, port, begin.format("/admin/login/", cookie, kind))
        assert is_refused(small)
        # Under WSGI a form view without access responds to the part received until then.
        assert form.result().status == (403 if server == "gunicorn" else 408), form.result()
        if server == "gunicorn":  # under uvicorn a head holds no thread
            assert dribble(port, "GET /api/v1/jobs/ HTTP/1.1\nHost: localhost\nX-A: ").status == 0


def large_upload(attacker: Attacker) -> str:
    return (
        f"POST {attacker.upload_path} HTTP/1.1\nHost: localhost\nAuthorization: Api-Key {attacker.key}\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\nContent-Length: {1024**3}\n\n--{BOUNDARY}\n"
    )


def hold_share(attacker: Attacker, clients: ThreadPoolExecutor) -> Future[Answer] | None:
    """Begin an upload that takes the tenant's whole share; return None if another upload came before it."""
    upload = clients.submit(dribble, attacker.port, large_upload(attacker))
    while not upload.done():
        if attacker.upload("a.txt", b"word " * 300_000).status == 503:
            return upload
    return None


def is_refused(client: Future[Answer]) -> bool:
    answer = client.result()
    assert (answer.status, "body_too_slow" in answer.text) == (408, True), answer
    return True
