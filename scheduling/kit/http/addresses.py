"""The IP addresses that may be called on behalf of others: only public ones. Pure functions.

`ipaddress.is_global` and `is_private` differ between Python versions and do not cover addresses that embed another one.
So the networks are listed here (IANA's special-purpose registries, and tunnelled ranges).
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

type Address = IPv4Address | IPv6Address

PRIVATE: Final = "private"
LOOPBACK: Final = "loopback"
UNIQUE_LOCAL: Final = "unique local"
SHARED: Final = "shared (CGNAT)"
# The classes that an operator may open for a host by name. The others, such as link-local addresses, where clouds serve
# their machines' credentials, stay closed whatever is configured.
OPENABLE: Final = frozenset({PRIVATE, LOOPBACK, UNIQUE_LOCAL, SHARED})

# The first network that contains an address names its class.
_IPV4: Final[Sequence[tuple[IPv4Network, str]]] = tuple(
    (IPv4Network(network), name)
    for network, name in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", PRIVATE),
        ("100.64.0.0/10", SHARED),
        ("127.0.0.0/8", LOOPBACK),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", PRIVATE),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "reserved"),
        ("192.52.193.0/24", "reserved"),
        ("192.88.99.0/24", "6to4"),
        ("192.168.0.0/16", PRIVATE),
        ("192.175.48.0/24", "reserved"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_IPV6: Final[Sequence[tuple[IPv6Network, str]]] = tuple(
    (IPv6Network(network), name)
    for network, name in (
        ("::/128", "unspecified"),
        ("::1/128", LOOPBACK),
        ("::ffff:0:0/96", "v4-mapped"),
        ("::ffff:0:0:0/96", "v4-translated"),
        ("::/96", "v4-compatible"),
        ("64:ff9b::/96", "NAT64"),
        ("64:ff9b:1::/48", "NAT64"),
        ("100::/64", "discard-only"),
        ("2001::/32", "Teredo"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("2620:4f:8000::/48", "reserved"),
        ("3fff::/20", "documentation"),
        ("fc00::/7", UNIQUE_LOCAL),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
        # Addresses are only allocated below 2000::/3: everything else without a class is unassigned.
        ("::/3", "reserved"),
        ("4000::/2", "reserved"),
        ("8000::/1", "reserved"),
    )
)
# The lower half of an ISATAP address is one of these and an IPv4 address.
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})


def refused_class_of(address: Address) -> str | None:
    """Return the class of an address that is not public, such as "loopback"; None for a public one."""
    if isinstance(address, IPv4Address):
        return next((name for network, name in _IPV4 if address in network), None)
    if (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP:
        return "ISATAP"
    return next((name for network, name in _IPV6 if address in network), None)
