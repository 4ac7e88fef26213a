"""Requests of connectors: bounded, at the pace that the source asks for, and to permitted hosts only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin
from uuid import UUID

from scheduling.kit.base import (
    MAX_DEPENDENCY_CHARACTERS,
    Dependency,
    DependencyRefusedError,
    JobContext,
    PermanentError,
    TransientError,
)
from scheduling.kit.http import Answer, HeaderValue, Limits, RedirectRefusedError, read_target, send
from tenants.encryption.exceptions import DataKeyUnavailableError
from tenants.exceptions import DomainError
from tenants.secrets.queries import open_secrets

MAX_ANSWER_BYTES = 50 * 1024 * 1024
# A longer pause ends the execution, so that the slot is free meanwhile.
LONGEST_SLEEP_SECONDS = 3.0
MAX_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_STEP_SECONDS = 0.25


class NotYetError(Exception):
    """The error for a request that has to wait longer than a job may hold its slot."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The next request is due in {seconds:.0f} seconds.")
        self.seconds = seconds


@dataclass
class Calls:
    """The requests of one execution.

    ``credentials`` maps the names of a connector's credentials to those of stored secrets. ``delay_seconds`` is the
    pause between two paced requests, and ``next_at`` the Unix time of the next one; the job keeps both.
    """

    context: JobContext
    credentials: Mapping[str, str] = field(default_factory=dict)
    max_file_bytes: int = MAX_ANSWER_BYTES
    delay_seconds: float = 0.0
    next_at: float = 0.0

    def get(
        self,
        url: str,
        *,
        headers: Iterable[tuple[str, HeaderValue]] = (),
        max_bytes: int = MAX_ANSWER_BYTES,
        is_paced: bool = True,
        may_follow: Callable[[str], bool] | None = None,
    ) -> Answer:
        """Return the answer of a server, cut at ``max_bytes``.

        Up to three redirects are followed, if ``may_follow`` returns True for their URLs; without it none is. The
        headers go to each URL. Raise `RedirectRefusedError` for another redirect, TransientError for a status of 500
        and more, `DependencyRefusedError` for 429, `NotYetError` if the pause is long, and the errors of
        `scheduling.kit.http.send`.
        """
        if is_paced:
            self._pause()
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._send(url, headers, Limits(total_seconds=120.0, body_bytes=max_bytes))
            if may_follow is None or answer.status not in _REDIRECTS:
                return answer
            url = _location(url, answer)
            if not may_follow(url):
                raise RedirectRefusedError("The redirect leads to another site, or to a page that is not allowed.")
        raise RedirectRefusedError(f"There are more than {MAX_REDIRECTS} redirects.")

    def _send(self, url: str, headers: Iterable[tuple[str, HeaderValue]], limits: Limits) -> Answer:
        with self.context.dependency(Dependency(read_target(url).authority[:MAX_DEPENDENCY_CHARACTERS])):
            answer = send("GET", url, headers=headers, limits=limits, at_safe_point=self.context.should_yield)
            _check_status(answer)
        return answer

    def get_file(self, url: str, **options: Any) -> Answer:
        """Return the answer of `get`; raise PermanentError if the file is larger than the source allows."""
        answer = self.get(url, max_bytes=self.max_file_bytes, **options)
        if answer.is_cut:
            raise PermanentError(f"{answer.url} has more than {self.max_file_bytes} bytes.", code="file_too_large")
        return answer

    def credential(self, name: str, url: str) -> str:
        """Return the value of the secret that the source names for a credential; '' if it names none.

        Raise PermanentError if the secret is missing, or not bound to the host of the URL.
        """
        secret = self.credentials.get(name)
        if secret is None:
            return ""
        return _open(self.context.tenant_id, secret, read_target(url).host)

    def _pause(self) -> None:
        while (left := self.next_at - time.time()) > 0:
            if left > LONGEST_SLEEP_SECONDS:
                raise NotYetError(left)
            self.context.should_yield()
            time.sleep(min(left, _STEP_SECONDS))
        self.next_at = time.time() + self.delay_seconds


def _location(url: str, answer: Answer) -> str:
    try:
        return urljoin(url, answer.header("location"))
    except ValueError as error:
        raise RedirectRefusedError("The location of the redirect is not a URL.") from error


def _check_status(answer: Answer) -> None:
    if answer.status == 429:
        raise DependencyRefusedError(
            f"{answer.url} limits the rate of requests.", retry_after_seconds=answer.retry_after_seconds
        )
    if answer.status >= 500:
        raise TransientError(
            f"{answer.url} answered {answer.status}.",
            code=f"http_{answer.status}",
            retry_after_seconds=answer.retry_after_seconds,
        )


def _open(tenant_id: UUID, secret: str, host: str) -> str:
    try:
        return open_secrets(tenant_id, [secret], host)[secret].value_for(host)
    except DataKeyUnavailableError as error:
        raise TransientError(str(error), code=error.code) from error
    except DomainError as error:
        raise PermanentError(str(error), code=error.code) from error
