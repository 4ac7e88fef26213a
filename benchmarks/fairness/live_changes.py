"""The time until each kind of change applies to jobs that already wait."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from benchmarks.harness.filling import PLAN, QUEUE, analyse, ask, clear_platform, create_tenants, fill_backlog, queue_id
from benchmarks.harness.jobs import Meter, count_ended
from benchmarks.harness.parts import Finding, at_most
from benchmarks.harness.processes import LOOK_SECONDS, Processes, serving
from jobsplatform.demo.provision import ACTOR
from scheduling.bulk.turns import open_operations, take_turn
from scheduling.models import BulkOperation, CFSPlan, Queue
from scheduling.plans.service import TierRow, activate_cfs_plan, update_cfs_plan
from scheduling.stops.pauses import pause_kind, pause_queue, resume_kind, resume_queue
from scheduling.topology.service import update_queue
from tenants.context import acting_as, all_tenants
from tenants.database.clock import read_moment
from tenants.models import Plan, Tenant
from tenants.plans.service import update_plan
from tenants.tenancy.service import pause_tenant, resume_tenant, update_tenant

SLOTS, JOB_SECONDS, KIND = 4, 0.1, "sleep"
BACKLOG, OTHER_QUEUE, OTHER_BACKLOG = 100_000, "pipeline", 20_000
ROUNDS, TARGET_SECONDS, EFFECT_SECONDS, MOVE_SECONDS = 3, 1.0, 30.0, 90.0
OTHER_EDITION = "community"
# A slot is empty for a moment between two jobs, so a "no more than" counts only after so many polls in a row.
STEADY_LOOKS = 3
WARM_UP_JOBS, WHY = 60, "benchmark"
_OF_TENANT = "FROM scheduling_execution_live WHERE tenant_id = %s"
_OF_QUEUE = "FROM scheduling_execution_live WHERE queue_id = %s"
_DECISIONS = "SELECT count(*) FROM scheduling_jobevent WHERE name = 'job.dispatched' AND at > %s AND "
_RESERVED = "data ->> 'reason' = 'reserved'"
_REROUTING = "SELECT count(*) FROM scheduling_bulk_operation WHERE operation = 'reroute' AND finished_at IS NULL"


@dataclass(frozen=True, slots=True)
class _Change:
    """A change and the condition that shows its effect; `is_seen` takes the time of its commit."""

    name: str
    act: Callable[[], object]
    is_seen: Callable[[datetime], bool]
    looks: int = 1


def measure_changes(folder: Path) -> list[Finding]:
    """Measure each change several times, and the other edition once, with 220,000 jobs waiting in three tenants."""
    one, other, third = create_tenants([1, 1, 1])
    payload = {"seconds": JOB_SECONDS}
    fill_backlog([one.pk, other.pk], 2 * BACKLOG, kind=KIND, payload=payload)
    fill_backlog([third.pk], OTHER_BACKLOG, kind=KIND, payload=payload, queue=OTHER_QUEUE)
    analyse()
    took: dict[str, list[float]] = defaultdict(list)
    with _restoring(), serving(folder, slots=SLOTS) as processes, acting_as(ACTOR):
        # Until the costs of the first jobs are known, a tenant may be served only seconds later.
        processes.wait_until(lambda: count_ended() >= WARM_UP_JOBS, within=EFFECT_SECONDS, what="jobs run")
        with Meter(processes, slots=SLOTS) as meter:
            for change in _changes(one, other):
                took[change.name].append(_time(processes, change))
            activation = _activation(one)
            activated = _time(processes, activation)
        moved = _wait_moved(processes)
    words = (
        f"{SLOTS} slots, jobs of {JOB_SECONDS * 1e3:.0f} ms, {BACKLOG:,} waiting in each of two tenants and "
        f"{OTHER_BACKLOG:,} of a third in another queue; from the commit until what is in flight, or what is decided, "
        f"obeys, looked at every {LOOK_SECONDS * 1e3:.0f} ms; {meter.words}"
    )
    rows = [_finding(name, max(times), words, f" at worst of {len(times)}") for name, times in took.items()]
    to_queue = f"from the commit to a job of the backlog in flight in the other edition's queue; {moved}"
    return [*rows, _finding(activation.name, activated, to_queue)]


def _finding(name: str, seconds: float, words: str, note: str = "") -> Finding:
    return at_most(f"change of {name} on the existing backlog", seconds, TARGET_SECONDS, ".2f s", words, note=note)


def _changes(tenant: Tenant, other: Tenant) -> Iterator[_Change]:
    """Yield all changes but the edition, one by one, because each starts from the state that the one before left.

    The strategies come last: after a time in order of arrival, a tenant that had more than its share must wait.
    """
    for number in range(ROUNDS):
        yield from _changes_of_weights(tenant, number)
        yield from _changes_of_caps(tenant)
        yield from _changes_of_pauses(tenant)
    for _ in range(ROUNDS):
        yield from _changes_of_order(tenant, other)


def _changes_of_weights(tenant: Tenant, number: int) -> Iterator[_Change]:
    """Yield the weights of a tenant, its plan, a queue, and a tier's row, which takes precedence over the queue's."""
    plan, cloud = Plan.objects.get(slug=PLAN), CFSPlan.objects.get(is_active=True)
    factor, weight, of_queue = 7 - number, plan.weight + 1, 8 + number
    queue = Queue.objects.get(name=OTHER_QUEUE)

    def has_weight(column: str, of: str, key: object, milli: int) -> Callable[[datetime], bool]:
        statement = f"SELECT (count(*) > 0 AND bool_and({column} = %s))::int {of}"
        return lambda since: ask(statement, [milli, key]) == 1

    of_tenant = partial(has_weight, "weight_milli", _OF_TENANT, tenant.pk)
    change = partial(update_tenant, tenant=tenant, changes={"weight_factor": factor})
    yield _Change("a tenant's weight", change, of_tenant(factor * plan.weight * 1_000))
    change = partial(update_plan, plan=plan, changes={"weight": weight}, reason=WHY)
    yield _Change("a plan's weight", change, of_tenant(factor * weight * 1_000))
    has_queue_weight = partial(has_weight, "queue_weight_milli", _OF_QUEUE, milli=of_queue * 1_000)
    change = partial(update_queue, queue=queue, changes={"weight": of_queue}, reason=WHY)
    yield _Change("a queue's weight", change, has_queue_weight(queue.pk))
    change = partial(update_cfs_plan, plan=cloud, fields={}, tiers=_tiers(cloud, of_queue), reason=WHY)
    yield _Change("a tier's weight in the CFS plan", change, has_queue_weight(queue_id()))


def _changes_of_caps(tenant: Tenant) -> Iterator[_Change]:
    queue = Queue.objects.get(name=OTHER_QUEUE)
    for words, cap, looks in (("down", 1, STEADY_LOOKS), ("up", 100, 1)):
        change = partial(update_tenant, tenant=tenant, changes={"max_concurrency": cap})
        yield _Change(f"a tenant's cap ({words})", change, partial(_has_cap, tenant, cap), looks)
    for words, cap, looks in (("down", 1, STEADY_LOOKS), ("up", None, 1)):
        change = partial(update_queue, queue=queue, changes={"cap": cap}, reason=WHY)
        yield _Change(f"a queue's cap ({words})", change, partial(_has_cap, queue, cap), looks)


def _has_cap(what: Tenant | Queue, cap: int | None, since: datetime) -> bool:
    return (_in_flight(what) <= 1) == (cap == 1)


def _changes_of_pauses(tenant: Tenant) -> Iterator[_Change]:
    queue = Queue.objects.get(name=OTHER_QUEUE)
    acts: Sequence[tuple[str, Tenant | Queue | None, Callable[[], object], Callable[[], object]]] = (
        ("a tenant's", tenant, partial(pause_tenant, tenant=tenant), partial(resume_tenant, tenant=tenant)),
        ("a queue's", queue, partial(pause_queue, queue=queue), partial(resume_queue, queue=queue)),
        ("a kind's", None, partial(pause_kind, kind=KIND), partial(resume_kind, kind=KIND)),
    )
    for whose, what, pause, resume in acts:
        rests, runs = (lambda since, what=what: not _in_flight(what)), (lambda since, what=what: _in_flight(what) > 0)
        yield _Change(f"{whose} pause", partial(pause, reason=WHY), rests, STEADY_LOOKS)
        yield _Change(f"{whose} pause (resumed)", partial(resume, reason=WHY), runs)


def _changes_of_order(favoured: Tenant, other: Tenant) -> Iterator[_Change]:
    plan = CFSPlan.objects.get(is_active=True)

    def update(field: str, value: object) -> Callable[[], object]:
        return lambda: update_cfs_plan(plan=plan, fields={field: value}, reason=WHY)

    def decides(condition: str) -> Callable[[datetime], bool]:
        return lambda since: ask(_DECISIONS + condition, [since]) > 0

    yield _Change("reserved slots (up)", update("reserved_slots", SLOTS), decides(_RESERVED))
    yield _Change("reserved slots (down)", update("reserved_slots", 0), decides(f"NOT {_RESERVED}"))
    # The favoured tenant is further on in its backlog by now, so in order of arrival the other one is next.
    yield _Change(
        f"strategy (to `{CFSPlan.Strategy.NOP}`)",
        update("strategy", str(CFSPlan.Strategy.NOP)),
        lambda since: _in_flight(favoured) == 0 and _in_flight(other) > 0,
        STEADY_LOOKS,
    )
    yield _Change(
        f"strategy (to `{CFSPlan.Strategy.TIME_SLICE}`)",
        update("strategy", str(CFSPlan.Strategy.TIME_SLICE)),
        lambda since: _in_flight(favoured) > 0,
    )


def _activation(tenant: Tenant) -> _Change:
    """Return the change to the other edition, which moves the tier's waiting jobs to another queue."""
    plan = CFSPlan.objects.get(name=OTHER_EDITION)
    queue = plan.tiers.get(tier=tenant.plan.tier).queue
    return _Change(
        "edition (first job of the backlog run under the other)",
        lambda: activate_cfs_plan(plan=plan, reason=WHY),
        lambda since: _in_flight(queue) > 0,
    )


