"""Reads of job logs in pages of limited size; the line about a full log gets the number of dropped lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet

from scheduling.jobs.filters.rows import CLOCK_SLACK
from scheduling.models import Job, JobLog, JobLogTally
from tenants.context import tenant_context
from tenants.database.ids import uuid7_floor
from tenants.encryption.data_keys import preload_keys
from tenants.encryption.exceptions import DataKeyUnavailableError
from tenants.encryption.fields import SealedValueBrokenError

DOWNLOAD_LINES = 500


@dataclass(frozen=True, slots=True)
class LogPage:
    """Lines of a job's log, oldest first; ``has_more``: there are more in the direction of the read."""

    lines: list[JobLog]
    has_more: bool
    dropped_lines: int

    @property
    def mark(self) -> str:
        """Return a text that changes when the page does: by its last line or the number of dropped lines."""
        last = self.lines[-1].id if self.lines else ""
        return f"{last}:{len(self.lines)}:{self.has_more}:{self.dropped_lines}"


def read_log(job: Job, *, after: UUID | None = None, level: int = 0, limit: int) -> LogPage:
    """Return up to ``limit`` lines of the job from this level up: the first ones, or those after the line ``after``."""
    lines = _lines_of(job, level).order_by("id")
    rows = list((lines.filter(id__gt=after) if after else lines)[: limit + 1])
    return _page(job, rows[:limit], has_more=len(rows) > limit)


def read_log_end(job: Job, *, before: UUID | None = None, level: int = 0, limit: int) -> LogPage:
    """Return up to ``limit`` lines from this level up: the newest ones, or those right before the line ``before``."""
    lines = _lines_of(job, level).order_by("-id")
    rows = list((lines.filter(id__lt=before) if before else lines)[: limit + 1])
    return _page(job, rows[:limit][::-1], has_more=len(rows) > limit)


def iterate_log(job: Job, *, before_page: Callable[[], None], level: int = 0) -> Iterator[JobLog]:
    """Yield all lines of the job from this level up, reading each page in a short transaction of its own; for streams.

    ``before_page`` is called before each page, and raises if the reader has lost its permission.
    """
    after = None
    while True:
        before_page()
        with tenant_context(job.tenant_id):
            page = read_log(job, after=after, level=level, limit=DOWNLOAD_LINES)
        yield from page.lines
        if not page.has_more:
            return
        after = page.lines[-1].id


def stream_log(job: Job, *, before_page: Callable[[], None], level: int = 0) -> Iterator[str]:
    """Yield the job's log as text lines, read page by page while they are sent."""
    return (f"{format_line(line)}\n" for line in iterate_log(job, level=level, before_page=before_page))


def open_lines(lines: Iterable[JobLog]) -> list[JobLog]:
    """Return the lines with message and fields decrypted; a line that cannot be decrypted has the reason instead."""
    found = list(lines)
    preload_keys({line.tenant_id for line in found if line.__dict__["sealed"] is not None})
    for line in found:
        try:
            opened = line.sealed or {"message": line.message, "fields": line.fields}
        except (DataKeyUnavailableError, SealedValueBrokenError) as error:
            opened = {"message": error.code, "fields": {}}
        line.message, line.fields = opened["message"], opened["fields"]
    return found


def format_line(line: JobLog) -> str:
    """Return a log line as plain text: time, level, attempt, message, fields."""
    fields = "".join(f" {name}={value}" for name, value in line.fields.items())
    text = f"{line.message}{fields}".replace("\r", " ").replace("\n", "\n    ")
    return f"{line.at:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + f"Z {line.get_level_display():<7} #{line.attempt} {text}"


def _lines_of(job: Job, level: int) -> QuerySet[JobLog]:
    # The job's age excludes the partitions of the days before it.
    since = uuid7_floor(job.created_at - CLOCK_SLACK)
    lines: QuerySet[JobLog] = JobLog.objects.filter(tenant_id=job.tenant_id, job_id=job.id, id__gte=since)
    return lines.filter(level__gte=level) if level else lines


def _page(job: Job, lines: list[JobLog], *, has_more: bool) -> LogPage:
    lines = open_lines(lines)
    tally = JobLogTally.objects.filter(tenant_id=job.tenant_id, job_id=job.id).first()
    if tally is None:
        return LogPage(lines, has_more, 0)
    for line in lines:
        if line.id == tally.full_line_id:
            line.message = f"log is full, {tally.dropped_lines:,} lines dropped"
    return LogPage(lines, has_more, tally.dropped_lines)
