"""Comparison with the database of the old site: the changes of jobs that were not replicated before the promotion.

Replicated events have the ids of the originals, so an event of the old database that is missing here was lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import batched
from typing import Any
from uuid import UUID

import psycopg
from django.utils.translation import gettext_noop

from scheduling.sites.exceptions import OldDatabaseError
from scheduling.sites.models import Site
from tenants.context import all_tenants
from tenants.database.conf import platform_role
from tenants.database.ids import uuid7_floor
from tenants.database.options import connection_options
from tenants.database.prepared import fetch_all, set_config
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
_EVENTS, _MISSING, _JOBS = _SQL["read_events"], _SQL["find_missing_events"], _SQL["read_jobs"]
_PAGE = 2_000
# Ids are older than the commit of their rows, and come from machines with other clocks.
MARGIN = timedelta(minutes=10)
STARTED = "execution.started"


@dataclass(slots=True)
class LostJob:
    """A job with changes of the old site that are missing here; ``new_state`` is empty if the job is missing.

    ``has_run``: one of them is a start, so that its work may have had effects outside, under its idempotency key.
    """

    id: UUID
    events: list[str] = field(default_factory=list)
    tenant: str = ""
    kind: str = ""
    old_state: str = ""
    new_state: str = ""

    @property
    def has_run(self) -> bool:
        """Return whether the job was started by a lost change."""
        return STARTED in self.events


def find_lost(old_url: str, *, since: datetime | None = None) -> list[LostJob]:
    """Return the jobs with lost changes, in the order of the first one; the old database is only read.

    It is searched from ``since``, by default MARGIN before the last transaction that this site had replayed when it was
    promoted. Raise OldDatabaseError if the old database cannot be read, or the site was never promoted.
    """
    with all_tenants():
        row = Site.objects.first()
    if since is None:
        if row is None or row.lost_after is None:
            raise OldDatabaseError(gettext_noop("This site was never promoted from a standby: give --minutes."))
        since = row.lost_after - MARGIN
    lost: dict[UUID, LostJob] = {}
    try:
        with _open(old_url) as old:
            for page in _pages(old, since):
                for job_id, name in _missing_of(page):
                    lost.setdefault(job_id, LostJob(job_id)).events.append(name)
            for ids in batched(lost, _PAGE):
                _describe(lost, ids, old)
    except psycopg.Error as error:
        text = gettext_noop("The old database cannot be read: %(error)s")
        raise OldDatabaseError(text, {"error": str(error).strip()[:400]}) from error
    return list(lost.values())


@contextmanager
def _open(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, **connection_options()) as old:
        old.isolation_level, old.read_only = psycopg.IsolationLevel.REPEATABLE_READ, True
        old.execute(*set_config({"role": platform_role()}))
        yield old


def _pages(old: psycopg.Connection[Any], since: datetime) -> Iterator[Sequence[tuple[UUID, UUID, str]]]:
    after = uuid7_floor(since)
    while page := old.execute(_EVENTS, {"after": after, "limit": _PAGE}).fetchall():
        yield page
        after = page[-1][0]


def _missing_of(page: Sequence[tuple[UUID, UUID, str]]) -> Iterator[tuple[UUID, str]]:
    with all_tenants():
        missing = {event_id for (event_id,) in fetch_all(_MISSING, {"ids": [row[0] for row in page]})}
    return ((job_id, name) for event_id, job_id, name in page if event_id in missing)


def _describe(lost: dict[UUID, LostJob], ids: Sequence[UUID], old: psycopg.Connection[Any]) -> None:
    values = {"ids": list(ids)}
    for job_id, tenant, kind, state in old.execute(_JOBS, values).fetchall():
        job = lost[job_id]
        job.tenant, job.kind, job.old_state = tenant, kind, state
    with all_tenants():
        for job_id, _, _, state in fetch_all(_JOBS, values):
            lost[job_id].new_state = state
