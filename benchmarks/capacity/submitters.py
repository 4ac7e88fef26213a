"""Processes that submit, by the service and by HTTP, as fast as they are answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import django

# An idempotency key must be new each time; its place in the request.
KEY_MARK = b"{{idempotency-key}}"
BULK, PAYLOAD = 1_000, {"seconds": 0.01}


@dataclass(frozen=True, slots=True)
class Submitted:
    """What one process submitted: jobs, times by the clock, and seconds of a processor."""

    jobs: int
    began: float
    ended: float
    processor: float


@contextmanager
def submitting(
    submit: Callable[..., int], arguments: Sequence[tuple[Any, ...]]
) -> Iterator[Callable[[float], list[Submitted]]]:
    """Yield a function that calls ``submit(amount, *arguments)`` in a process for each of the arguments at once."""
    with ExitStack() as stack:
        pools = [
            stack.enter_context(ProcessPoolExecutor(1, get_context("spawn"), django.setup)) for _process in arguments
        ]

        def run(amount: float) -> list[Submitted]:
            running = [pool.submit(_measure, submit, amount, *own) for pool, own in zip(pools, arguments, strict=True)]
            return [one.result() for one in running]

        yield run


def submit_by_service(jobs: float, slug: str) -> int:
    """Submit so many jobs of one tenant in bulks; return how many were accepted."""
    from scheduling.services.job_requests import JobRequest
    from scheduling.services.submission import submit_jobs
    from tenants.context import acting_as, all_tenants, command_actor
    from tenants.models import Tenant

    with all_tenants():
        tenant = Tenant.objects.select_related("plan").get(slug=slug)
    accepted = 0
    for _ in range(int(jobs) // BULK):
        requests = [JobRequest(kind="sleep", payload=PAYLOAD) for _ in range(BULK)]
        with acting_as(command_actor("benchmark")):
            accepted += len(submit_jobs(tenant=tenant, requests=requests, is_rated=True).accepted)
    return accepted


def submit_by_http(seconds: float, host: str, port: int, requests: Sequence[str], jobs: int) -> int:
    """Send each request over and over on a connection of its own; return how many jobs were accepted."""
    return asyncio.run(_send_all(seconds, host, port, requests, jobs))


async def _send_all(seconds: float, host: str, port: int, requests: Sequence[str], jobs: int) -> int:
    loop, until, connections = asyncio.get_running_loop(), time.monotonic() + seconds, []
    for number, request in enumerate(requests):
        key = f"{time.time():.6f}-{number:02d}".encode()
        _, connection = await loop.create_connection(
            lambda request=request, key=key: _Connection(request.encode(), jobs, key, until), host, port
        )
        connections.append(connection)
    await asyncio.gather(*(connection.done for connection in connections))
    return sum(connection.accepted for connection in connections)


class _Connection(asyncio.Protocol):
    """Sends the request again when it was answered, until the time is up."""

    def __init__(self, request: bytes, jobs: int, key: bytes, until: float) -> None:
        self._request, self._jobs, self._key, self._until = request, jobs, key, until
        self._buffer = b""
        self.accepted = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or len(body) < _length_of(head):
            return
        if b" 201 " not in head[:20] or (self._jobs > 1 and not body.rstrip().endswith(b'"rejected":[]}')):
            self._end(RuntimeError(f"A submission was refused: {self._buffer[:2_000]!r}"))
            return
        self._buffer = b""
        self.accepted += self._jobs
        if time.monotonic() < self._until:
            self._send()
        else:
            self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or ConnectionError("The server closed a connection."))

    def _send(self) -> None:
        self._transport.write(self._request.replace(KEY_MARK, b"%s-%07d" % (self._key, self.accepted)))

    def _end(self, error: Exception | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)
        self._transport.close()


def _length_of(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0])


def _measure(submit: Callable[..., int], amount: float, *arguments: Any) -> Submitted:
    began, processor = time.time(), time.process_time()
    jobs = submit(amount, *arguments)
    return Submitted(jobs, began, time.time(), time.process_time() - processor)
