"""A random walk on which the pure model follows the real dispatcher, tick by tick.

The waiting jobs, their predictions and the configuration are read from the tables. The consequences are computed by
the model: eligibility, clocks, order, and which jobs share a message.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models.functions import Now

from scheduling.dispatch import pick as pick_module
from scheduling.dispatch.read import MERGING
from scheduling.dispatch.tick import TickResult, run_tick
from scheduling.fairness.gcra import Rate, take
from scheduling.kit import registry
from scheduling.models import (
    CFSPlan,
    FairShareNode,
    LiveExecution,
    PoolClock,
    QueueClock,
    Settled,
    Worker,
)
from scheduling.models import Queue as QueueRow
from scheduling.shares.entitlements import effective_weights
from tenants.context import all_tenants
from tenants.database.sql import load_sql
from tenants.models import Tenant as TenantRow
from tests.fair_model import Line, Model, Queue, Tenant, Waiting
from tests.integration.scheduling.random_walk import MOST_TICKS
from tests.integration.scheduling.random_walk_with_stops import StoppingWalk
from tests.integration.scheduling.startable_jobs import read_idle_slots

_SQL = load_sql(pick_module.__file__)
_READY = f"""
SELECT r.job_id, r.entity_id, r.rank, r.kind, {_SQL["predicted_us"]}, {_SQL["travels_alone"]}
FROM scheduling_job_ready r JOIN scheduling_schedulingentity e ON e.id = r.entity_id
    JOIN scheduling_queue q ON q.id = e.queue_id {_SQL["cost_sums"]}
