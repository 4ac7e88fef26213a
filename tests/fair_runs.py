"""Runs of works on slots under the model, with a record of backlogs and starts at every level."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import NamedTuple
from uuid import UUID

from tests.fair_model import Model, Queue, Tenant

QUEUE = 1
# Siblings: the queues of the pool, the works of a queue, the keys of a work.
type Group = tuple[str, int]
type Member = int | str
POOL: Group = ("pool", 0)
# Microsecond at weight 1, in the integers of virtual time.
UNIT = 1_000


@dataclass(frozen=True)
class Work:
    """Jobs of one tenant in one queue: (key, cost, arrival).

    Works of one ``tenant`` share its weight and cap, those of the first; a work without a tenant is one of its own.
    """

    weight: int
    jobs: tuple[tuple[str, int, int], ...]
    cap: int = 10**6
    queue: int = QUEUE
    tenant: int | None = None


@dataclass(frozen=True)
class QueueTerms:
    weight: int = 1
    cap: int = 10**6


class RunJob(NamedTuple):
    work: int
    key: str
    cost: int
    predicted: int


class Start(NamedTuple):
    at: int
    job: int


class Ended(NamedTuple):
    at: int
    job: int


class Change(NamedTuple):
    """Start or end of a member's backlog: it has no jobs, or is at a cap."""

    at: int
    group: Group
    member: Member
    is_in: bool


