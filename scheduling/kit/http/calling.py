"""One call over HTTP, with all that keeps it harmless: `send`.

No proxies, cookies or passwords from the environment are used, nothing is unpacked, and each redirect is a new call
that is read and checked like the first.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import Final

import httpcore

from scheduling.kit.http.connections import CheckedBackend, Clock, Resolve, TimeIsOverError, resolve
from scheduling.kit.http.errors import NoAnswerError, RedirectRefusedError, RequestRefusedError
from scheduling.kit.http.policy import Policy, current_policy
from scheduling.kit.http.secret_headers import HeaderValue, Mask, SecretText
from scheduling.kit.http.targets import Target, read_location, read_target
from scheduling.kit.retry import retry_after_seconds

type Headers = Sequence[tuple[str, str]]

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
USER_AGENT: Final = "jobsplatform"
# They say how the message travels, which is decided here.
RESERVED_HEADERS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "expect"}
    | {"accept-encoding", "proxy-authorization", "proxy-authenticate", "proxy-connection"}
)
# What another origin is told of the caller's headers: nothing that could be a secret.
_HARMLESS_HEADERS: Final = frozenset({"accept", "accept-language", "content-type", "user-agent", "idempotency-key"})
FOLLOWED: Final = frozenset({301, 302, 303, 307, 308})
_READING: Final = frozenset({"GET", "HEAD"})
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~\t]{0,8190}[!-~])?|")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a call may take. An answer is cut at ``body_bytes``; with 0 ``redirects`` none is followed."""

    connect_seconds: float = 5.0
    read_seconds: float = 30.0
    total_seconds: float = 60.0
    body_bytes: int = 1024 * 1024
    redirects: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; header names are in lower case. ``url`` is where it came from, without its query."""

    status: int
    headers: Headers
    body: bytes
    is_cut: bool = False
    url: str = ""
    redirects: int = 0

    def header(self, name: str) -> str:
        """The first header of this name, or an empty text."""
        return next((value for held, value in self.headers if held == name.lower()), "")

    @property
    def retry_after_seconds(self) -> float | None:
        """How long the other side asks to be left alone, in seconds from now."""
        return retry_after_seconds(self.header("retry-after"), datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent to one target; secrets in its headers are resolved when it is written."""

    method: str
    target: Target
    headers: Sequence[tuple[str, HeaderValue]] = ()
    body: bytes = field(default=b"", repr=False)


def send(
    method: str,
    url: str,
    *,
    headers: Iterable[tuple[str, HeaderValue]] = (),
    body: bytes = b"",
    limits: Limits = Limits(),
    at_safe_point: Callable[[], object] = lambda: None,
    is_url_by_operator: bool = False,
    look_up: Resolve = resolve,
) -> Answer:
    """Call a URL that anybody may have written, and answer with whatever status came back.

    Raises the PermanentErrors of this package for what is refused, and `NoAnswerError` where the network or the other
    side failed. What an answer repeats of secrets in the headers is masked. ``at_safe_point`` is called several times
    a second and may raise. ``is_url_by_operator`` lets the URL's own host lie inside: for endpoints from the settings,
    never for what a tenant has written.
    """
    clock = Clock(
        total_seconds=limits.total_seconds,
        connect_seconds=limits.connect_seconds,
        read_seconds=limits.read_seconds,
        at_safe_point=at_safe_point,
    )
    request = Request(method, read_target(url), tuple(headers), body)
    check_request(request)
    policy = current_policy()
    if is_url_by_operator:
        policy = policy.opened_for(request.target)
    mask = Mask.of(request.headers)
    for redirects in range(limits.redirects + 1):
        answer = _exchange(request, policy, clock, limits, look_up)
        if not limits.redirects or answer.status not in FOLLOWED or not answer.header("location"):
            return masked(replace(answer, redirects=redirects), mask)
        request = follow(request, answer, mask)
    raise too_many_redirects(request, limits, mask)


def masked(answer: Answer, mask: Mask) -> Answer:
    """Return the answer without the values of the secrets that it was asked for with."""
    if not mask.values:
        return answer
    headers = [(mask.text(name), mask.text(value)) for name, value in answer.headers]
    body = mask.body(answer.body, is_cut=answer.is_cut)
    return replace(answer, headers=tuple(headers), body=body, url=mask.text(answer.url))


