"""Address of a client: as seen by the trusted proxy, never as stated by the client."""

from __future__ import annotations

import pytest
from django.test import RequestFactory

from tenants.access.addresses import client_address
from tests.platform_settings import override_platform_settings


@pytest.mark.parametrize(
    ("hops", "forwarded", "remote", "address"),
    [
        (0, None, "192.0.2.1", "192.0.2.1"),
        (0, "198.51.100.7", "192.0.2.1", "192.0.2.1"),
        (1, "198.51.100.7", "10.0.0.1", "198.51.100.7"),
        (1, "203.0.113.66, 198.51.100.7", "10.0.0.1", "198.51.100.7"),
        (2, "203.0.113.66, 198.51.100.7, 10.0.0.2", "10.0.0.1", "198.51.100.7"),
        (2, "198.51.100.7", "10.0.0.1", "10.0.0.1"),
        (1, "", "10.0.0.1", "10.0.0.1"),
        (1, "nonsense", "10.0.0.1", "10.0.0.1"),
        (0, None, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        (0, None, "::ffff:192.0.2.1", "192.0.2.1"),
        (0, None, "", None),
    ],
)
def test_client_address_depends_on_trusted_proxies(
    hops: int, forwarded: str | None, remote: str, address: str | None
) -> None:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    request = RequestFactory().get("/", headers=headers, REMOTE_ADDR=remote)
    with override_platform_settings(TRUSTED_PROXY_HOPS=hops):
        assert client_address(request) == address
