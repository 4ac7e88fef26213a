"""Internal addresses are refused before a connection, in every spelling and from every source."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scheduling.checks import check_outgoing_http
from scheduling.kit.http import (
    AddressRefusedError,
    Limits,
    NoAnswerError,
    RedirectRefusedError,
    UrlRefusedError,
    refusal_of,
)
from scheduling.kit.http.addresses import OPENABLE
from scheduling.kit.http.policy import AllowedHostInvalidError, read_allowed_hosts
from tests.platform_settings import ChangePlatformSettings
from tests.unit.scheduling.kit.http.conftest import World
from tests.unit.scheduling.kit.http.test_addresses import REFUSED as ADDRESSES

PUBLIC, OTHER = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
# Addresses in their canonical spelling: they are parsed, and refused by their class.
LITERALS = [
    ("http://127.0.0.1/", "loopback"),
    ("http://127.255.255.254/", "loopback"),
    ("http://0.0.0.0/", "unspecified"),
    ("http://10.0.0.1/", "private"),
    ("http://172.16.0.1/", "private"),
    ("http://192.168.0.1/", "private"),
    ("http://169.254.169.254/latest/meta-data/", "link-local"),
    ("http://100.100.100.200/", "shared"),
    ("http://192.88.99.1/", "6to4"),
    ("http://198.18.0.1/", "benchmarking"),
    ("http://203.0.113.9/", "documentation"),
    ("http://224.0.0.251/", "multicast"),
    ("http://240.0.0.1/", "reserved"),
    ("http://255.255.255.255/", "broadcast"),
    ("http://[::]/", "unspecified"),
    ("http://[::1]/", "loopback"),
    ("http://[0:0:0:0:0:0:0:1]/", "loopback"),
    ("http://[0000:0000:0000:0000:0000:0000:0000:0001]/", "loopback"),
    ("http://[::ffff:127.0.0.1]/", "v4-mapped"),
    ("http://[::FFFF:7f00:1]/", "v4-mapped"),
    ("http://[0:0:0:0:0:ffff:127.0.0.1]/", "v4-mapped"),
    ("http://[::ffff:169.254.169.254]/", "v4-mapped"),
    ("http://[::ffff:0:127.0.0.1]/", "v4-translated"),
    ("http://[::127.0.0.1]/", "v4-compatible"),
    ("http://[::7f00:1]/", "v4-compatible"),
    ("http://[64:ff9b::127.0.0.1]/", "NAT64"),
    ("http://[64:ff9b::7f00:1]/", "NAT64"),
    ("http://[64:ff9b:1::10.0.0.1]/", "NAT64"),
    ("http://[2002:7f00:1::]/", "6to4"),
    ("http://[2002:a9fe:a9fe::1]/", "6to4"),
    ("http://[2001:0:1::1]/", "Teredo"),
    ("http://[fc00::1]/", "unique local"),
    ("http://[fd00:ec2::254]/", "unique local"),
    ("http://[fe80::1]/", "link-local"),
    ("http://[fec0::1]/", "site-local"),
    ("http://[ff02::1]/", "multicast"),
    ("http://[2001:db8::1]/", "documentation"),
    ("http://[100::1]/", "discard-only"),
    ("https://127.0.0.1/", "loopback"),
]
NAMES_INSIDE = [
    "localhost",
    "LOCALHOST",
    "redis",
    "metadata",
    "kubernetes",
    "ip6-localhost",
    "ｌｏｃａｌｈｏｓｔ",
    "ⓛocalhost",
]


def assert_nothing_sent(world: World) -> None:
    assert world.connected == []
    assert world.server.seen == []


@pytest.mark.parametrize(("url", "name"), LITERALS)
def test_internal_address_is_refused(world: World, url: str, name: str) -> None:
    with pytest.raises(AddressRefusedError, match=name) as caught:
        world.call(url)
    assert caught.value.code == "address_refused"
    assert_nothing_sent(world)


@pytest.mark.parametrize(("address", "name"), ADDRESSES)
def test_name_of_internal_address_is_refused_without_showing_it(world: World, address: str, name: str) -> None:
    world.names["rebind.example"] = [address]
    with pytest.raises(AddressRefusedError) as caught:
        world.call("http://rebind.example/")
    message = str(caught.value)
    assert message.startswith(f"'rebind.example' resolves to an address that is not allowed: {name}.")
    assert address not in message
    assert ("OUTGOING_HTTP_ALLOWED_HOSTS" in message) is (name in OPENABLE)
    assert_nothing_sent(world)


def test_one_internal_address_among_public_ones_is_refused(world: World) -> None:
    for addresses in ([PUBLIC, "127.0.0.1"], ["::1", PUBLIC], [PUBLIC, OTHER, "10.0.0.1"]):
        world.names["mixed.example"] = addresses
        with pytest.raises(AddressRefusedError):
            world.call("http://mixed.example/")
    assert_nothing_sent(world)


@pytest.mark.parametrize("name", NAMES_INSIDE)
def test_name_without_domain_is_refused_without_lookup(world: World, name: str) -> None:
    with pytest.raises(AddressRefusedError, match="internal name"):
        world.call(f"http://{name}/")
    assert world.looked_up == []


def test_public_name_is_resolved_without_the_search_list(world: World) -> None:
    world.names["api.example.com"] = [PUBLIC]
    world.call("http://api.example.com/")
    assert world.looked_up == ["api.example.com."]


def test_name_is_resolved_once_and_the_checked_address_is_used(world: World) -> None:
    world.names["api.example.com"] = [PUBLIC]
    answer = world.call("http://api.example.com/a")
    assert (answer.status, answer.body) == (200, b"hello")
    assert (len(world.looked_up), world.connected) == (1, [(PUBLIC, 80)])
    assert world.server.seen[0].headers["Host"] == "api.example.com"


def test_name_rebound_to_internal_address_is_refused(world: World) -> None:
    turns = iter([[PUBLIC], ["169.254.169.254"]])
    world.server.answers["/"] = (302, {"Location": "/again"}, b"")

    def look_up(name: str, port: int) -> list[str]:
        return next(turns)

    world.look_up = look_up  # type: ignore[method-assign]
    with pytest.raises(AddressRefusedError, match="link-local"):
        world.call("http://rebind.example/", limits=Limits(redirects=3))
    assert world.connected == [(PUBLIC, 80)]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(("url", "name"), LITERALS)
def test_redirect_to_internal_address_is_refused(world: World, status: int, url: str, name: str) -> None:
    world.names["api.example.com"] = [PUBLIC]
    world.server.answers["/"] = (status, {"Location": url}, b"")
    with pytest.raises(AddressRefusedError, match=name):
        world.call("http://api.example.com/", limits=Limits(redirects=3))
    assert len(world.server.seen) == 1


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("http://127.1/", UrlRefusedError),
        ("http://2130706433/", UrlRefusedError),
        ("file:///etc/passwd", UrlRefusedError),
        ("gopher://127.0.0.1:6379/_FLUSHALL", UrlRefusedError),
        ("http://user:pw@api.example.com/", UrlRefusedError),
        ("http://localhost/", AddressRefusedError),
        ("http://api.example.com:22/", AddressRefusedError),
        ("//rebind.example/", AddressRefusedError),
    ],
)
def test_redirect_target_is_checked_like_the_first_url(world: World, location: str, error: type[Exception]) -> None:
    world.names |= {"api.example.com": [PUBLIC], "rebind.example": ["127.0.0.1"]}
    world.server.answers["/"] = (302, {"Location": location}, b"")
    with pytest.raises(error):
        world.call("http://api.example.com/", limits=Limits(redirects=3))
    assert len(world.server.seen) == 1


@pytest.mark.parametrize("port", [1, 22, 25, 53, 111, 2375, 3306, 5432, 6379, 9200, 11211, 65535])
def test_port_outside_http_and_https_is_refused(world: World, port: int) -> None:
    with pytest.raises(AddressRefusedError, match=f"Port {port} is not allowed"):
        world.call(f"http://api.example.com:{port}/")
    assert world.looked_up == []


def test_setting_defines_the_allowed_ports(world: World, change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(OUTGOING_HTTP_PORTS=[9_999])
    world.names["api.example.com"] = [PUBLIC]
    assert world.call("http://api.example.com:9999/").status == 200
    with pytest.raises(AddressRefusedError):
        world.call("http://api.example.com/")


def test_setting_allows_an_internal_host_at_one_port(world: World, allow: Callable[..., None]) -> None:
    world.names |= {"llm.internal": ["10.0.3.7"], "other.internal": ["10.0.3.7"]}
    allow("llm.internal:8000", "[fd00::5]:8000")
    assert world.call("http://llm.internal:8000/v1").status == 200
    assert world.call("http://[fd00::5]:8000/v1").status == 200
    assert world.connected == [("10.0.3.7", 8000), ("fd00::5", 8000)]
    # Resolved with the search list, as internal names are.
    assert world.looked_up[0] == "llm.internal"
    for url in ("http://llm.internal/", "http://llm.internal:8001/", "http://other.internal:8080/", "http://10.0.3.7/"):
        with pytest.raises(AddressRefusedError):
            world.call(url)
    assert len(world.connected) == 2


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "0.0.0.0", "fe80::1", "ff02::1", "::ffff:10.0.0.1", "64:ff9b::1"]
)
def test_reserved_addresses_are_refused_in_spite_of_the_setting(
    world: World, allow: Callable[..., None], address: str
) -> None:
    allow("llm.internal:8000")
    world.names["llm.internal"] = [address]
    with pytest.raises(AddressRefusedError):
        world.call("http://llm.internal:8000/")
    assert_nothing_sent(world)


def test_url_of_the_operator_allows_its_own_host_only(world: World) -> None:
    world.names |= {"llm.internal": ["10.0.3.7"], "other.internal": ["10.0.3.8"]}
    url = "http://llm.internal:8000/v1/embeddings"
    assert world.call(url, is_url_by_operator=True).status == 200
    world.server.answers["/v1/embeddings"] = (302, {"Location": "http://other.internal:8000/"}, b"")
    with pytest.raises(AddressRefusedError):
        world.call(url, is_url_by_operator=True, limits=Limits(redirects=1))
    with pytest.raises(AddressRefusedError):
        world.call(url)


@pytest.mark.parametrize(
    "entry",
    [
        "llm.internal",
        "llm.internal:",
        "http://llm.internal:80",
        "llm.internal:80/x",
        "*:80",
        "10.0.0.0/8:80",
        "127.1:80",
        "",
    ],
)
def test_invalid_allowed_host_fails_the_system_check(
    entry: str, change_platform_settings: ChangePlatformSettings
) -> None:
    with pytest.raises(AllowedHostInvalidError):
        read_allowed_hosts([entry])
    change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=["llm.internal:80", entry])
    assert [message.id for message in check_outgoing_http(None)] == ["scheduling.E003"]


def test_valid_allowed_hosts_pass_the_system_check(change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(
        OUTGOING_HTTP_ALLOWED_HOSTS=["LLM.internal:8000", "10.0.0.5:80", "[fd00::5]:443", "redis:6379"]
    )
    assert check_outgoing_http(None) == []


def test_redirects_are_limited(world: World) -> None:
    world.names["api.example.com"] = [PUBLIC]
    world.server.answers["/"] = (302, {"Location": "/"}, b"")
    with pytest.raises(RedirectRefusedError, match="More than 3 redirects"):
        world.call("http://api.example.com/", limits=Limits(redirects=3))
    assert len(world.server.seen) == 4


@pytest.mark.parametrize("fault", [OSError("no such name"), UnicodeError("label too long")])
def test_unknown_name_is_a_transient_error(world: World, fault: Exception) -> None:
    world.names["gone.example"] = fault
    with pytest.raises(NoAnswerError) as caught:
        world.call("http://gone.example/")
    assert caught.value.code == "name_not_found"
    world.names["empty.example"] = []
    with pytest.raises(NoAnswerError):
        world.call("http://empty.example/")


def test_proxies_of_the_environment_are_ignored(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    world.names["api.example.com"] = [PUBLIC]
    assert world.call("http://api.example.com/").status == 200
    assert world.connected == [(PUBLIC, 80)]


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("http://127.0.0.1:8080/v1", "OUTGOING_HTTP_ALLOWED_HOSTS"),
        ("http://10.0.3.7:8000/v1", "OUTGOING_HTTP_ALLOWED_HOSTS"),
        ("http://192.168.1.2/v1", "OUTGOING_HTTP_ALLOWED_HOSTS"),
        ("http://[::1]:11434/v1", "OUTGOING_HTTP_ALLOWED_HOSTS"),
        ("http://localhost:11434/v1", "OUTGOING_HTTP_ALLOWED_HOSTS"),
        ("http://127.0.0.1:18990/v1", "OUTGOING_HTTP_PORTS"),
        ("https://api.example.com:18990/v1", "OUTGOING_HTTP_PORTS"),
        ("http://169.254.169.254/latest", "link-local"),
        ("ftp://api.example.com/", "scheme"),
    ],
)
def test_url_that_no_job_may_call_is_refused_by_its_text(url: str, named: str) -> None:
    assert named in refusal_of(url)


@pytest.mark.parametrize("port", [80, 443, 1234, 8000, 8080, 8443, 11434])
def test_ports_of_model_servers_are_allowed(port: int) -> None:
    assert refusal_of(f"http://models.example.com:{port}/v1") == ""


def test_allowed_host_is_not_refused(change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=["127.0.0.1:18990"])
    assert refusal_of("http://127.0.0.1:18990/v1") == ""
    assert refusal_of("http://127.0.0.1:18991/v1") != ""
