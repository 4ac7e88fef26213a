"""Where a request comes from, behind as many proxies as the deployment has."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

# Who has one IPv6 address has the rest of its network too.
_IPV6_CLIENT_BITS = 64


def client_address(request: HttpRequest) -> str | None:
    """The address that the outermost trusted proxy saw, an IPv6 one by its network; None where there is none."""
    hops = settings.TRUSTED_PROXY_HOPS
    forwarded = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",")]
    seen = forwarded[-hops] if 0 < hops <= len(forwarded) else request.META.get("REMOTE_ADDR", "")
    return _read(seen) or _read(request.META.get("REMOTE_ADDR", ""))


def _read(text: str) -> str | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), _IPV6_CLIENT_BITS), strict=False).network_address)
