"""Connections and children that serve one tenant after another, with errors in between."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import ClassVar

import psycopg
from django.db import DatabaseError, connection
from django.db.utils import InterfaceError

from jobsplatform.demo.measures import percentile
from tenants.context import tenant_context
from tests.chaos.plugin.processor import LOOKS
from tests.chaos.row import Field, Row
from tests.chaos.rows.floods import WAITS
from tests.chaos.stack import Shape

# Three seeds make ten thousand.
USES = 3_400
BULK = 50
_VISIBLE = "SELECT count(*), count(*) FILTER (WHERE tenant_id <> %s) FROM scheduling_job"
_LOOKS_OF = "SELECT count(*) FROM chaos_effect WHERE step LIKE 'look %%' AND job_id = ANY (%s)"


class PoolOfOne(Row):
    id, fault = "T1", f"a pool of one connection, two tenants alternately with errors, {USES:,} uses a seed"
    bound_seconds, measured = 300.0, "duration; 0 leaks in 10,000"
    traffic = None
    # It counts every row of its tenants.
    is_shared = False

    def inject(self, field: Field) -> list[float]:
        wanted = {}
        for number, tenant in enumerate(field.stack.tenants[:2]):
            for _ in range(3):
                field.submit(number, "noop", {})
            wanted[tenant.pk] = sum(request.tenant_id == tenant.pk for request in field.client.requests)
        connection.close()
        before = {name: connection.settings_dict[name] for name in ("OPTIONS", "CONN_MAX_AGE")}
        pool = {"min_size": 1, "max_size": 1, "timeout": 10}
        connection.settings_dict.update(OPTIONS={**before["OPTIONS"], "pool": pool}, CONN_MAX_AGE=0)
        began_at = time.time()
        try:
            leaks = [leak for number in range(USES) if (leak := self._use(field, number, wanted))]
        finally:
            connection.close()
            connection.close_pool()
            connection.settings_dict.update(before)
        field.violations += [f"I4: {leak}" for leak in leaks[:5]]
        return [time.time() - began_at]

    def _use(self, field: Field, number: int, wanted: dict[object, int]) -> str:
        """Use the connection once; return a description of a leak, or an empty text."""
        tenant = field.stack.tenants[number % 2]
        act, leak = field.rng.random(), ""
        try:
            with tenant_context(tenant), connection.cursor() as cursor:
                cursor.execute(_VISIBLE, [tenant.pk])
                seen, foreign = cursor.fetchone()
                if foreign or seen != wanted[tenant.pk]:
                    leak = f"use {number} saw {seen} jobs, {foreign} of others, not {wanted[tenant.pk]}"
                if act < 0.2:
                    cursor.execute("SELECT 1/0")
                elif act < 0.4:
                    raise ZeroDivisionError
                elif act < 0.41:
                    cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        except (DatabaseError, InterfaceError, ZeroDivisionError):
            # As after a failed request.
            connection.close_if_unusable_or_obsolete()
        if number % 20 == 19:
            with connection.cursor() as cursor:
                cursor.execute(_VISIBLE, [tenant.pk])
                if cursor.fetchone() != (0, 0):
                    leak = f"after use {number} rows were to be seen outside any context"
        if act > 0.85:
            connection.close()
        return leak


class ChildReused(Row):
    id, fault = "T2", f"one child, two tenants alternately with errors, {USES:,} queries a seed"
    bound_seconds, measured = 300.0, "duration; 0 leaks in 10,000"
    shape = Shape(workers=1, slots=1)
    traffic = None
    # It waits until no job is left.
    is_shared = False

    def inject(self, field: Field) -> list[float]:
        began_at = time.time()
        ids = []
        for number in range(USES // LOOKS // BULK):
            act = field.rng.random()
            payload = {"fails": act < 0.25, "breaks": 0.25 <= act < 0.4}
            ids += field.client.submit_bulk(field.tenants[number % 2], "chaos_prober", payload, BULK)
        field.stack.until(lambda: field.view.count_unended() == 0, within=field.patience_seconds, what="all have run")
        looked = int(field.view.number(_LOOKS_OF, [ids]))
        if looked != len(ids) * LOOKS:
            field.violations.append(f"{len(ids)} jobs queried {looked} times")
        return [time.time() - began_at]


class TenantLocked(Row):
    """Row with bursts of two tenants, each in its own slots, before and while rows of a third are locked."""

    id, fault = "T3", "an open transaction has one tenant's row in `tenants_tenant` FOR UPDATE, for 60 s"
    minutes = 4.0
    bound_seconds, measured = 0.2, "increase of the others' p95 wait, of more than a second"
    shape = Shape(workers=1, slots=6, dispatchers=2, caps=(2, 2, 2))
    traffic = None
    seeds = 1
    is_alone = True
    statements: ClassVar[Sequence[str]] = ("SELECT FROM tenants_tenant WHERE id = %s FOR UPDATE",)
    # The locked tenant has waiting jobs throughout.
    BEFORE_SECONDS, LOCKED_SECONDS, BACKLOG = 30.0, 60.0, 600
    drain_seconds = 300.0
    LEAST_WAIT_SECONDS = 1.0

    def inject(self, field: Field) -> list[float]:
        field.client.submit_bulk(field.tenants[0], "sleep", {"seconds": 0.25}, self.BACKLOG)
        before = self._wait_of_others(field, self.BEFORE_SECONDS)
        field.note_fault()
        with psycopg.connect(field.stack.addresses.admin_url) as holder:
            for statement in self.statements:
                holder.execute(statement, [field.tenants[0]])
            during = self._wait_of_others(field, self.LOCKED_SECONDS)
        sys.stdout.write(f"{self.id}: the others' p95 wait was {before:.3f} s before, {during:.3f} s while locked\n")
        if before < self.LEAST_WAIT_SECONDS:
            field.violations.append(
                f"the others' p95 wait was {before:.3f} s before: a fifth of it is less than the bound"
            )
        return [max(0.0, during - before)]

    def _wait_of_others(self, field: Field, seconds: float) -> float:
        """Return the p95 wait of consecutive bursts."""
        since = time.time()
        while time.time() < since + seconds:
            ids = []
            for tenant_id in field.tenants[1:]:
                ids += field.client.submit_bulk(tenant_id, "chaos_steps", {"steps": 1, "seconds": 0.25}, 12)
            field.ended(ids, within=120)
        rows = field.view.rows(WAITS, [field.tenants[1:], since])
        return percentile([float(wait) for (wait,) in rows], 0.95)


class TenantRowsLocked(TenantLocked):
    id, fault = "T4", "the same for all rows that dispatchers write for the tenant: entity, capacity, usage and costs"
    statements: ClassVar[Sequence[str]] = tuple(
        f"SELECT FROM {table} WHERE tenant_id = %s FOR UPDATE"
        for table in (
            "scheduling_schedulingentity",
            "scheduling_tenant_capacity",
            "tenants_tenantusage",
            "scheduling_tenant_kind_cost",
        )
    )


ROWS = (PoolOfOne, ChildReused, TenantLocked, TenantRowsLocked)
