"""Processes that submit, by the service and by HTTP, as fast as they are answered.

`python -m benchmarks.capacity.submitters service JOBS BULK SLUG` and `… http SECONDS FILE`. Each prints `ready`, waits
for a line, and prints one of JSON: how many jobs were accepted, in how many seconds, and its own processor time. The
file has for each connection the address, and the requests that it sends in turn, as they go over the wire.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

from jobsplatform.demo.environment import run_folder

ROOT = Path(__file__).resolve().parents[2]
# An idempotency key must be new each time; its place in the request.
KEY_MARK = b"{{idempotency-key}}"


@dataclass(frozen=True, slots=True)
class Submitted:
    """What one process submitted; seconds by the clock, and of a processor."""

    jobs: int
    requests: int
    began: float
    ended: float
    processor: float


class Submitter:
    """One of the processes, ready to begin."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "benchmarks.capacity.submitters", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._line()

    @property
    def pid(self) -> int:
        return self._process.pid

    def begin(self) -> None:
        """Let it submit."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def finish(self) -> Submitted:
        """What it did, once it is done."""
        answer = Submitted(**json.loads(self._line()))
        self._process.wait()
        return answer

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"A submitter ended with status {self._process.wait()}.")
        return line


def run_together(submitters: Sequence[Submitter]) -> list[Submitted]:
    """Let all begin at once, and wait for all."""
    for submitter in submitters:
        submitter.begin()
    return [submitter.finish() for submitter in submitters]


class _Connection(asyncio.Protocol):
    """Sends the next request when the last one is answered, until the time is up."""

    def __init__(self, requests: Sequence[tuple[str, int]], name: str, until: float) -> None:
        self._requests = cycle([(text.encode(), jobs) for text, jobs in requests])
        self._name, self._until = name.encode(), until
        self._buffer = b""
        self.jobs = self.requests = self._sent_jobs = 0
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
        if b" 201 " not in head[:20] or (self._sent_jobs > 1 and not body.rstrip().endswith(b'"rejected":[]}')):
            self._end(RuntimeError(f"A submission was refused: {self._buffer[:2_000]!r}"))
            return
        self._buffer = b""
        self.jobs, self.requests = self.jobs + self._sent_jobs, self.requests + 1
        if time.monotonic() < self._until:
            self._send()
        else:
            self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or ConnectionError("The server closed a connection."))

    def _send(self) -> None:
        request, self._sent_jobs = next(self._requests)
        self._transport.write(request.replace(KEY_MARK, b"%s-%07d" % (self._name, self.requests)))

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


async def _send_all(plan: dict[str, Any], seconds: float) -> tuple[int, int]:
    until = time.monotonic() + seconds
    loop, connections = asyncio.get_running_loop(), []
    for number, requests in enumerate(plan["connections"]):
        name = f"{plan['name']}-{number:02d}"
        _, connection = await loop.create_connection(
            lambda requests=requests, name=name: _Connection(requests, name, until), plan["host"], plan["port"]
        )
        connections.append(connection)
    await asyncio.gather(*(connection.done for connection in connections))
    return sum(one.jobs for one in connections), sum(one.requests for one in connections)


def _by_http(seconds: str, file: str) -> Callable[[], tuple[int, int]]:
    plan = json.loads(Path(file).read_text(encoding="utf-8"))
    return lambda: asyncio.run(_send_all(plan, float(seconds)))


def _by_service(jobs: str, bulk: str, slug: str) -> Callable[[], tuple[int, int]]:
    from scheduling.services.job_requests import JobRequest
    from scheduling.services.submission import submit_jobs
    from tenants.context import acting_as, all_tenants, command_actor
    from tenants.models import Tenant

    with all_tenants():
        tenant = Tenant.objects.select_related("plan").get(slug=slug)
    rounds = int(jobs) // int(bulk)

    def submit(times: int) -> tuple[int, int]:
        accepted = 0
        for _ in range(times):
            requests = [JobRequest(kind="sleep", payload={"seconds": 0.01}) for _ in range(int(bulk))]
            with acting_as(command_actor("benchmark")):
                accepted += len(submit_jobs(tenant=tenant, requests=requests, is_rated=True).accepted)
        return accepted, times

    submit(3)
    return lambda: submit(rounds)


def _serve(submit: Callable[[], tuple[int, int]]) -> None:
    _say("ready")
    sys.stdin.readline()
    began, processor = time.time(), time.process_time()
    jobs, requests = submit()
    done = Submitted(jobs, requests, began, time.time(), time.process_time() - processor)
    _say(json.dumps(asdict(done)))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    """Be one of the processes."""
    how, *arguments = sys.argv[1:]
    if how == "http":
        _serve(_by_http(*arguments))
        return
    with run_folder():
        _serve(_by_service(*arguments))


if __name__ == "__main__":
    main()
