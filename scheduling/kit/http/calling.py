"""One safe HTTP call: `send`.

It uses no proxies, cookies or passwords from the environment and decompresses nothing. Each redirect is a new call that
is parsed and checked like the first.
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

from scheduling.kit.http.connections import CallDeadline, CallTimeoutError, CheckedBackend, Resolve, resolve
from scheduling.kit.http.errors import NoAnswerError, RedirectRefusedError, RequestRefusedError
from scheduling.kit.http.policy import OutgoingPolicy, current_policy
from scheduling.kit.http.secret_headers import HeaderValue, Mask, SecretText
from scheduling.kit.http.targets import UrlTarget, read_location, read_target
from scheduling.kit.retry import retry_after_seconds

type Headers = Sequence[tuple[str, str]]

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
USER_AGENT: Final = "jobsplatform"
# Headers that control the transport, which is decided here.
RESERVED_HEADERS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "expect"}
    | {"accept-encoding", "proxy-authorization", "proxy-authenticate", "proxy-connection"}
)
# The caller's headers that another origin receives: none that could be a secret.
_HARMLESS_HEADERS: Final = frozenset({"accept", "accept-language", "content-type", "user-agent", "idempotency-key"})
FOLLOWED: Final = frozenset({301, 302, 303, 307, 308})
_READING: Final = frozenset({"GET", "HEAD"})
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~\t]{0,8190}[!-~])?|")


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a call.

    ``connect_seconds`` bounds the time to connect, ``read_seconds`` each read or write, ``total_seconds`` the whole
    call. An answer is cut at ``body_bytes``. At most ``redirects`` redirects are followed.
    """

    connect_seconds: float = 5.0
    read_seconds: float = 30.0
    total_seconds: float = 60.0
    body_bytes: int = 1024 * 1024
    redirects: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a call.

    Header names are in lower case. ``is_cut``: the body was longer than the limit. ``url`` is the answering URL without
    its query, ``redirects`` the number of redirects followed.
    """

    status: int
    headers: Headers
    body: bytes
    is_cut: bool = False
    url: str = ""
    redirects: int = 0

    def header(self, name: str) -> str:
        """Return the first header of this name, or an empty text."""
        return next((value for held, value in self.headers if held == name.lower()), "")

    @property
    def retry_after_seconds(self) -> float | None:
        """Return how many seconds the other side requests to wait (``Retry-After``); None if it does not."""
        return retry_after_seconds(self.header("retry-after"), datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Request:
    """A request to one target; the secrets in its headers are filled in when it is sent."""

    method: str
    target: UrlTarget
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
    """Send an HTTP request to a URL, trusted or not, and return the answer whatever its status.

    Raise the PermanentErrors of this package for what is refused, and `NoAnswerError` if the network or the other
    side failed. Secrets of the headers that an answer repeats are masked. ``at_safe_point`` is called several times
    a second and may raise. ``is_url_by_operator`` lets the URL's own host be inside the network: for endpoints from
    the settings, never for URLs that a tenant has written. ``look_up`` resolves names.
    """
    clock = CallDeadline(
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
    """Return a copy of the answer in which the secrets of its request are replaced by a mark."""
    if not mask.values:
        return answer
    headers = [(mask.text(name), mask.text(value)) for name, value in answer.headers]
    body = mask.body(answer.body, is_cut=answer.is_cut)
    return replace(answer, headers=tuple(headers), body=body, url=mask.text(answer.url))


def too_many_redirects(request: Request, limits: Limits, mask: Mask) -> RedirectRefusedError:
    """Return the error of a call with more redirects than allowed."""
    shown = mask.text(request.target.shown)
    return RedirectRefusedError(f"More than {limits.redirects} redirects, the last one to {shown}.")


def check_request(request: Request) -> None:
    """Raise `RequestRefusedError` for a method or header that a caller may not set."""
    if request.method not in METHODS:
        raise RequestRefusedError(f"The method must be one of {', '.join(METHODS)}.")
    for name, value in request.headers:
        if not _HEADER_NAME.fullmatch(name):
            raise RequestRefusedError("A header's name must consist of ASCII letters, digits and hyphens.")
        if name.lower() in RESERVED_HEADERS:
            raise RequestRefusedError(f"The header {name} is set by the platform.")
        if not _HEADER_VALUE.fullmatch(value.sample if isinstance(value, SecretText) else value):
            raise RequestRefusedError(
                f"The value of the header {name} starts or ends with a blank, is too long or is not ASCII."
            )


def follow(request: Request, answer: Answer, mask: Mask) -> Request:
    """Return the request that follows the redirect; secrets are left out if the target has another origin.

    Raise `RedirectRefusedError` for a redirect that is not followed.
    """
    target = read_location(request.target, answer.header("location"))
    method, body, headers = request.method, request.body, request.headers
    if answer.status == 303 and method != "HEAD":
        method, body = "GET", b""
        headers = [(name, value) for name, value in headers if not name.lower().startswith("content-")]
    elif answer.status in (301, 302) and method not in _READING:
        # Browsers turn it into a GET, and it would go unnoticed that nothing was sent.
        raise RedirectRefusedError(
            f"The {answer.status} redirect of a {method} is not followed: call {mask.text(target.shown)} directly."
        )
    if request.target.scheme == "https" and target.scheme == "http":
        raise RedirectRefusedError("The redirect leads from https to http, which is not followed.")
    if target.origin != request.target.origin:
        plain = [(name, value) for name, value in headers if not isinstance(value, SecretText)]
        headers = [(name, value) for name, value in plain if name.lower() in _HARMLESS_HEADERS]
    return Request(method, target, tuple(headers), body)


def _exchange(
    request: Request, policy: OutgoingPolicy, clock: CallDeadline, limits: Limits, look_up: Resolve
) -> Answer:
    """Send one request and return its answer, on a separate connection."""
    policy.check_target(request.target)
    where, headers = request.target.authority, sent_headers(request, policy)
    try:
        with httpcore.ConnectionPool(
            ssl_context=ssl_context(), max_connections=1, network_backend=CheckedBackend(policy, clock, look_up)
        ) as pool:
            return _speak(pool, request, headers, limits)
    except (CallTimeoutError, httpcore.TimeoutException) as error:
        raise NoAnswerError(f"{where} did not answer in time.", code="timed_out") from error
    except httpcore.LocalProtocolError:
        # Its text quotes the header.
        raise RequestRefusedError("The request cannot be encoded as HTTP.") from None
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise NoAnswerError(f"{where} is unreachable or closed the connection: {error}") from error


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


def sent_headers(request: Request, policy: OutgoingPolicy) -> list[tuple[str, str]]:
    """Return the headers to send: the request's, with its secrets in clear, and those that the platform adds.

    Raise `SecretRefusedError` if the target may not receive a secret.
    """
    own = {name.lower() for name, _ in request.headers}
    headers = [("Host", request.target.authority)]
    for name, value in request.headers:
        headers.append((name, value.resolve(request.target, policy) if isinstance(value, SecretText) else value))
    # No compression: a small answer could decompress to a large one.
    headers += [("Accept-Encoding", "identity"), ("Connection", "close")]
    defaults = (("User-Agent", USER_AGENT), ("Accept", "*/*"))
    headers += [(name, value) for name, value in defaults if name.lower() not in own]
    if request.body or request.method not in _READING:
        headers.append(("Content-Length", str(len(request.body))))
    return headers


@cache
def ssl_context() -> ssl.SSLContext:
    """Return the TLS context; it trusts the authorities of the system (or of SSL_CERT_FILE) and of certifi."""
    return httpcore.default_ssl_context()
