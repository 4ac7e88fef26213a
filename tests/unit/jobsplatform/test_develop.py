"""`make dev`: it refuses addresses that are taken, and ends with one box."""

from __future__ import annotations

import socket

import pytest

from jobsplatform.embedded.develop import describe
from jobsplatform.embedded.supervision import PortTakenError, free_port, require_free
from scheduling.management.commands.run_platform import next_address


def test_taken_address_is_refused_with_the_cure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"127\.0\.0\.1:{port} cannot be used .*make dev BIND="):
            require_free("127.0.0.1", port)
    require_free("127.0.0.1", free_port())
    require_free("[::1]", free_port())


@pytest.mark.parametrize("port", [-1, 70_000])
def test_number_that_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(PortTakenError):
        require_free("127.0.0.1", port)


def test_streams_get_the_next_port() -> None:
    assert next_address("127.0.0.1:8000") == "127.0.0.1:8001"
    assert next_address("[::1]:9000") == "[::1]:9001"


def test_box_has_addresses_account_and_next_command() -> None:
    box = describe("127.0.0.1:8000", "127.0.0.1:8001", "secret", "stand-in").splitlines()
    assert len({len(line) for line in box}) == 1
    text = "\n".join(box)
    for part in (
        "http://127.0.0.1:8000/admin/",
        "user admin",
        "password secret",
        "http://127.0.0.1:8000/api/v1/docs/",
        "http://127.0.0.1:8001/api/v1/jobs/stream/",
        "stand-in",
        "var/dev.log",
        ". var/dev.env",
        "create_tenant",
    ):
        assert part in text
