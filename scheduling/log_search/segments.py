"""Indexing of log lines: a duty of dispatchers that adds the words of new lines to the segments of their tenants."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.utils import timezone

from scheduling.conf import BY_INDEX
from scheduling.dispatch.leadership import try_to_lead
from scheduling.execution.logs.queries import open_lines
from scheduling.execution.logs.service import LINE_OVERHEAD_BYTES
from scheduling.jobs.filters.rows import CLOCK_SLACK
from scheduling.limits.declared import LOG_BYTES
from scheduling.log_search.words import FILTER_BYTES, WordFilter, normalize, positions, words_of
from scheduling.models import JobLog, LogSegment, LogVolume, PlatformLog
from tenants.context import all_tenants
from tenants.database.ids import uuid7, uuid7_floor
from tenants.database.locks import LockClass
from tenants.database.prepared import execute, fetch_all
from tenants.database.sql import load_sql
from tenants.encryption.data_keys import digest_secret
from tenants.encryption.fields import is_sealing
from tenants.limits.usage import allowed_for_each

# A line is indexed when a worker has written its buffer and the transaction has ended, also a slow one.
SETTLED_AFTER = timedelta(seconds=35)
INDEX_SECONDS = 10.0
# Lines of one turn; a longer backlog is indexed in turns, with a pause of REST times a turn's duration: a twentieth of
# a processor.
TURN_LINES, REST = 1_000, 19
SEGMENT_LINES = 500
YIELD_LINES = 20
# Lines that come later are found after the daily check of so many days, and of so many segments at once.
CHECKED_DAYS, CHECKED_SEGMENTS = 2, 100
VOLUME_DAYS = 40
# Lines of a longer execution lack its worker and version once that is a day old.
LONGEST_EXECUTION = timedelta(days=1)
FACETS = ("kind", "queue", "worker", "version", "template")
FIRST = UUID(int=0)
_SQL = load_sql(__file__)


class LogIndexer:
    """Duty of a dispatcher that indexes the lines written since its last turn."""

    def __init__(self) -> None:
        self._pause = 0.0

    def interval_seconds(self) -> float:
        """Return the seconds until the next turn."""
        return self._pause

    def take_turn(self) -> int:
        """Index the next lines; return their number."""
        began = time.monotonic()
        count = index_lines()
        took = time.monotonic() - began
        self._pause = REST * took if count == TURN_LINES else max(INDEX_SECONDS, REST * took)
        return count


def index_lines(*, most: int = TURN_LINES, settled_after: timedelta = SETTLED_AFTER) -> int:
    """Add the words of the next lines to the index; return the number of lines.

    They are those after the last line of any segment, so that each line is in one segment, also after a crash.
    """
    with all_tenants(BY_INDEX):
        if not try_to_lead(LockClass.LOG_SEGMENTS):
            return 0
        bounds = lines_between(last_indexed(), uuid7_floor(timezone.now() - settled_after))
        lines = _read({**bounds, "most": most})
        if lines:
            _extend(lines)
    return len(lines)


def last_indexed() -> UUID:
    """Return the last line in the index of the current scope; later ones are read one by one."""
    return LogSegment.objects.order_by("-last_id").values_list("last_id", flat=True).first() or FIRST


def add_late_lines(limit: int = CHECKED_SEGMENTS) -> int:
    """Let searches by any word read segments to which lines were committed late; return the number of segments."""
    since = uuid7_floor(timezone.now() - timedelta(days=CHECKED_DAYS))
    with all_tenants(BY_INDEX):
        if not try_to_lead(LockClass.LOG_SEGMENTS):
            return 0
        values = {"since": since, "most": limit, "every_word": b"\xff" * FILTER_BYTES}
        return execute(_SQL["add_late_lines"], values, is_planned=True)


def remove_empty_segments(*, limit: int) -> int:
    """Remove segments whose lines are gone, at most ``limit``; return their number."""
    now = timezone.now()
    before = uuid7_floor(now - timedelta(days=CHECKED_DAYS))
    with all_tenants(BY_INDEX):
        LogVolume.objects.filter(day__lt=now - timedelta(days=VOLUME_DAYS)).delete()
        return execute(_SQL["remove_empty_segments"], {"before": before, "most": limit})


def line_text(line: JobLog | PlatformLog) -> str:
    """Return the text of a line that is searched: its message, and its fields as the console shows them."""
    return " ".join([line.message, *(f"{name}={value}" for name, value in line.fields.items())])


def lines_between(after: UUID, last: UUID) -> dict[str, UUID]:
    """Return the bounds of the lines after one up to another one, and of the executions that wrote them."""
    first_execution, last_execution = earlier(after, LONGEST_EXECUTION), earlier(last, -CLOCK_SLACK)
    return {"after": after, "last": last, "executions_from": first_execution, "executions_to": last_execution}


def earlier(made: UUID, by: timedelta) -> UUID:
    """Return an id that was made so much earlier than another one, or later if it is negative."""
    return UUID(int=min(max(made.int - (int(by.total_seconds() * 1_000) << 80), 0), (1 << 128) - 1))


def time_of(line_id: UUID) -> datetime:
    """Return the time at which an id was made."""
    return datetime.fromtimestamp((line_id.int >> 80) / 1_000, UTC)


def search_key(tenant_id: UUID, *, is_keyed: bool) -> bytes:
    """Return the secret by which a tenant's words are hashed; empty if values are not encrypted."""
    return digest_secret(tenant_id) if is_keyed else b""


