"""Log lines of the platform's own processes: stored a batch at a time by a thread of each process, and searched.

They have no index, but are bounded: beyond PLATFORM_LOG_MEGABYTES new lines replace the oldest ones.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connection
from django.utils.translation import gettext_noop

from scheduling.execution.logs.lines import make_line
from scheduling.execution.logs.service import LEVELS, LogLine
from scheduling.log_search.query import LogQuery
from scheduling.log_search.search import PAGE_LINES, SECONDS, FoundLines, first_page
from scheduling.log_search.segments import line_text
from scheduling.models import PlatformLog
from tenants.context import all_tenants
from tenants.database.ids import uuid7_floor
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import execute, fetch_one
from tenants.database.sql import load_sql
from tenants.exceptions import DomainError
from tenants.models import Tenant

STORE_SECONDS = 2.0
# Lines of one process that wait for the database, and those that it stores at once; others are dropped and counted.
MOST_WAITING, MOST_STORED = 5_000, 1_000
# The member of a line's fields that a field of the search compares.
MEMBERS = {"job": "job_id", "trace": "trace_id", "request": "request_id", "worker": "host", "tenant": "tenant_id"}
_LAST = UUID(int=(1 << 128) - 1)
_SQL = load_sql(__file__)


class PlatformFieldError(DomainError):
    code, category = "log_field_of_jobs", "invalid"
    title = gettext_noop("Lines of the platform have no kind, queue, version, template and batch")


class LineStore:
    """Lines of this process from a level up, until a thread of its own has stored them."""

    _lines: deque[LogLine]
    _dropped: int
    _thread: threading.Thread | None

    def __init__(self, level: str) -> None:
        self._level = LEVELS[level]
        self._process = {"host": socket.gethostname(), "process": " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]])}
        os.register_at_fork(after_in_child=self._begin)
        self._begin()

    def keep(self, event: Mapping[str, Any]) -> None:
        """Keep a log event until it is stored. It never raises and never waits."""
        level = {"critical": "error"}.get(str(event.get("level")), str(event.get("level")))
        if LEVELS.get(level, 0) < self._level or threading.current_thread() is self._thread:
            return
        if len(self._lines) >= MOST_WAITING:
            self._dropped += 1
            return
        facts = {name: value for name, value in event.items() if name not in {"event", "level", "timestamp"}}
        fields = {**self._process, "pid": os.getpid(), **facts}
        self._lines.append(make_line(event.get("event", ""), level, fields))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="platform log", daemon=True)
            self._thread.start()

    def store(self) -> int:
        """Store the lines that wait, and how many were dropped; return their number, 0 if the database is away."""
        count, dropped, self._dropped = min(len(self._lines), MOST_STORED), self._dropped, 0
        lines = [self._lines.popleft() for _ in range(count)]
        if dropped:
            lines.append(make_line("log.lines_dropped", "warning", {**self._process, "lines": dropped}))
        if not lines:
            return 0
        rows = "[" + ",".join(map(_as_json, lines)) + "]"
        most = platform_settings.PLATFORM_LOG_MEGABYTES << 20
        try:
            with all_tenants():
                execute(_SQL["store_lines"], {"lines": rows, "removed": len(lines), "most": most})
        except DatabaseError:
            self._dropped += dropped + count
            return 0
        return len(lines)

    def _begin(self) -> None:
        """Forget the lines and the thread of the process that this one was forked from."""
        self._lines, self._dropped, self._thread = deque(), 0, None

    def _run(self) -> None:
        while True:
            time.sleep(STORE_SECONDS)
            self.store()
            # A session for each process would be many, for so few statements.
            connection.close()


def search_platform_lines(
    query: LogQuery, *, before: UUID | None = None, limit: int = 50, seconds: float = SECONDS
) -> FoundLines:
    """Return the newest matching lines of the platform before one of them; raise `PlatformFieldError`."""
    found: list[PlatformLog] = []
    return first_page(_marks(query, before, found), found, limit, seconds)


def _marks(query: LogQuery, before: UUID | None, found: list[PlatformLog]) -> Iterator[UUID]:
    """Add the matching lines page by page; before each page yield the highest id in it."""
    last: UUID | None = min(before or _LAST, uuid7_floor(query.until) if query.until else _LAST)
    bounds: dict[str, Any] = {"after": uuid7_floor(query.since) if query.since else UUID(int=0), "level": query.level}
    bounds |= {"parts": [word for word in query.words if word.isascii()], "members": json.dumps(_members_of(query))}
    while last is not None:
        yield UUID(int=last.int - 1)
        page = {**bounds, "before": last, "lines": PAGE_LINES}
        start = fetch_one(_SQL["page_start"], page, is_planned=True)
        page["after"] = UUID(int=start.id.int - 1) if start else bounds["after"]
        lines = PlatformLog.objects.raw(_SQL["platform_lines"], page)
        found += [line for line in lines if query.matches_text(line_text(line))]
        last = start.id if start else None


def _members_of(query: LogQuery) -> dict[str, list[str]]:
    if query.values.keys() - MEMBERS.keys():
        raise PlatformFieldError
    values = dict(query.values)
    if slugs := values.get("tenant"):
        values["tenant"] = tuple(Tenant.objects.filter(slug__in=slugs).values_list("pk", flat=True))
    if traces := values.get("trace"):
        values["trace"] = tuple(trace.hex for trace in traces)
    return {MEMBERS[name]: [*map(str, given)] for name, given in values.items()}


def _as_json(line: LogLine) -> str:
    row = {"id": str(line.id), "level": line.level, "message": line.message, "at": line.at.isoformat()}
    return json.dumps(row)[:-1] + f', "fields": {line.fields}}}'
