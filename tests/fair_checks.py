"""Works on slots under the model, and what the fair order promises of them as checkers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import combinations
from uuid import UUID

from scheduling.fairness.virtual_time import virtual_service
from tests.fair_model import Model, Queue, Tenant

QUEUE = 1


@dataclass(frozen=True)
class Work:
    """Jobs of one tenant: (key, cost, when), in order of time."""

    weight: int
    jobs: tuple[tuple[str, int, int], ...]
    cap: int = 10**6


@dataclass(frozen=True)
class Start:
    at: int
    tenant: int
    key: str
    cost: int


class Run:
    """Works on slots: who started when, by a model, correct or with a planted bug."""

    def __init__(self, kind: type[Model], works: list[Work], slots: int, *, predicted: int | None = None) -> None:
        self.model = kind(slots=slots, queues={QUEUE: Queue()})
        self.works = works
        self.starts: list[Start] = []
        self.idle: list[str] = []
        self._predicted = predicted
        self._jobs: dict[UUID, tuple[int, str, int]] = {}
        self._ends: list[tuple[int, UUID]] = []
        self._lines: dict[tuple[int, str], int] = {}
        arrivals = sorted((at, number, key, cost) for number, work in enumerate(works) for key, cost, at in work.jobs)
        for number, work in enumerate(works):
            self.model.tenants[UUID(int=number)] = Tenant(work.weight * 1_000, work.cap)
        self._go(arrivals)

    def _go(self, arrivals: list[tuple[int, int, str, int]]) -> None:
        while arrivals or self._ends:
            now = min(arrivals[0][0] if arrivals else 2**62, self._ends[0][0] if self._ends else 2**62)
            while self._ends and self._ends[0][0] <= now:
                _, job_id = heappop(self._ends)
                self.model.end(job_id, self._jobs[job_id][2])
            while arrivals and arrivals[0][0] <= now:
                self._arrive(*arrivals.pop(0))
            for job_id in self.model.tick():
                tenant, key, cost = self._jobs[job_id]
                self.starts.append(Start(now, tenant, key, cost))
                heappush(self._ends, (now + cost, job_id))
            self._look_for_idle_slots()
        self.model.collect()

    def _arrive(self, at: int, number: int, key: str, cost: int) -> None:
        job_id = UUID(int=len(self._jobs))
        self._jobs[job_id] = (number, key, cost)
        own = self._lines.setdefault((number, ""), 1_000 * number)
        line = self._lines.setdefault((number, key), 1_000 * number + len(self._lines))
        entity = self.model.entity(QUEUE, UUID(int=number), own)
        self.model.submit(entity, key, line, (len(self._jobs), job_id, self._predicted or cost))

    def _look_for_idle_slots(self) -> None:
        if len(self.model.running) >= self.model.slots:
            return
        for _, entity in self.model.each_entity():
            tenant = self.model.tenants[entity.tenant_id]
            if tenant.in_flight < tenant.cap and any(line.jobs for line in entity.lines.values()):
                self.idle.append(f"a slot idles at start {len(self.starts)}, and {entity.tenant_id.int} waits")


type Violations = list[str]


def beyond_the_bound(run: Run) -> Violations:
    """|S_i/w_i − S_j/w_j| ≤ L_i/w_i + L_j/w_j of tenants, while all are backlogged (from the last arrival on)."""
    weights = {number: work.weight for number, work in enumerate(run.works)}
    longest = {number: max(cost for _, cost, _ in work.jobs) for number, work in enumerate(run.works)}
    left = Counter({number: len(work.jobs) for number, work in enumerate(run.works)})
    begins = max(work.jobs[0][2] for work in run.works)
    return _beyond([(start.at, start.tenant, start.cost) for start in run.starts], weights, longest, left, begins)


def beyond_the_bound_of_keys(run: Run) -> Violations:
    """The same among the keys of the first tenant, which weigh the same."""
    jobs = run.works[0].jobs
    left = Counter(key for key, _, _ in jobs)
    longest = {key: max(cost for k, cost, _ in jobs if k == key) for key in left}
    begins = max(min(at for k, _, at in jobs if k == key) for key in left)
    starts = [(start.at, start.key, start.cost) for start in run.starts if start.tenant == 0]
    return _beyond(starts, dict.fromkeys(left, 1), longest, left, begins)


def _beyond[K: (int, str)](
    starts: Iterable[tuple[int, K, int]], weights: dict[K, int], longest: dict[K, int], left: Counter[K], begins: int
) -> Violations:
    found = []
    served: dict[K, int] = dict.fromkeys(weights, 0)
    for at, who, cost in starts:
        left[who] -= 1
        if at >= begins:
            served[who] += cost
            for i, j in combinations(weights, 2):
                gap = abs(served[i] / weights[i] - served[j] / weights[j])
                bound = longest[i] / weights[i] + longest[j] / weights[j]
                if gap > bound + 1:
                    found.append(f"at {at} {i} and {j} are {gap} apart, more than {bound}")
        if not left[who]:
            break
    return found


def idle_slots(run: Run) -> Violations:
    return run.idle


def starved(run: Run) -> Violations:
    """Whoever comes is served before each of the others was served twice, and every job starts."""
    found = []
    if len(run.starts) != sum(len(work.jobs) for work in run.works):
        found.append("a job never started")
    comes = {number: work.jobs[0][2] for number, work in enumerate(run.works)}
    for number, at in comes.items():
        before: Counter[int] = Counter()
        for start in run.starts:
            if start.at < at:
                continue
            if start.tenant == number:
                break
            before[start.tenant] += 1
        if before and max(before.values()) > 1:
            found.append(f"{number} came at {at} and waited for {dict(before)}")
    return found


def unbalanced(run: Run) -> Violations:
    """At every level the charges are the measured service, where nobody was ever away."""
    found = []
    for _, entity in run.model.each_entity():
        number = entity.tenant_id.int
        weight_milli = run.works[number].weight * 1_000
        by_key: dict[str, list[int]] = defaultdict(list)
        for start in run.starts:
            if start.tenant == number:
                by_key[start.key].append(start.cost)
        costs = [cost for costs in by_key.values() for cost in costs]
        if entity.vruntime != sum(virtual_service(cost, weight_milli) for cost in costs):
            found.append(f"tenant {number}")
        found += [
            f"key {key!r} of {number}"
            for key, costs in by_key.items()
            if entity.lines[key].vruntime != sum(virtual_service(cost, 1_000) for cost in costs)
        ]
    return found


def out_of_order(run: Run) -> Violations:
    """Of tenants that have had the same, in jobs of one length, the one that waits longest is next."""
    first = [start.tenant for start in run.starts[: len(run.works)]]
    return [] if first == list(range(len(run.works))) else [f"came 0, 1, 2, …; served {first}"]