def _wait_moved(processes: Processes) -> str:
    """Return how long the whole backlog took to move, as a text."""
    deadline = time.monotonic() + MOVE_SECONDS
    while time.monotonic() < deadline:
        processes.require_alive()
        with all_tenants():
            move = BulkOperation.objects.filter(operation=BulkOperation.Operation.REROUTE).latest("id")
        if move.finished_at is not None:
            seconds = (move.finished_at - move.created_at).total_seconds()
            return f"all {move.changed:,} jobs had moved after {seconds:.0f} s, the last look for stragglers included"
        time.sleep(1.0)
    return f"{move.changed:,} jobs had moved after {MOVE_SECONDS:.0f} s"


def _time(processes: Processes, change: _Change) -> float:
    """Return the seconds from the commit to the first of the polls at which the change applies."""
    change.act()
    committed_at, since = time.time(), read_moment()
    while True:
        seen_at = processes.wait_until(lambda: change.is_seen(since), within=EFFECT_SECONDS, what=change.name)
        if all(time.sleep(LOOK_SECONDS) or change.is_seen(since) for _ in range(change.looks - 1)):
            return seen_at - committed_at


def _in_flight(what: Tenant | Queue | None) -> int:
    if what is None:
        return ask("SELECT count(*) FROM scheduling_execution_live")
    return ask(f"SELECT count(*) {_OF_TENANT if isinstance(what, Tenant) else _OF_QUEUE}", [what.pk])


