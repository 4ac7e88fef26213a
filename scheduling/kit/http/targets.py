"""Parsing of a URL into the parts that a call connects to; unusual notations are refused. Pure functions.

Two parsers that disagree about a URL are how checks are circumvented. So this one accepts few notations, and passes
scheme, host, port and path on as parts that are not parsed again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from string import ascii_letters, digits, punctuation
from urllib.parse import quote, urljoin

import idna

from scheduling.kit.http.addresses import Address
from scheduling.kit.http.errors import UrlRefusedError
from tenants.translation import translate

MAX_URL_CHARACTERS = 4_000
DEFAULT_PORTS = {"http": 80, "https": 443}

_URL = re.compile(r"([^:/?#]*+)://([^/?#]*+)([^?#]*+)(\?[^#]*+)?+(?:#.*+)?+")
_AUTHORITY = re.compile(r"(?:\[([^\[\]]*)\]|([^\[\]:]*))(?::([0-9]{1,5}))?")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_MAX_NAME_CHARACTERS = 253
# What some parser accepts as a number: 127.1, 2130706433, 0177.0.0.1, 0x7f.1.
_NUMBER_LAST = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")
_KEPT_IN_PATHS = ascii_letters + digits + punctuation


@dataclass(frozen=True, slots=True)
class UrlTarget:
    """The parsed parts of a URL to call. ``host`` is in lower case and ASCII, an IPv6 address without brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """Return scheme, host and port: data for one origin must not be sent to another."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """Return host and port as in a URL and in the header Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def shown(self) -> str:
        """Return the URL for logs and messages: without its query, which may hold a secret."""
        return f"{self.scheme}://{self.authority}{self.path.partition('?')[0]}"

    @property
    def literal(self) -> Address | None:
        """Return the host as an IP address, or None if it is a name."""
        return IPv6Address(self.host) if ":" in self.host else _ipv4_of(self.host)


def read_target(url: str) -> UrlTarget:
    """Return the target of the URL.

    Raise `UrlRefusedError` if the URL is invalid, or if another parser could read it differently.
    """
    _require_plain(url)
    parts = _URL.fullmatch(url)
    if parts is None:
        raise UrlRefusedError(translate("A URL must begin with http:// or https:// and name a host."))
    scheme, authority, path, query = (part or "" for part in parts.groups())
    scheme = scheme.lower()
    if scheme not in DEFAULT_PORTS:
        raise UrlRefusedError(
            translate("The scheme %(scheme)r is not allowed: use http or https.", {"scheme": scheme[:20]})
        )
    host, port = _read_authority(authority)
    path = quote((path or "/") + query, safe=_KEPT_IN_PATHS)
    return UrlTarget(scheme, host, DEFAULT_PORTS[scheme] if port is None else port, path)


def read_location(base: UrlTarget, location: str) -> UrlTarget:
    """Return the target of a ``Location`` header, which may be relative to ``base``.

    Raise `UrlRefusedError` as `read_target` does.
    """
    _require_plain(location)
    try:
        url = urljoin(f"{base.scheme}://{base.authority}{base.path}", location)
    except ValueError:
        raise UrlRefusedError("The location of the redirect is not a URL.") from None
    return read_target(url)


def _require_plain(url: str) -> None:
    if len(url) > MAX_URL_CHARACTERS:
        raise UrlRefusedError(translate("A URL must have at most %(limit)s characters.", {"limit": MAX_URL_CHARACTERS}))
    # Some parsers drop blanks, control, bidi and zero-width characters; others read a backslash as a slash.
    if not url.isprintable() or " " in url or "\\" in url:
        raise UrlRefusedError(translate("The URL contains a blank, a backslash or an unprintable character."))


def _read_authority(authority: str) -> tuple[str, int | None]:
    if "@" in authority:
        raise UrlRefusedError(translate("A URL must not contain a user or a password: send a header instead."))
    if "%" in authority:
        raise UrlRefusedError(translate("The host contains a percent sign: write it unescaped, and without a zone."))
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise UrlRefusedError(translate("Host and port must be written as host:port."))
    literal, name, port = parts.groups()
    if port is not None and not 0 < int(port) < 65_536:
        raise UrlRefusedError(translate("The port must lie between 1 and 65535."))
    host = _read_name(name) if literal is None else _read_ipv6(literal)
    return host, None if port is None else int(port)


def _read_ipv6(literal: str) -> str:
    try:
        return str(IPv6Address(literal))
    except AddressValueError:
        raise UrlRefusedError(translate("The text in brackets is not an IPv6 address.")) from None


def _read_name(name: str) -> str:
    host = name.lower() if name.isascii() else _to_ascii(name)
    if host.endswith("."):
        raise UrlRefusedError(translate("The host ends with a dot: remove it."))
    if _NUMBER_LAST.fullmatch(host.rpartition(".")[2]):
        if _ipv4_of(name) is None:
            raise UrlRefusedError(translate("Write an IPv4 address as four decimal numbers, such as 8.8.4.4."))
        return name
    if len(host) > _MAX_NAME_CHARACTERS or not _NAME.fullmatch(host):
        raise UrlRefusedError(translate("The host is not a valid name."))
    return host


def _to_ascii(name: str) -> str:
    try:
        return idna.encode(name, uts46=True, std3_rules=True).decode("ascii")
    except UnicodeError:
        raise UrlRefusedError(translate("The host is not a valid international name.")) from None


def _ipv4_of(host: str) -> IPv4Address | None:
    """Return the address if it is written in the plain notation, else None."""
    try:
        return IPv4Address(host)
    except AddressValueError:
        return None
