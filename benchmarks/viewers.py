"""What people who look at the console cost those who work: merged jobs a second with fifty viewers, and without.

Turns with and without them alternate in one run, so that whatever else changes meanwhile meets both.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from django.contrib.auth.models import User
from django.test import Client

from benchmarks.fair.filling import QUEUE, add_tenants, analyse, ask, clear_platform, fill_backlog
from benchmarks.fair.processes import Processes, serving
from benchmarks.fair.throughput import NOOP_US, SLOTS, measure_rate, wait_drained, warm_up
from benchmarks.outcome import Outcome
from benchmarks.streams import serving_pages, serving_streams
from benchmarks.verifying import COMMAND, verify_platform
from jobsplatform.demo.provision import ACTOR
from scheduling.conf import MAX_MESSAGE_JOBS
from scheduling.models import Queue
from scheduling.services.pauses import pause_queue, resume_queue
from tenants.context import acting_as

VIEWERS = int(os.environ.get("VIEWERS", "50"))
TENANTS, JOBS = 100, 220_000
TURN_SECONDS = 14.0
# Pairs, each begun by the other one.
TURNS = (False, True, True, False, False, True, True, False)
MOST_SLOWER = 0.05
MOST_BYTES = 1 << 20
OPEN_SECONDS, STOP_LOOK_SECONDS = 60.0, 0.2
# What a tab on the first page asks for, and how often, unless its stream has brought it within TOLD_SECONDS.
TOLD_SECONDS = 12.0
ASKED = (("overview/", 5.0, "overview"), ("overview/shares/", 10.0, "shares"), ("overview/kinds/", 60.0, ""))


@dataclass(slots=True)
class Tabs:
    """The viewers: how many have their numbers, what was answered, and what went wrong."""

    pages_port: int
    streams_port: int
    cookies: Sequence[str]
    showing: int = 0
    numbers: int = 0
    parts: int = 0
    answers: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    async def look(self, is_over: threading.Event) -> None:
        """All of them, until it is over."""
        looks = [look for number in range(len(self.cookies)) for look in self._tab(number)]
        while not is_over.is_set():
            await asyncio.sleep(STOP_LOOK_SECONDS)
            self.faults += [repr(look.exception()) for look in looks if look.done() and look.exception()]
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)

    def _tab(self, number: int) -> Iterator[asyncio.Task[None]]:
        cookie = self.cookies[number]
        told_at: dict[str, float] = {}
        yield asyncio.create_task(self._follow(cookie, told_at))
        for path, seconds, part in ASKED:
            # Nobody opens his tab at the same moment as all others.
            first = seconds * number / len(self.cookies)
            yield asyncio.create_task(
                self._ask(cookie, path, seconds, first, lambda part=part: told_at.get(part, -math.inf))
            )

    async def _follow(self, cookie: str, told_at: dict[str, float]) -> None:
        # A line is a part as large as the page.
        reader, writer = await asyncio.open_connection("127.0.0.1", self.streams_port, limit=MOST_BYTES)
        writer.write(_head("overview/stream/", cookie, "Accept: text/event-stream"))
        has_begun = False
        try:
            while line := await reader.readline():
                if line.startswith(b"event: numbers"):
                    self.numbers += 1
                    self.showing += not has_begun
                    has_begun = True
                elif line.startswith(b'data: {"name":'):
                    self.parts += 1
                    told_at[json.loads(line[len(b"data: ") :])["name"]] = time.monotonic()
        finally:
            writer.close()
        self.faults.append("a stream ended")

    async def _ask(self, cookie: str, path: str, seconds: float, first: float, told_at: Callable[[], float]) -> None:
        await asyncio.sleep(first)
        tag = ""
        while True:
            began = time.monotonic()
            if began - told_at() < TOLD_SECONDS:
                await asyncio.sleep(seconds)
                continue
            status, tag = await self._get(path, cookie, tag)
            self.answers.append((time.monotonic() - began) * 1e3)
            if status not in {200, 304}:
                self.faults.append(f"{path} answered {status}")
            await asyncio.sleep(max(0.0, seconds - (time.monotonic() - began)))

    async def _get(self, path: str, cookie: str, tag: str) -> tuple[int, str]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.pages_port)
        known = f"\r\nIf-None-Match: {tag}" if tag else ""
        writer.write(_head(path, cookie, f"HX-Request: true\r\nConnection: close{known}"))
        answer = await reader.read()
        writer.close()
        head = answer.partition(b"\r\n\r\n")[0].decode("latin-1")
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:])
        return int(head.split(" ", 2)[1]), fields.get("etag", tag)


def measure(folder: Path) -> Outcome:
    """Drain merged jobs in turns, every other pair of which is looked at."""
    clear_platform()
    tenants = add_tenants(TENANTS, estimate_us=NOOP_US)
    fill_backlog(tenants, JOBS, payload={})
    cookies = [_log_in(number) for number in range(VIEWERS)]
    rates: dict[bool, list[float]] = {False: [], True: []}
    answers: list[float] = []
    parts = 0
    with (
        serving_pages(folder / "web.log") as pages_port,
        serving_streams(folder / "streams.log") as streams_port,
        serving(folder, slots=SLOTS) as processes,
        acting_as(ACTOR),
    ):
        warm_up(processes)
        for is_looked_at in TURNS:
            tabs = Tabs(pages_port, streams_port, cookies if is_looked_at else [])
            rates[is_looked_at].append(_take_turn(processes, tenants, tabs))
            answers += tabs.answers
            parts += tabs.parts
        pause_queue(queue=Queue.objects.get(name=QUEUE), reason="benchmark")
        wait_drained(processes)
    verify_platform()
    return _conclude(rates, answers, parts)


def _take_turn(processes: Processes, tenants: Sequence[UUID], tabs: Tabs) -> float:
    """Fill up while nothing runs, let the viewers open their tabs, and count what ends."""
    queue = Queue.objects.get(name=QUEUE)
    pause_queue(queue=queue, reason="benchmark")
    wait_drained(processes)
    fill_backlog(tenants, JOBS - ask("SELECT count(*) FROM scheduling_job_ready"), payload={})
    analyse()
    with _looking(tabs):
        processes.wait_until(
            lambda: tabs.showing == len(tabs.cookies), within=OPEN_SECONDS, what="all viewers have their numbers"
        )
        resume_queue(queue=queue, reason="benchmark")
        rate = measure_rate(processes, TURN_SECONDS)
    if tabs.faults:
        raise RuntimeError(f"Not all viewers saw their pages: {', '.join(sorted(set(tabs.faults)))}")
    return rate


@contextmanager
def _looking(tabs: Tabs) -> Iterator[None]:
    """The viewers in a thread of this process."""
    is_over = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(tabs.look(is_over)))
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _log_in(number: int) -> str:
    client = Client()
    client.force_login(User.objects.create_superuser(f"viewer-{number}"))
    return client.cookies["sessionid"].value


def _head(path: str, cookie: str, more: str) -> bytes:
    return (f"GET /admin/{path} HTTP/1.1\r\nHost: localhost\r\nCookie: sessionid={cookie}\r\n{more}\r\n\r\n").encode()


def _conclude(rates: dict[bool, list[float]], answers: Sequence[float], parts: int) -> Outcome:
    alone, watched = (statistics.mean(rates[is_looked_at]) for is_looked_at in (False, True))
    slower = 1 - watched / alone
    return Outcome(
        name="viewers",
        title=f"{VIEWERS} viewers of the console beside merged jobs",
        rows=[
            ["", "jobs a second", "turn by turn"],
            ["nobody looks", f"{alone:,.0f}", ", ".join(f"{rate:,.0f}" for rate in rates[False])],
            [f"{VIEWERS} viewers", f"{watched:,.0f}", ", ".join(f"{rate:,.0f}" for rate in rates[True])],
        ],
        target=f"at most {MOST_SLOWER:.0%} slower with viewers; it was {slower:.1%}",
        is_met=slower <= MOST_SLOWER,
        method=(
            f"No-op jobs of {TENANTS} tenants in messages of up to {MAX_MESSAGE_JOBS:,}, on {SLOTS} slots, {JOBS:,} of"
            f" them waiting as a turn of {TURN_SECONDS:.0f} s begins; a viewer follows the stream of the first page and"
            " asks for what it does not bring, as the page's script does, each by a log-in of its own. Web server (two"
            " processes), streams, dispatcher, worker, PostgreSQL, Valkey and the viewers' side share the machine;"
            f" without viewers the servers are there and idle. {parts:,} parts were brought, and {len(answers):,} asked"
            f" for and answered, in the middle in {statistics.median(answers):.0f} ms. In the end"
            f" `{COMMAND}` found nothing."
        ),
    )