WHERE q.pool_id = %(pool)s
"""
_CLAIMED = """
SELECT l.job_id, l.entity_id, j.rank, l.kind, l.predicted_us, j.merge_disabled OR q.dispatches_per_minute IS NOT NULL
FROM scheduling_execution_live l JOIN scheduling_job j ON j.id = l.job_id JOIN scheduling_queue q ON q.id = l.queue_id
WHERE l.id = ANY(%(ids)s)
"""


class Claimed(NamedTuple):
    execution_id: UUID
    job_id: UUID
    message_id: UUID


class ModelledWalk(StoppingWalk):
    """A walk with a model; `differences` is empty while the two agree."""

    kinds = {**StoppingWalk.kinds, "allocate": {"mebibytes": 1, "seconds": 0}}
    queue_names = ("tasks_team", "tasks_sandbox", "tasks_professional", "tasks", "pipeline")

    def __init__(self, kind: type[Model], pool_ids: list[int], plan_fields: dict[str, Any], *args: Any) -> None:
        super().__init__(*args)
        self.fields = plan_fields
        self.differences: list[str] = []
        self.seen: set[str] = set()
        self.claimed = 0
        tenants: dict[UUID, Tenant] = {}
        self.models = {pool_id: kind(slots=0, tenants=tenants, merging=MERGING) for pool_id in pool_ids}
        # The model does not cover gates, which hold single jobs.
        self.acts = [act for act in self.acts if act != self.pause]
        self.acts += [self.submit] * 8 + [self.tick] * 20 + [self.start] * 20 + [self.end] * 12

    def go(self, steps: int, *, until: Collection[str] = (), most: int = 0) -> list[str]:
        """Take so many steps, and up to `most` until everything in `until` has occurred; return the differences."""
        for step in range(max(steps, most)):
            if step >= steps and self.seen.issuperset(until):
                break
            self.step()
            if self.differences:
                return [f"step {step}: {difference}" for difference in self.differences]
        return []

    def tick(self) -> None:
        """Tick a pool until a tick has no more; then no eligible job may wait beside an idle slot."""
        pool_id = self.random.choice(list(self.models))
        for _ in range(MOST_TICKS):
            if not self._follow(pool_id).has_more or self.differences:
                break
        else:
            self.differences.append("there is more and more")
        if not self.differences:
            self.differences += read_idle_slots(pool_id)

    def plan_fields(self) -> dict[str, Any]:
        return self.fields

    def stop_queue(self) -> None:
        """Resume a queue, which returns as one that was away."""
        paused = set(QueueRow.objects.filter(is_paused=True).values_list("id", flat=True))
        super().stop_queue()
        resumed = paused - set(QueueRow.objects.filter(is_paused=True).values_list("id", flat=True))
        for model in self.models.values():
            for queue_id in resumed & set(model.queues):
                model.queues[queue_id].was_backlogged = False

    def _follow(self, pool_id: int) -> TickResult:
        model = self.models[pool_id]
        with all_tenants():
            self._read_terms(pool_id, model)
            self._read_ended(pool_id, model)
            # Samples would make the jobs of these walks small, and small ones are merged.
            with connection.cursor() as cursor:
                cursor.execute("UPDATE scheduling_settled SET is_sample = false WHERE is_sample")
            self._read_guesses(pool_id, model)
            before = set(LiveExecution.objects.filter(pool_id=pool_id).values_list("id", flat=True))
            ending = self._choose_ending(pool_id, model)
        result = run_tick(pool_id, ending=ending)
        with all_tenants():
            rows = LiveExecution.objects.filter(pool_id=pool_id).exclude(id__in=before).order_by("id")
            claimed = [Claimed(*row) for row in rows.values_list("id", "job_id", "message_id")]
            entities = {row.pk: row for row in FairShareNode.objects.filter(queue__pool_id=pool_id)}
            self._read_waiting(pool_id, model, claimed, entities)
            expected = model.tick(limit=len(claimed))
            self._compare(model, claimed, expected)
            self.differences += self._compare_clocks(pool_id, model, entities)
        self.seen |= set(_sights(model, claimed))
        self.claimed += len(claimed)
        return result

    def _choose_ending(self, pool_id: int, model: Model) -> list[UUID]:
        """Return tokens of settling messages, at one tick in three; some of them never started."""
        model.ending = set()
        if self.random.random() > 1 / 3:
            return []
        by_message: dict[UUID, list[LiveExecution]] = defaultdict(list)
        for live in LiveExecution.objects.filter(pool_id=pool_id).order_by("id"):
            by_message[live.message_id].append(live)
        chosen = [lives for lives in by_message.values() if self.random.random() < 0.5]
        for lives in chosen:
            if all(live.started_at is not None and live.token == lives[0].token for live in lives):
                model.ending.add(model.running[lives[0].job_id].message)
        return [lives[0].token for lives in chosen]

    def _read_terms(self, pool_id: int, model: Model) -> None:
        plan = CFSPlan.objects.filter(is_active=True).prefetch_related("tiers").get()
        for row in TenantRow.objects.select_related("plan"):
            tenant = model.tenants.setdefault(row.pk, Tenant())
            tenant.weight_milli = round(row.plan.weight * row.weight_factor * 1_000)
            tenant.cap = row.concurrency_cap
            tenant.is_paused = row.is_paused or row.status != "active"
        rows = list(QueueRow.objects.filter(pool_id=pool_id).order_by("id").select_related("clock", "pool"))
        weights = effective_weights(rows, plan)
        for row in rows:
            queue = model.queues.setdefault(row.pk, Queue())
            queue.weight_milli, queue.is_fifo = weights[row.pk] * 1_000, plan.strategy == CFSPlan.Strategy.NOP
            queue.cap = 10**6 if row.cap is None else row.cap
            queue.tokens = self._tokens(row)
            queue.is_paused = row.is_paused
        model.reserved = 0 if plan.strategy == CFSPlan.Strategy.NOP else plan.reserved_slots
        is_stopped = rows[0].pool.is_paused
        alive = Worker.objects.filter(pool_id=pool_id, status="online", heartbeat_at__gt=Now())
        model.slots = 0 if is_stopped else sum(worker.slots for worker in alive)

    def _tokens(self, row: QueueRow) -> int:
        if row.dispatches_per_minute is None:
            return 10**6
        with connection.cursor() as cursor:
            cursor.execute("SELECT (extract(epoch FROM now()) * 1000000)::bigint")
            (now_us,) = cursor.fetchone()
        rate = Rate.of_queue(row.dispatches_per_minute, row.dispatch_burst)
        return take(row.clock.arrival_us, now_us, rate, 10**6).granted

    def _read_ended(self, pool_id: int, model: Model) -> None:
        """Return what ended since the last tick with its measured time, by message and line."""
        alive = set(LiveExecution.objects.filter(pool_id=pool_id).values_list("job_id", flat=True))
        settled = Settled.objects.filter(queue_id__in=list(model.queues))
        measured: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for *what, taken in settled.values_list(
            "entity_id", "predicted_us", "weight_milli", "queue_weight_milli", "measured_us"
        ):
            measured[tuple(what)].append(taken)
        for job_id in [job_id for job_id in model.running if job_id not in alive]:
            run = model.running[job_id]
            what = (run.line.id, run.predicted_us, run.weight_milli, run.queue_weight_milli)
            if not measured[what]:
                self.differences.append(f"nothing ended that was charged {what}")
                return
            model.end(job_id, measured[what].pop())

    def _read_guesses(self, pool_id: int, model: Model) -> None:
        """Return the lines that were read to their end and taken whole, which may hold more until the next read."""
        rows = {row.pk: row for row in FairShareNode.objects.filter(queue__pool_id=pool_id)}
        for _, entity in model.each_entity():
            entity.is_runnable = entity.is_runnable or rows[entity.own.id].is_runnable
            for line in entity.lines.values():
                row = rows.get(line.id)
                is_guessed = row is not None and (row.is_runnable if row.parent_id else row.own_rank is not None)
                line.is_runnable = line.is_runnable or is_guessed

    def _read_waiting(
        self, pool_id: int, model: Model, claimed: list[Claimed], entities: Mapping[int, FairShareNode]
    ) -> None:
        """Return what waited when the tick picked: what it took, and what it left."""
        with connection.cursor() as cursor:
            cursor.execute(_READY, {"pool": pool_id})
            rows = cursor.fetchall()
            cursor.execute(_CLAIMED, {"ids": [one.execution_id for one in claimed]})
            rows += cursor.fetchall()
        jobs: dict[int, list[Waiting]] = defaultdict(list)
        for job_id, line_id, rank, kind, cost_us, is_alone in rows:
            may_merge = cost_us < MERGING.below_us and not is_alone and registry.is_mergeable(kind)
            may_list = not (may_merge or is_alone or registry.travels_alone(kind))
            jobs[line_id].append(Waiting(rank, job_id, cost_us, kind, may_merge, may_list))
        for row in entities.values():
            entity = model.entity(row.queue_id, row.tenant_id, row.parent_id or row.pk)
            line = entity.lines.setdefault(row.fair_key, Line(row.pk))
            if line.id != row.pk:
                # Upkeep removes empty lines that are not ahead; the key's next job creates another.
                line = entity.lines[row.fair_key] = Line(row.pk)
            line.jobs = sorted(jobs[row.pk])
        for _, entity in model.each_entity():
            entity.lines = {key: line for key, line in entity.lines.items() if line.id in entities}

    def _compare(self, model: Model, claimed: list[Claimed], expected: list[UUID]) -> None:
        found = [one.job_id for one in claimed]
        if found != expected:
            self.differences.append(f"picked {found}, expected {expected}")
            return
        messages = dict.fromkeys(model.running[one.job_id].message for one in claimed)
        numbers = {message: n for n, message in enumerate(messages)}
        real = {message: n for n, message in enumerate(dict.fromkeys(one.message_id for one in claimed))}
        together = [numbers[model.running[one.job_id].message] for one in claimed]
        if [real[one.message_id] for one in claimed] != together:
            self.differences.append(f"other messages than {together}")

    def _compare_clocks(self, pool_id: int, model: Model, rows: Mapping[int, FairShareNode]) -> Iterator[str]:
        for _, entity in model.each_entity():
            row = rows[entity.own.id]
            if (row.vruntime, row.virtual_time) != (entity.vruntime, entity.virtual_time):
                expected = (entity.vruntime, entity.virtual_time)
                yield f"tenant {entity.tenant_id}: {(row.vruntime, row.virtual_time)}, expected {expected}"
            for key, line in entity.lines.items():
                found = rows[line.id].vruntime if key else row.own_vruntime
                if found != line.vruntime:
                    yield f"line {key!r} of {entity.tenant_id}: {found}, expected {line.vruntime}"
        for clock in QueueClock.objects.filter(queue__pool_id=pool_id):
            queue = model.queues[clock.queue_id]
            # Whether more waits than was read is covered by other tests.
            queue.was_backlogged = clock.was_backlogged
            found, expected = (clock.vruntime, clock.virtual_time), (queue.vruntime, queue.virtual_time)
            if found != expected:
                yield f"queue {clock.queue_id}: {found}, expected {expected}"
        found = PoolClock.objects.get(pool_id=pool_id).virtual_time
        if found != model.virtual_time:
            yield f"pool: {found}, expected {model.virtual_time}"


def _sights(model: Model, claimed: list[Claimed]) -> Iterator[str]:
    """Return which of the wanted situations occurred in this tick."""
    queues, tenants = model.queues.values(), model.tenants.values()
    eligible = [sum(entity.is_runnable for entity in queue.entities.values()) for queue in queues]
    places = {(run.entity.tenant_id, id(run.queue)) for run in model.running.values()}
    sights = {
        "a queue at its cap": any(queue.in_flight >= queue.cap for queue in queues),
        "a queue without tokens": any(not queue.tokens for queue in queues),
        "a tenant at its cap": any(0 < tenant.cap <= tenant.in_flight for tenant in tenants),
        "more tenants than are read": max(eligible) > model.slots,
        "a tenant in two queues": len({tenant_id for tenant_id, _ in places}) < len(places),
        "a slot that is being settled": bool(model.ending),
    }
    return (name for name, is_seen in sights.items() if is_seen and claimed)