class Run:
    """Run of works on slots by a model, correct or with a planted bug.

    ``predict`` returns the predicted cost of a job; without it costs are known.
    """

    def __init__(
        self,
        kind: type[Model],
        works: Sequence[Work],
        slots: int,
        *,
        queues: Mapping[int, QueueTerms] | None = None,
        predict: Callable[[int], int] | None = None,
    ) -> None:
        self.works, self.is_exact = works, predict is None
        self.queue_terms = queues or {QUEUE: QueueTerms()}
        self.model = kind(
            slots=slots,
            queues={id_: Queue(terms.weight * 1_000, terms.cap) for id_, terms in self.queue_terms.items()},
        )
        numbers = [number if work.tenant is None else 10_000 + work.tenant for number, work in enumerate(works)]
        self._tenants = [UUID(int=number) for number in numbers]
        self.jobs: list[RunJob] = []
        self.starts: list[Start] = []
        self.events: list[Start | Ended | Change] = []
        self.idle: list[str] = []
        self._ends: list[tuple[int, int]] = []
        self._lines: dict[tuple[int, str], int] = {}
        self._backlog = _Backlog(self)
        for number, work in enumerate(works):
            self.model.tenants.setdefault(self.tenant_of(number), Tenant(work.weight * 1_000, work.cap))
            self._line(number, "")
        arrivals = sorted(
            (at, number, n, key, cost)
            for number, work in enumerate(works)
            for n, (key, cost, at) in enumerate(work.jobs)
        )
        self._arrivals = [
            (at, RunJob(number, key, cost, predict(cost) if predict else cost)) for at, number, _, key, cost in arrivals
        ]
        self.longest: Counter[tuple[Group, Member]] = Counter()
        for _, job in self._arrivals:
            for level, weight in zip(self.levels(job), self.weights(job), strict=True):
                self.longest[level] = max(self.longest[level], job.cost * UNIT * 1_000 // weight)
        self._go()

    def tenant_of(self, number: int) -> UUID:
        return self._tenants[number]

    def levels(self, job: RunJob) -> tuple[tuple[Group, Member], ...]:
        """Return the levels of a job: its queue in the pool, its work in the queue, its key in the work."""
        queue = self.works[job.work].queue
        return ((POOL, queue), (("queue", queue), job.work), (("work", job.work), job.key))

    def weights(self, job: RunJob) -> tuple[int, ...]:
        queue = self.works[job.work].queue
        return (
            self.queue_terms[queue].weight * 1_000,
            self.model.tenants[self.tenant_of(job.work)].weight_milli,
            1_000,
        )

    def charges(self, number: int) -> Iterator[tuple[tuple[Group, Member], int, int]]:
        """Yield at each level the service of a job, and the error of its prediction."""
        job = self.jobs[number]
        for level, weight in zip(self.levels(job), self.weights(job), strict=True):
            service = job.cost * UNIT * 1_000 // weight
            yield level, service, job.predicted * UNIT * 1_000 // weight - service

    def clocks(self) -> dict[tuple[Group, Member], int]:
        """Return the model's charges by level."""
        clocks: dict[tuple[Group, Member], int] = {
            (POOL, id_): queue.vruntime for id_, queue in self.model.queues.items()
        }
        for number, work in enumerate(self.works):
            entity = self.model.entity(work.queue, self.tenant_of(number), self._line(number, ""))
            clocks[("queue", work.queue), number] = entity.vruntime
            clocks |= {(("work", number), key): line.vruntime for key, line in entity.lines.items()}
        return clocks

    def _go(self) -> None:
        coming = iter(self._arrivals)
        following = next(coming, None)
        while following or self._ends:
            now = min(following[0] if following else 2**62, self._ends[0][0] if self._ends else 2**62)
            while self._ends and self._ends[0][0] <= now:
                _, number = heappop(self._ends)
                self.model.end(UUID(int=number), self.jobs[number].cost)
                self._end(now, number)
            while following and following[0] <= now:
                self._arrive(now, following[1])
                following = next(coming, None)
            for job_id in self.model.tick():
                self._start(now, job_id.int)
            if self.model.free and self._backlog.queues:
                self.idle.append(f"at {now} a slot idles, and queues {sorted(self._backlog.queues)} wait")
        self.model.collect()

    def _arrive(self, now: int, job: RunJob) -> None:
        number = len(self.jobs)
        self.jobs.append(job)
        work = self.works[job.work]
        entity = self.model.entity(work.queue, self.tenant_of(job.work), self._line(job.work, ""))
        self.model.submit(entity, job.key, self._line(job.work, job.key), (number, UUID(int=number), job.predicted))
        self._backlog.add(now, job)

    def _start(self, now: int, number: int) -> None:
        self.starts.append(Start(now, number))
        self.events.append(self.starts[-1])
        heappush(self._ends, (now + self.jobs[number].cost, number))
        self._backlog.start(now, self.jobs[number])

    def _end(self, now: int, number: int) -> None:
        self.events.append(Ended(now, number))
        self._backlog.end(now, self.jobs[number])

    def _line(self, number: int, key: str) -> int:
        return self._lines.setdefault((number, key), 1 + len(self._lines))


class _Backlog:
    """Backlog, computed independently of the model."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.waiting: dict[int, Counter[str]] = defaultdict(Counter)
        self.in_flight: Counter[Member | UUID] = Counter()
        self.works: dict[int, set[int]] = defaultdict(set)
        self.queues: set[int] = set()
        self.of_tenant: dict[UUID, list[int]] = defaultdict(list)
        for number in range(len(run.works)):
            self.of_tenant[run.tenant_of(number)].append(number)

    def add(self, now: int, job: RunJob) -> None:
        self.waiting[job.work][job.key] += 1
        if self.waiting[job.work][job.key] == 1:
            self._tell(now, ("work", job.work), job.key, is_in=True)
        self._look(now, job.work)

    def start(self, now: int, job: RunJob) -> None:
        self.waiting[job.work][job.key] -= 1
        self._count(now, job, 1)
        if not self.waiting[job.work][job.key]:
            del self.waiting[job.work][job.key]
            self._tell(now, ("work", job.work), job.key, is_in=False)
        self._look(now, job.work)

    def end(self, now: int, job: RunJob) -> None:
        self._count(now, job, -1)

    def _count(self, now: int, job: RunJob, step: int) -> None:
        tenant, queue = self.run.tenant_of(job.work), self.run.works[job.work].queue
        self.in_flight[tenant] += step
        self.in_flight[queue] += step
        for number in self.of_tenant[tenant]:
            self._look(now, number)
        self._look_at_queue(now, queue)

    def _look(self, now: int, number: int) -> None:
        queue = self.run.works[number].queue
        tenant = self.run.tenant_of(number)
        may_start = bool(self.waiting[number]) and self.in_flight[tenant] < self.run.model.tenants[tenant].cap
        if may_start != (number in self.works[queue]):
            (self.works[queue].add if may_start else self.works[queue].discard)(number)
            self._tell(now, ("queue", queue), number, is_in=may_start)
        self._look_at_queue(now, queue)

    def _look_at_queue(self, now: int, queue: int) -> None:
        may_start = bool(self.works[queue]) and self.in_flight[queue] < self.run.queue_terms[queue].cap
        if may_start != (queue in self.queues):
            (self.queues.add if may_start else self.queues.discard)(queue)
            self._tell(now, POOL, queue, is_in=may_start)

    def _tell(self, now: int, group: Group, member: Member, *, is_in: bool) -> None:
        self.run.events.append(Change(now, group, member, is_in))