def facet_word(name: str, value: str) -> str:
    """Return the word that the lines with this fact have in the index; no line of text can have it."""
    return f"{name}={normalize(value)}"


def _read(values: dict[str, Any]) -> list[Any]:
    """Return the next lines, each with its whole text as its message."""
    rows = fetch_all(_SQL["next_lines"], values, is_planned=True)
    rows = [row._replace(fields=json.loads(row.fields)) for row in rows]
    sealed = open_lines(JobLog.objects.filter(pk__in=[row.id for row in rows if row.is_sealed]))
    opened = {line.id: line for line in sealed}
    return [row._replace(message=line_text(opened.get(row.id, row))) for row in rows]


class _Builder:
    """A segment that gets lines."""

    def __init__(self, segment: LogSegment) -> None:
        self.segment = segment
        self._filter = WordFilter(bytes(segment.filter))
        self._words: set[str] = set()
        self._key = search_key(segment.tenant_id, is_keyed=segment.is_keyed)

    @property
    def is_full(self) -> bool:
        return self.segment.lines >= SEGMENT_LINES or self._filter.is_full

    def add(self, line: Any) -> None:
        facts = _fact_words(line.level, line.kind, line.queue, line.worker, line.version, line.template)
        words = words_of(normalize(line.message)) | facts
        for word in words - self._words:
            self._filter.add(_places(word, self._key))
        self._words |= words
        self.segment.lines += 1
        self.segment.last_id = line.id

    def finished(self) -> LogSegment:
        self.segment.filter = bytes(self._filter.bits)
        self.segment.until = time_of(self.segment.last_id)
        return self.segment


@lru_cache(maxsize=10_000)
def _fact_words(level: int, *values: str | None) -> frozenset[str]:
    named = [*zip(FACETS, values, strict=True), ("level", JobLog.Level(level).label)]
    return frozenset(facet_word(name, value) for name, value in named if value)


@lru_cache(maxsize=50_000)
def _places(word: str, key: bytes) -> tuple[int, ...]:
    return tuple(positions(word, key))


def _extend(lines: Iterable[Any]) -> None:
    by_tenant, sizes = defaultdict[UUID, list[Any]](list), Counter[UUID]()
    for line in lines:
        by_tenant[line.tenant_id].append(line)
        sizes[line.tenant_id] += len(line.message.encode()) + LINE_OVERHEAD_BYTES
    newest = LogSegment.objects.raw(_SQL["newest_segments"], {"tenants": list(by_tenant)})
    open_ones = {segment.tenant_id: segment for segment in newest}
    changed: list[_Builder] = []
    for tenant_id, own in by_tenant.items():
        last = open_ones.get(tenant_id)
        builder = _Builder(last) if last and last.is_keyed == is_sealing() else None
        for number, line in enumerate(own):
            if builder is None or builder.is_full:
                last = builder.segment if builder else last
                builder = _Builder(_new_segment(tenant_id, last.last_id if last else FIRST))
            if not changed or changed[-1] is not builder:
                changed.append(builder)
            builder.add(line)
            if number % YIELD_LINES == 0:
                # A thread that dispatches and waits for the interpreter gets it now rather than after 5 ms.
                time.sleep(0)
    LogSegment.objects.bulk_create(
        [builder.finished() for builder in changed],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["last_id", "until", "lines", "filter"],
    )
    limits = allowed_for_each(sizes, LOG_BYTES)
    allowed = [limits.get(tenant_id) for tenant_id in sizes]
    execute(_SQL["add_volume"], {"tenants": list(sizes), "bytes": list(sizes.values()), "allowed": allowed})


def _new_segment(tenant_id: UUID, after: UUID) -> LogSegment:
    return LogSegment(
        id=uuid7(),
        tenant_id=tenant_id,
        after_id=after,
        last_id=after,
        lines=0,
        is_keyed=is_sealing(),
        filter=bytes(WordFilter().bits),
    )
