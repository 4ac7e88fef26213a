"""A server of AWS' APIs on loopback: buckets in S3 and keys in KMS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from moto.server import ThreadedMotoServer


@contextmanager
def aws_server() -> Iterator[ThreadedMotoServer]:
    """Yield a server without buckets and keys; stop it at the end."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def used_aws_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadedMotoServer]:
    """Yield a server that the clients of this process call unless they name another."""
    with aws_server() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url_of(server))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "of-the-test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield server


def url_of(server: ThreadedMotoServer) -> str:
    """Return the URL of a server that was started."""
    host, port = server.get_host_and_port()
    return f"http://{host}:{port}"
