"""Client addresses of requests that pass the deployment's trusted proxies."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address, ip_network

from django.http import HttpRequest

from tenants.database.platform_settings import platform_settings

# One client usually controls a whole /64.
_IPV6_CLIENT_BITS = 64


def client_address(request: HttpRequest) -> str | None:
    """Return the client's address as the outermost trusted proxy reported it, or None if there is no valid address.

    An IPv6 address is returned as its /64 network.
    """
    return _read(_seen(request)) or _read(request.META.get("REMOTE_ADDR", ""))


def is_from(request: HttpRequest, networks: Iterable[str]) -> bool:
    """Return whether the client's address, as the outermost trusted proxy reported it, lies in one of the networks."""
    try:
        address = ip_address(_seen(request))
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in ip_network(network) for network in networks)


def read_network(text: str) -> str:
    """Return a network in CIDR notation, as it is stored; a single address becomes a network of one address.

    Raise ValueError if the text is not a valid network or address.
    """
    return str(ip_network(text.strip(), strict=False))


def _seen(request: HttpRequest) -> str:
    hops = platform_settings.TRUSTED_PROXY_HOPS
    forwarded = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",")]
    return forwarded[-hops] if 0 < hops <= len(forwarded) else str(request.META.get("REMOTE_ADDR", ""))


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
