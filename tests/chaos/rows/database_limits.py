"""PostgreSQL with held locks, without free connections, or with strict settings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise

import psycopg

from jobsplatform.embedded.servers import APP_ROLE, DATABASE
from tests.chaos.load import Traffic
from tests.chaos.row import Field, Row
from tests.chaos.rows.workers import keep_busy
from tests.chaos.spans import ProxiedRow, SpanRow, run_and_cut_off

_STARTS = """
SELECT extract(epoch FROM at)::float8 FROM scheduling_jobevent
WHERE name = 'execution.started' AND at > to_timestamp(%s) AND job_id <> %s ORDER BY at
"""
HOLDER = "holder"
_PLATFORM = f"""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE usename LIKE 'jobs_%%' AND application_name <> '{HOLDER}'
"""
HOT_TABLES = ("scheduling_job", "scheduling_execution_live", "scheduling_job_ready", "scheduling_settled")


class JobLocked(Row):
    id, fault = "P13", "an open transaction holds the row of a running job, for 12 s"
    bound_seconds, measured = 5.0, "the longest time without a start of another job meanwhile"

    def inject(self, field: Field) -> list[float]:
        (job_id,) = keep_busy(field, 1)
        with psycopg.connect(field.stack.addresses.admin_url) as holder:
            holder.execute("SELECT FROM scheduling_job WHERE id = %s FOR UPDATE", [job_id])
            began_at = time.time()
            field.wait(12.0, 12.0)
            ended_at = time.time()
            starts = [float(at) for (at,) in field.view.rows(_STARTS, [began_at, job_id])]
        field.ended([job_id], within=field.patience_seconds)
        return [max(later - earlier for earlier, later in pairwise([began_at, *starts, ended_at]))]


class ConnectionsExhausted(SpanRow):
    id, fault = "P14", "every connection of PostgreSQL taken by other clients, the platform's terminated, for 10 s"
    bound_seconds = 20.0

    @contextmanager
    def hold(self, field: Field) -> Iterator[None]:
        url = field.stack.addresses.database_url()
        with ExitStack() as held:
            for _ in range(2):
                field.view.rows(_PLATFORM)
                with suppress(psycopg.OperationalError):
                    while True:
                        held.enter_context(psycopg.connect(url, connect_timeout=5, application_name=HOLDER))
            yield


class ReadOnly(SpanRow):
    id, fault = "P22", "new sessions of PostgreSQL are read-only, as those of a standby, for 10 s"

    @contextmanager
    def hold(self, field: Field) -> Iterator[None]:
        run_and_cut_off(field, f"ALTER DATABASE {DATABASE} SET default_transaction_read_only = on")
        try:
            yield
        finally:
            with psycopg.connect(field.stack.addresses.admin_url, autocommit=True) as owner:
                owner.execute("SET default_transaction_read_only = off")
                owner.execute(f"ALTER DATABASE {DATABASE} RESET default_transaction_read_only")
            run_and_cut_off(field)


class Strict(SpanRow):
    id, fault = "P23", "statements of new sessions may take 20 ms and wait 5 ms for a lock, for 10 s"
    # Afterwards the role's general settings apply again.
    PLACE = f"ALTER ROLE {APP_ROLE} IN DATABASE {DATABASE}"

    @contextmanager
    def hold(self, field: Field) -> Iterator[None]:
        run_and_cut_off(
            field,
            f"{self.PLACE} SET statement_timeout = '20ms'",
            f"{self.PLACE} SET lock_timeout = '5ms'",
        )
        try:
            yield
        finally:
            run_and_cut_off(field, f"{self.PLACE} RESET statement_timeout", f"{self.PLACE} RESET lock_timeout")


class TablesLocked(SpanRow):
    id, fault = "P24", "a migration holds ACCESS EXCLUSIVE on each hot table for 3 s, one after the other"

    @contextmanager
    def hold(self, field: Field) -> Iterator[None]:
        for table in field.rng.sample(HOT_TABLES, len(HOT_TABLES)):
            with psycopg.connect(field.stack.addresses.admin_url) as migration:
                migration.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
                field.wait(3.0, 3.0)
        yield

    def inject(self, field: Field) -> list[float]:
        with self.hold(field):
            return [field.fresh_start(time.time())]


class TablesRewritten(SpanRow):
    id, fault = "P26", "VACUUM FULL and REINDEX of the hot tables under load, repeated for 10 s"

    @contextmanager
    def hold(self, field: Field) -> Iterator[None]:
        until = time.monotonic() + 10.0
        while time.monotonic() < until:
            table = field.rng.choice(HOT_TABLES)
            with suppress(psycopg.errors.DeadlockDetected):
                field.view.run(f"{field.rng.choice(['VACUUM FULL', 'REINDEX TABLE'])} {table}")
            field.wait(0.0, 0.3)
        yield

    def inject(self, field: Field) -> list[float]:
        with self.hold(field):
            return [field.fresh_start(time.time())]


class SlowConnection(ProxiedRow):
    id, fault = "P25", "the latency to PostgreSQL is 50 ms, 25 ms in each direction, for 10 s"
    # A job needs a dozen responses: more load would be too much for four slots.
    traffic = Traffic(per_second=0.7)
    bound_seconds, measured = 15.0, "until a job submitted meanwhile is accepted and begins"

    @contextmanager
    def hold(self, field: Field) -> Iterator[None]:
        self.way.delay(0.025)
        try:
            yield
        finally:
            self.way.delay(0.0)

    def inject(self, field: Field) -> list[float]:
        with self.hold(field):
            field.wait(*self.held_seconds)
            return [field.fresh_start(time.time())]


ROWS = (JobLocked, ConnectionsExhausted, ReadOnly, Strict, TablesLocked, TablesRewritten, SlowConnection)
