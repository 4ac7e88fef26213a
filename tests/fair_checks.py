"""Checks of a run against the promises of the fair order, at every level of the tree.

Service is counted in units of virtual time, a job's cost divided by the weight, so that siblings can be compared.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.fair_runs import POOL, Change, Ended, Group, Member, Run, Start

type Violations = list[str]
type Level = tuple[Group, Member]


def beyond_the_bound(run: Run) -> Violations:
    """Return violations of |S_i/w_i − S_j/w_j| ≤ L_i/w_i + L_j/w_j between moments with both siblings backlogged.

    With unknown costs, the error of their jobs in flight at each service is added to the bound: it cannot be known
    earlier. A pair's gap is greatest just after the service of one and least just after that of the other, so these
    moments are compared with each other, and with the moment at which both had become backlogged.
    """
    return list(_Bound(run).find())


class _Bound:
    """Replay of a run with the service of every member, and the prediction errors of its jobs in flight."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.served: Counter[Level] = Counter()
        self.error: Counter[Level] = Counter()
        self.present: dict[Group, set[Member]] = defaultdict(set)
        # By pair: the gap less its bound so far, and its limit.
        self.reached: dict[tuple[Group, Member, Member], int] = {}
        self.ceiling: dict[tuple[Group, Member, Member], int] = {}

    def find(self) -> Iterator[str]:
        for event in self.run.events:
            if isinstance(event, Change):
                self._change(event)
            elif isinstance(event, Ended):
                for level, _, error in self.run.charges(event.job):
                    self.error[level] -= error
            else:
                for level, service, error in self.run.charges(event.job):
                    self.served[level] += service
                    yield from self._compare(*level, event)
                    self.error[level] += error

    def _change(self, event: Change) -> None:
        if not event.is_in:
            self.present[event.group].discard(event.member)
            return
        for other in self.present[event.group]:
            pair = self._pair(event.group, event.member, other)
            self.reached.pop(pair, None)
            self.ceiling.pop(pair, None)
            # A later arrival may find the others ahead by errors that are no longer in flight.
            if self.run.is_exact or event.at == 0:
                gap = self._gap(pair)
                self.reached[pair] = gap - self.run.longest[pair[0], pair[1]]
                self.ceiling[pair] = gap + self.run.longest[pair[0], pair[2]]
        self.present[event.group].add(event.member)

    def _pair(self, group: Group, one: Member, other: Member) -> tuple[Group, Member, Member]:
        return (group, one, other) if one < other else (group, other, one)

    def _gap(self, pair: tuple[Group, Member, Member]) -> int:
        return self.served[pair[0], pair[1]] - self.served[pair[0], pair[2]]

    def _compare(self, group: Group, member: Member, event: Start) -> Iterator[str]:
        if member not in self.present[group]:
            yield f"at {event.at} {member} of {group} is served and may not be"
        longest, own_error = self.run.longest, self.error[group, member]
        for other in self.present[group]:
            if other == member:
                continue
            pair = self._pair(group, member, other)
            gap, allowed = self._gap(pair), longest[group, member] + abs(own_error) + abs(self.error[group, other])
            if pair[1] == member:
                self.reached[pair] = max(self.reached.get(pair, gap - allowed), gap - allowed)
            else:
                self.ceiling[pair] = min(self.ceiling.get(pair, gap + allowed), gap + allowed)
            beyond = self.reached.get(pair, 0) - self.ceiling.get(pair, 2**80)
            if pair in self.reached and beyond > 0:
                yield f"at {event.at} {pair} are {beyond} further apart than they may be"


def starved(run: Run) -> Violations:
    """Return jobs that never started, and waits in which a sibling got more than L_i/w_i + L_j/w_j of service.

    The sibling may come and go. Waits are checked only with known costs; otherwise errors are added.
    """
    found = [] if len(run.starts) == len(run.jobs) else [f"{len(run.jobs) - len(run.starts)} jobs never started"]
    waits: dict[Level, Counter[Member]] = {}
    present: dict[Group, set[Member]] = defaultdict(set)
    for event in run.events if run.is_exact else ():
        if isinstance(event, Change):
            (present[event.group].add if event.is_in else present[event.group].discard)(event.member)
            waits[event.group, event.member] = Counter()
        elif isinstance(event, Start):
            for (group, member), service, _ in run.charges(event.job):
                waits[group, member] = Counter()
                for other in present[group] - {member}:
                    wait = waits[group, other]
                    wait[member] += service
                    if wait[member] > run.longest[group, other] + run.longest[group, member]:
                        found.append(f"at {event.at} {other} of {group} waits while {member} has {wait[member]}")
    return found