def too_many_redirects(request: Request, limits: Limits, mask: Mask) -> RedirectRefusedError:
    """Return the error of a call that was sent on more often than it may be."""
    shown = mask.text(request.target.shown)
    return RedirectRefusedError(f"More than {limits.redirects} redirects, the last one to {shown}.")


def check_request(request: Request) -> None:
    """Raise `RequestRefusedError` for a method or header that a caller may not set."""
    if request.method not in METHODS:
        raise RequestRefusedError(f"The method is one of {', '.join(METHODS)}.")
    for name, value in request.headers:
        if not _HEADER_NAME.fullmatch(name):
            raise RequestRefusedError("A header's name is made of ASCII letters, digits and hyphens.")
        if name.lower() in RESERVED_HEADERS:
            raise RequestRefusedError(f"The header {name} is the platform's to set.")
        if not _HEADER_VALUE.fullmatch(value.sample if isinstance(value, SecretText) else value):
            raise RequestRefusedError(f"The value of the header {name} is empty at an end, too long or not ASCII.")


def follow(request: Request, answer: Answer, mask: Mask) -> Request:
    """The next request, to where the answer sends us; without secrets where that is another origin."""
    target = read_location(request.target, answer.header("location"))
    method, body, headers = request.method, request.body, request.headers
    if answer.status == 303 and method != "HEAD":
        method, body = "GET", b""
        headers = [(name, value) for name, value in headers if not name.lower().startswith("content-")]
    elif answer.status in (301, 302) and method not in _READING:
        # Browsers make a GET of it, and nobody would notice that nothing was sent.
        raise RedirectRefusedError(
            f"A {method} is not sent on by a {answer.status}: call {mask.text(target.shown)} itself."
        )
    if request.target.scheme == "https" and target.scheme == "http":
        raise RedirectRefusedError("The redirect leads from https to http.")
    if target.origin != request.target.origin:
        plain = [(name, value) for name, value in headers if not isinstance(value, SecretText)]
        headers = [(name, value) for name, value in plain if name.lower() in _HARMLESS_HEADERS]
    return Request(method, target, tuple(headers), body)


def _exchange(request: Request, policy: Policy, clock: Clock, limits: Limits, look_up: Resolve) -> Answer:
    """One request and its answer on a connection of their own."""
    policy.check_target(request.target)
    where, headers = request.target.authority, sent_headers(request, policy)
    try:
        with httpcore.ConnectionPool(
            ssl_context=ssl_context(), max_connections=1, network_backend=CheckedBackend(policy, clock, look_up)
        ) as pool:
            return _speak(pool, request, headers, limits)
    except (TimeIsOverError, httpcore.TimeoutException) as error:
        raise NoAnswerError(f"{where} did not answer in time.", code="timed_out") from error
    except httpcore.LocalProtocolError:
        # Its text quotes the header.
        raise RequestRefusedError("The request cannot be written as HTTP.") from None
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise NoAnswerError(f"{where} cannot be reached, or broke off: {error}") from error


def _speak(pool: httpcore.ConnectionPool, request: Request, sent: Headers, limits: Limits) -> Answer:
    target = request.target
    url = httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
    with pool.stream(request.method, url, headers=list(sent), content=request.body or None) as response:
        body, is_cut = bytearray(), False
        for part in response.iter_stream():
            body += part
            if len(body) > limits.body_bytes:
                is_cut = True
                break
        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers]
        return Answer(response.status, tuple(headers), bytes(body[: limits.body_bytes]), is_cut, target.shown)


def sent_headers(request: Request, policy: Policy) -> list[tuple[str, str]]:
    """The request's headers with those that are the platform's to set, and with secrets as the target may have them."""
    own = {name.lower() for name, _ in request.headers}
    headers = [("Host", request.target.authority)]
    for name, value in request.headers:
        headers.append((name, value.resolve(request.target, policy) if isinstance(value, SecretText) else value))
    # Unpacking is left to nobody: a small answer could be a large one.
    headers += [("Accept-Encoding", "identity"), ("Connection", "close")]
    defaults = (("User-Agent", USER_AGENT), ("Accept", "*/*"))
    headers += [(name, value) for name, value in defaults if name.lower() not in own]
    if request.body or request.method not in _READING:
        headers.append(("Content-Length", str(len(request.body))))
    return headers


@cache
def ssl_context() -> ssl.SSLContext:
    """Certificates are checked, by the system's authorities (or SSL_CERT_FILE's) and those that come along."""
    return httpcore.default_ssl_context()