def _tiers(plan: CFSPlan, weight: int) -> list[TierRow]:
    return [
        TierRow(row.tier_id, row.queue_id, weight if row.queue.name == QUEUE else row.weight, row.io_queue_id)
        for row in plan.tiers.select_related("queue")
    ]


@contextmanager
def _restoring() -> Iterator[None]:
    """Restore plans and queues afterwards, with no rerouting left open."""
    weight, queue = Plan.objects.get(slug=PLAN).weight, Queue.objects.get(name=OTHER_QUEUE)
    plan = CFSPlan.objects.get(is_active=True)
    fields = {"strategy": plan.strategy, "reserved_slots": plan.reserved_slots}
    tiers = _tiers(plan, plan.tiers.get(queue__name=QUEUE).weight)
    try:
        yield
    finally:
        clear_platform()
        with acting_as(ACTOR):
            resume_kind(kind=KIND, reason=WHY)
            resume_queue(queue=queue, reason=WHY)
            update_queue(queue=queue, changes={"weight": queue.weight, "cap": queue.cap}, reason=WHY)
            update_plan(plan=Plan.objects.get(slug=PLAN), changes={"weight": weight}, reason=WHY)
            update_cfs_plan(plan=plan, fields=fields, tiers=tiers, reason=WHY)
            if not CFSPlan.objects.get(pk=plan.pk).is_active:
                activate_cfs_plan(plan=plan, reason=WHY)
        while ask(_REROUTING):
            for opened in open_operations():
                take_turn(opened)
            time.sleep(LOOK_SECONDS)
