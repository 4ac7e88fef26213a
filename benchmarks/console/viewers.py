"""Tabs of the first page, which poll its parts with their ETags as a browser does: durations and connections."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import Client

from benchmarks.harness.filling import ask
from benchmarks.harness.parts import Finding, MeasureFailedError
from jobsplatform.demo.measures import percentile
from jobsplatform.demo.processes import HOST

VIEWERS, SECONDS, WARM_UP_SECONDS = 300, 60.0, 10.0
# The parts with the seconds between two requests, as in templates/admin/index.html.
INTERVALS = {"overview/": 5.0, "overview/shares/": 10.0, "overview/kinds/": 60.0}
BOUND = ("overview/", "overview/shares/")
POLL_MS, CONNECTIONS = 25.0, 20
_CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"


@dataclass(slots=True)
class Tabs:
    """The viewers' tabs: the duration of each poll in milliseconds by part, statuses, and PostgreSQL's connections."""

    port: int
    took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    connections: int = 0
    begins_at: float = 0.0

    async def poll(self, cookies: Sequence[str]) -> None:
        """Poll all parts in all tabs for a while, at phases that are spread evenly."""
        self.begins_at = time.monotonic() + WARM_UP_SECONDS
        until = self.begins_at + SECONDS
        tabs = [
            self._poll(path, interval, cookie, until, first=interval * number / len(cookies))
            for number, cookie in enumerate(cookies)
            for path, interval in INTERVALS.items()
        ]
        await asyncio.gather(self._count_connections(until), *tabs)

    async def _poll(self, path: str, interval: float, cookie: str, until: float, *, first: float) -> None:
        due, tag = time.monotonic() + first, ""
        while due < until:
            await asyncio.sleep(due - time.monotonic())
            began = time.monotonic()
            status, tag = await self._get(path, cookie, tag)
            if began >= self.begins_at:
                self.took[path].append((time.monotonic() - began) * 1e3)
            self.statuses[status] += 1
            due = max(due + interval, time.monotonic())

    async def _get(self, path: str, cookie: str, tag: str) -> tuple[int, str]:
        """Return the status and the ETag of a response that was read whole."""
        reader, writer = await asyncio.open_connection(HOST, self.port)
        lines = [f"GET /admin/{path} HTTP/1.1", "Host: localhost", f"Cookie: {cookie}", "HX-Request: true"]
        lines += [f"If-None-Match: {tag}"] if tag else []
        writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode())
        head = (await reader.read()).partition(b"\r\n\r\n")[0].decode("latin-1")
        writer.close()
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:])
        return int(head.split(" ", 2)[1]), fields.get("etag", tag)

    async def _count_connections(self, until: float) -> None:
        while time.monotonic() < until:
            self.connections = max(self.connections, await sync_to_async(ask)(_CONNECTIONS))
            await asyncio.sleep(1.0)


def measure_viewers(port: int) -> list[Finding]:
    """Let the viewers poll the web server on this port. Raise MeasureFailedError on any status but 200 and 304."""
    cookies = [_log_in(number) for number in range(VIEWERS)]
    before, tabs = ask(_CONNECTIONS), Tabs(port)
    asyncio.run(tabs.poll(cookies))
    if refused := set(tabs.statuses) - {200, 304}:
        raise MeasureFailedError(f"Parts of the first page were answered with {sorted(refused)}.")
    polled = [taken for path in BOUND for taken in tabs.took[path]]
    unchanged = tabs.statuses[304] / sum(tabs.statuses.values())
    opened = tabs.connections - before
    return [
        _timed(
            "Fragment poll",
            polled,
            f"{len(polled):,} requests of {' and '.join(f'`{path}`' for path in BOUND)} in {SECONDS:.0f} s with "
            f"If-None-Match; {unchanged:.0%} of all were answered 304; staff of the platform with a log-in each, a "
            "connection per request, to two gunicorn processes of four threads",
        ),
        _timed("Fragment `overview/kinds/`", tabs.took["overview/kinds/"], ""),
        Finding(
            f"Connections to PostgreSQL that {VIEWERS} viewers add",
            f"≤ {CONNECTIONS}",
            f"{opened}",
            is_met=opened <= CONNECTIONS,
            beside=f"{before} were open before",
        ),
    ]


def _timed(what: str, took: Sequence[float], beside: str) -> Finding:
    p95 = percentile(took, 0.95)
    measured = f"{p95:.1f} ms (p50 {percentile(took, 0.5):.1f})"
    return Finding(f"{what} at {VIEWERS} viewers, p95", f"≤ {POLL_MS:.0f} ms", measured, p95 <= POLL_MS, beside)


def _log_in(number: int) -> str:
    client = Client()
    client.force_login(User.objects.create_superuser(f"viewer-{number}"))
    return "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
