"""Ambiguous spellings of URLs: refused before any lookup."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.kit.http.errors import UrlRefusedError
from scheduling.kit.http.targets import MAX_URL_CHARACTERS, UrlTarget, read_location, read_target

# Spellings of 127.0.0.1, 10.0.0.1, 169.254.169.254 and :: that some parser accepts, and URLs that two parsers read
# differently.
REFUSED = [
    # Numbers that are not four plain decimal ones.
    "http://127.1/",
    "http://127.0.1/",
    "http://127/",
    "http://2130706433/",
    "http://0/",
    "http://0.0/",
    "http://0177.0.0.1/",
    "http://0177.0.0.01/",
    "http://017700000001/",
    "http://00000177.0.0.1/",
    "http://127.0.0.01/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0X7F.0.0.1/",
    "http://0x7f.1/",
    "http://0x7f.0x0.0x0.0x1/",
    "http://127.0.0.0x1/",
    "http://0x/",
    "http://127.0.0.0x/",
    "http://0xa9fea9fe/",
    "http://2852039166/",
    "http://0251.0376.0251.0376/",
    "http://169.254.43518/",
    "http://10.1/",
    "http://256.0.0.1/",
    "http://127.0.0.1.1/",
    "http://127.0.0.257/",
    "http://4294967297/",
    "http://127.0.0.1./",
    "http://127.0.0.1../",
    "http://2130706433./",
    "http://0x7f.1./",
    "http://8.8.8.8./",
    "http://example.com.0/",
    "http://example.com.127/",
    "http://.127.0.0.1/",
    "http://127..0.1/",
    "http://-127.0.0.1/",
    "http://+127.0.0.1/",
    "http://127.0.0.1,/",
    # Unicode's digits, dots, letters and signs.
    "http://１２７.0.0.1/",
    "http://１２７．０．０．１/",
    "http://127。0。0。1/",
    "http://127．0．0．1/",
    "http://127｡0｡0｡1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://𝟏𝟐𝟕.𝟎.𝟎.𝟏/",
    "http://²¹³⁰⁷⁰⁶⁴³³/",
    "http://١٢٧.٠.٠.١/",
    "http://０ｘ７ｆ.１/",
    "http://8.8.8.８/",
    "http://example.com。/",
    "http://[：：１]/",
    "http://[::１]/",
    "http://127.0.0.1\u200b/",
    "http://127.0.0.1\u00ad/",
    "http://exam\u202eple.com/",
    "http://exa\u2060mple.com/",
    "http://\ufeffexample.com/",
    "http://exa\u00a0mple.com/",
    "http://example\u3000.com/",
    "http://a\u2100b.example/",  # ℀ unfolds to a/c
    "http://evil.example\uff0f@127.0.0.1/",
    "http://evil.example\uff03.internal.example/",
    "http://exa\ud800mple.com/",
    "http://xn--a\u0308.example/",
    # Zones, brackets, names in brackets, a colon too many.
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[::1%25lo]/",
    "http://[::1/",
    "http://::1/",
    "http://[::1]x/",
    "http://x[::1]/",
    "http://[[::1]]/",
    "http://[127.0.0.1]/",
    "http://[v1.fe80::a]/",
    "http://[]/",
    "http://[::1]:80:80/",
    "http://[0:0:0:0:0:0:0:0:1]/",
    "http://[::127.1]/",
    "http://[::ffff:0x7f000001]/",
    "http://[::ffff:0177.0.0.1]/",
    "http://fe80::1%eth0/",
    "http://127.0.0.1%25lo/",
    # Percent signs in the host.
    "http://%31%32%37.0.0.1/",
    "http://127%2e0%2e0%2e1/",
    "http://localhos%74/",
    "http://example.com%2f@127.0.0.1/",
    "http://example.com%00.internal.example/",
    # Users, passwords, and text before an at that looks like a host.
    "http://user@example.com/",
    "http://user:password@example.com/",
    "http://@example.com/",
    "http://:@example.com/",
    "http://example.com@127.0.0.1/",
    "http://example.com:80@127.0.0.1/",
    "http://127.0.0.1:80@example.com/",
    "http://a@b@127.0.0.1/",
    # Blanks, controls and backslashes.
    " http://example.com/",
    "http://example.com/ ",
    "http:// example.com/",
    "http://exam ple.com/",
    "http://example.com/a b",
    "\thttp://example.com/",
    "ht\ttp://example.com/",
    "http://exam\nple.com/",
    "http://exam\rple.com/",
    "http://example.com/\r\nHost: 127.0.0.1",
    "http://example.com/\x00",
    "http://exam\x00ple.com/",
    "http://example.com\x7f/",
    "http://example.com\x85/",
    "http:\\\\example.com\\",
    "http://example.com\\@127.0.0.1/",
    "http://127.0.0.1\\.example.com/",
    "http:/\\127.0.0.1/",
    # Schemes, and no host at all.
    "",
    "http",
    "http:",
    "http:/",
    "http://",
    "http:///",
    "http:///127.0.0.1/",
    "http:/127.0.0.1/",
    "http:127.0.0.1/",
    "://example.com/",
    "//example.com/",
    "/etc/passwd",
    "example.com",
    "127.0.0.1:80",
    "http://?q",
    "http://#f",
    "http://:80/",
    "file:///etc/passwd",
    "file://127.0.0.1/etc/passwd",
    "FILE:///etc/passwd",
    "ftp://example.com/",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "dict://127.0.0.1:11211/stat",
    "ldap://127.0.0.1/",
    "tftp://127.0.0.1/x",
    "jar:http://127.0.0.1!/",
    "data:text/plain,x",
    "javascript:alert(1)",
    "unix:///run/docker.sock",
    "http+unix://%2Frun%2Fdocker.sock/info",
    "ws://example.com/",
    "url:http://127.0.0.1/",
    "view-source:http://127.0.0.1/",
    "hTtPx://example.com/",
    # Ports.
    "http://example.com:0/",
    "http://example.com:65536/",
    "http://example.com:99999/",
    "http://example.com:80a/",
    "http://example.com:-80/",
    "http://example.com:+80/",
    "http://example.com: 80/",
    "http://example.com:８０/",
    "http://example.com:٨٠/",
    "http://example.com:0x50/",
    "http://example.com:000080/",
    "http://example.com:80:443/",
    "http://example.com:/",
    # Names that no name server can have.
    "http://./",
    "http://../",
    "http://.example.com/",
    "http://example..com/",
    "http://example.com./",
    "http://-example.com/",
    "http://example-.com/",
    "http://exam$ple.com/",
    "http://exam'ple.com/",
    'http://exam"ple.com/',
    "http://exam<ple>.com/",
    "http://exam;ple.com/",
    "http://exam,ple.com/",
    "http://exam!ple.com/",
    "http://exam{ple}.com/",
    "http://exam|ple.com/",
    "http://exam^ple.com/",
    "http://exam`ple.com/",
    "http://*.example.com/",
    "http://exam&ple.com/",
    "http://exam=ple.com/",
    "http://exam~ple.com/",
    "http://" + "a" * 64 + ".example.com/",
    "http://" + "a." * 130 + "example.com/",
    "http://example.com/" + "a" * MAX_URL_CHARACTERS,
]
READ = [
    ("http://example.com", UrlTarget("http", "example.com", 80, "/")),
    ("HTTPS://Example.COM/A?b=C#d", UrlTarget("https", "example.com", 443, "/A?b=C")),
    ("https://example.com:8443/", UrlTarget("https", "example.com", 8443, "/")),
    ("http://example.com?q=1", UrlTarget("http", "example.com", 80, "/?q=1")),
    ("http://example.com#@127.0.0.1/", UrlTarget("http", "example.com", 80, "/")),
    ("http://example.com/@127.0.0.1", UrlTarget("http", "example.com", 80, "/@127.0.0.1")),
    ("http://example.com/a%2Fb?c=%20&d[]=1", UrlTarget("http", "example.com", 80, "/a%2Fb?c=%20&d[]=1")),
    ("http://example.com/é?ü=日", UrlTarget("http", "example.com", 80, "/%C3%A9?%C3%BC=%E6%97%A5")),
    ("http://a_b.example.com/", UrlTarget("http", "a_b.example.com", 80, "/")),
    ("http://xn--mnchen-3ya.example/", UrlTarget("http", "xn--mnchen-3ya.example", 80, "/")),
    ("http://münchen.example/", UrlTarget("http", "xn--mnchen-3ya.example", 80, "/")),
    ("http://MÜNCHEN.example/", UrlTarget("http", "xn--mnchen-3ya.example", 80, "/")),
    ("http://faß.example/", UrlTarget("http", "xn--fa-hia.example", 80, "/")),
    ("http://例え.テスト/", UrlTarget("http", "xn--r8jz45g.xn--zckzah", 80, "/")),
    # Valid, and refused by their address: see the policy.
    ("http://127.0.0.1/", UrlTarget("http", "127.0.0.1", 80, "/")),
    ("http://[::1]:8080/", UrlTarget("http", "::1", 8080, "/")),
    ("http://[0:0:0:0:0:0:0:1]/", UrlTarget("http", "::1", 80, "/")),
    ("http://localhost/", UrlTarget("http", "localhost", 80, "/")),
]


@pytest.mark.parametrize("url", REFUSED)
def test_ambiguous_url_is_refused(url: str) -> None:
    with pytest.raises(UrlRefusedError) as caught:
        read_target(url)
    assert caught.value.code == "url_refused"
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(("url", "target"), READ)
def test_plain_url_is_split_into_its_parts(url: str, target: UrlTarget) -> None:
    assert read_target(url) == target


def test_shown_target_has_no_query() -> None:
    target = read_target("https://[2606:4700::1]:8443/a?token=secret")
    assert (target.shown, target.authority) == ("https://[2606:4700::1]:8443/a", "[2606:4700::1]:8443")
    assert read_target("http://example.com:80/").authority == "example.com"


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("/c", "http://example.com:8080/c"),
        ("c", "http://example.com:8080/a/c"),
        ("?q", "http://example.com:8080/a/b"),
        ("//other.example/x", "http://other.example/x"),
        ("https://other.example/x", "https://other.example/x"),
        ("http:/x", "http://example.com:8080/x"),
    ],
)
def test_redirect_is_resolved_relative_to_its_url(location: str, shown: str) -> None:
    assert read_location(read_target("http://example.com:8080/a/b"), location).shown == shown


@pytest.mark.parametrize(
    "location",
    ["//127.1/", "http://0x7f.1/", "//user@example.com/", "file:///etc/passwd", "/a b", "\\\\127.0.0.1", "//[::1"],
)
def test_redirect_to_ambiguous_url_is_refused(location: str) -> None:
    with pytest.raises(UrlRefusedError):
        read_location(read_target("http://example.com/a"), location)


@given(st.text(max_size=60) | st.text(alphabet="01x7f.:/@[]%\\#?①。 ", max_size=30).map("http://".__add__))
def test_target_is_equal_after_parsing_again(url: str) -> None:
    try:
        target = read_target(url)
    except UrlRefusedError:
        return
    assert read_target(f"{target.scheme}://{target.authority}{target.path}") == target