def idle_slots(run: Run) -> Violations:
    return run.idle


def unbalanced(run: Run) -> Violations:
    """Return levels at which charges differ from measured service; with absences they may only exceed it."""
    service: Counter[Level] = Counter()
    for start in run.starts:
        for level, share, _ in run.charges(start.job):
            service[level] += share
    found, away = [], _were_away(run)
    for level, charged in run.clocks().items():
        if charged < service[level] or (charged > service[level] and level not in away):
            found.append(f"{level} is charged {charged} for {service[level]}")
    return found


def _were_away(run: Run) -> set[Level]:
    """Return the members that were idle at the beginning or in between.

    The clock of a queue continues with its siblings' after its end too.
    """
    changes = [event for event in run.events if isinstance(event, Change)]
    comings = Counter((event.group, event.member) for event in changes if event.is_in)
    away = {(event.group, event.member) for event in changes if event.is_in and event.at > 0}
    last = run.events.index(run.starts[-1]) if run.starts else 0
    left = {(event.group, event.member) for event in run.events[:last] if isinstance(event, Change) and not event.is_in}
    return away | {level for level in run.clocks() if comings[level] != 1 or (level[0] == POOL and level in left)}


def gain_of_splitting(run: Run, one: Member, other: Member, *, group: Group) -> float | None:
    """Return by how much one member's service exceeds the other's while both are backlogged from the start; weights are
    equal.
    """
    served: Counter[Member] = Counter()
    for event in run.events:
        if (
            isinstance(event, Change)
            and not event.is_in
            and (event.group, event.member) in {(group, one), (group, other)}
        ):
            break
        if isinstance(event, Start):
            for (place, member), service, _ in run.charges(event.job):
                served[member] += service if place == group else 0
    return served[one] / served[other] - 1 if served[other] else None


def lost_by_weight(before: Run, after: Run, group: Group, member: Member) -> Violations:
    """Return a violation if a member with more weight in the second run gets less of the same total service.

    Service comes in jobs: a member may be behind its part by one of each sibling's, and ahead by one of its own.
    """
    first, second = _taken_together(before, group), _taken_together(after, group)
    total = min(sum(cost for _, cost in first), sum(cost for _, cost in second))
    had, has = _had_of(first, member, total), _had_of(second, member, total)
    costs: dict[Member, int] = {}
    for who, cost in first + second:
        costs[who] = max(cost, costs.get(who, 0))
    allowed = costs.get(member, 0) + 2 * max(costs.values(), default=0) + sum(costs.values())
    return [f"{had} before, {has} after, of {total}"] if has + allowed < had else []


def _taken_together(run: Run, group: Group) -> list[tuple[Member, int]]:
    """Return the service in a group while all members from the start are present."""
    taken: list[tuple[Member, int]] = []
    for event in run.events:
        if isinstance(event, Change) and event.group == group and not event.is_in:
            break
        if isinstance(event, Start):
            job = run.jobs[event.job]
            taken += [(who, job.cost) for place, who in run.levels(job) if place == group]
    return taken


def _had_of(taken: list[tuple[Member, int]], member: Member, total: int) -> int:
    had = seen = 0
    for who, cost in taken:
        seen += cost
        if seen > total:
            break
        had += cost if who == member else 0
    return had


def out_of_order(run: Run) -> Violations:
    """Return a violation unless tenants with equal service and jobs of one length are served in the order of waits."""
    first = [run.jobs[start.job].work for start in run.starts[: len(run.works)]]
    return [] if first == list(range(len(run.works))) else [f"came 0, 1, 2, …; served {first}"]
