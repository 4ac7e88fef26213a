"""Public and refused addresses by class, never more than Python itself considers public."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.kit.http.addresses import refused_class_of

# The first and the last of each network, and public neighbours.
REFUSED = [
    ("0.0.0.0", "unspecified"),
    ("0.255.255.255", "unspecified"),
    ("10.0.0.0", "private"),
    ("10.255.255.255", "private"),
    ("100.64.0.0", "shared (CGNAT)"),
    ("100.127.255.255", "shared (CGNAT)"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.255", "loopback"),
    ("169.254.0.0", "link-local"),
    ("169.254.169.254", "link-local"),  # credentials of cloud providers
    ("172.16.0.0", "private"),
    ("172.31.255.255", "private"),
    ("192.0.0.0", "reserved"),
    ("192.0.0.192", "reserved"),  # the same, of another provider
    ("192.0.2.1", "documentation"),
    ("192.31.196.1", "reserved"),
    ("192.52.193.1", "reserved"),
    ("192.88.99.1", "6to4"),
    ("192.168.0.0", "private"),
    ("192.168.255.255", "private"),
    ("192.175.48.1", "reserved"),
    ("198.18.0.0", "benchmarking"),
    ("198.19.255.255", "benchmarking"),
    ("198.51.100.1", "documentation"),
    ("203.0.113.1", "documentation"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.254", "reserved"),
    ("255.255.255.255", "broadcast"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::2", "v4-compatible"),
    ("::127.0.0.1", "v4-compatible"),
    ("::8.8.8.8", "v4-compatible"),
    ("::ffff:127.0.0.1", "v4-mapped"),
    ("::ffff:8.8.8.8", "v4-mapped"),
    ("::ffff:0:127.0.0.1", "v4-translated"),
    ("64:ff9b::127.0.0.1", "NAT64"),
    ("64:ff9b::808:808", "NAT64"),
    ("64:ff9b:1::a00:1", "NAT64"),
    ("64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "NAT64"),
    ("64:ff9b:2::1", "reserved"),
    ("100::1", "discard-only"),
    ("2001::1", "Teredo"),
    ("2001:0:7f00:1::", "Teredo"),
    ("2001:2::1", "reserved"),
    ("2001:10::1", "reserved"),
    ("2001:db8::1", "documentation"),
    ("2002:7f00:1::", "6to4"),
    ("2002:a9fe:a9fe::", "6to4"),
    ("2620:4f:8000::1", "reserved"),
    ("3fff:fff::1", "documentation"),
    ("2a00:1450:4001::5efe:7f00:1", "ISATAP"),
    ("2a00:1450:4001::200:5efe:10.0.0.1", "ISATAP"),
    ("4000::1", "reserved"),
    ("5f00::1", "reserved"),
    ("7fff::1", "reserved"),
    ("8000::1", "reserved"),
    ("fbff::1", "reserved"),
    ("fc00::1", "unique local"),
    ("fd12:3456:789a::1", "unique local"),
    ("fe00::1", "reserved"),
    ("fe80::1", "link-local"),
    ("fe80::1%eth0", "link-local"),
    ("febf::1", "link-local"),
    ("fec0::1", "site-local"),
    ("ff02::1", "multicast"),
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2000::1",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "3ffe::1",
]


@pytest.mark.parametrize(("address", "name"), REFUSED)
def test_private_address_has_its_refused_class(address: str, name: str) -> None:
    assert refused_class_of(ip_address(address)) == name


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_has_no_refused_class(address: str) -> None:
    assert refused_class_of(ip_address(address)) is None


@given(st.ip_addresses())
def test_public_address_is_public_for_python_too(address) -> None:
    if refused_class_of(address) is None:
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved


@given(st.ip_addresses(v=4))
def test_embedded_ipv4_address_is_refused(address) -> None:
    number = int(address)
    carriers = [number, 0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80]
    for carrier in carriers:
        assert refused_class_of(IPv6Address(carrier)) is not None
