"""The last level of the fair-share tree: a tenant's jobs in nodes ("lines"), one for each fair key.

A tenant without fair keys has one node for all of its jobs. Virtual time is slot time divided by weight, in integers. A
microsecond of slot time at weight 1 is 1,000 units, so a 64-bit column holds centuries of a busy pool, and shares of
small jobs at large weights do not drown in rounding.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush, heapreplace

from scheduling.fairness.shares import ReadyJob

UNITS_PER_MICROSECOND = 1_000
MILLI = 1_000
# Stands for a job that exists but was not read: picking past it would be a guess.
UNREAD = ReadyJob(job_id=None, rank=0, kind="", cost_us=0)
KEY_WEIGHT_MILLI = 1_000


def virtual_service(cost_us: int, weight_milli: int) -> int:
    """Return the virtual time that ``cost_us`` of slot time adds at weight ``weight_milli`` / 1000."""
    return cost_us * UNITS_PER_MICROSECOND * MILLI // weight_milli


def corrected(vruntime: int, *, predicted_us: int, measured_us: int, weight_milli: int) -> int:
    """Return the virtual time after the predicted charge in it is replaced by the measured one."""
    return vruntime - virtual_service(predicted_us, weight_milli) + virtual_service(measured_us, weight_milli)


def rejoined(vruntime: int, parent_virtual_time: int) -> int:
    """Return the virtual time at which a child becomes eligible again: time without jobs earns no credit."""
    return max(vruntime, parent_virtual_time)


# A child's place among its siblings: (virtual start time, in flight, rank of its first job, id), least first.
type Turn = tuple[int, int, int, int]


class KeyNode:
    """The jobs of one node in the order in which they start: ``head`` is the next one or None, ``rest`` the others."""

    __slots__ = ("entity_id", "head", "in_flight", "place", "rank", "rest", "taken", "vruntime")

    def __init__(
        self, entity_id: int, rest: Iterator[ReadyJob | None], *, vruntime: int = 0, in_flight: int = 0, rank: int = 0
    ) -> None:
        self.entity_id = entity_id
        self.rest = rest
        self.vruntime = vruntime
        self.in_flight = in_flight
        self.rank = rank
        self.taken = 0
        self.place: tuple[int, int, int, int, KeyNode] | None = None
        self.advance()

    def advance(self) -> None:
        """Make the next job the head; a job that was not read is assumed to have the rank of the job before it."""
        self.head = head = next(self.rest, None)
        if head is not None and head is not UNREAD:
            self.rank = head.rank


class GrowingKeyNode(KeyNode):
    """A node to which jobs are added over time, for simulations."""

    __slots__ = ("behind",)

    def __init__(self, entity_id: int) -> None:
        self.behind: deque[ReadyJob] = deque()
        super().__init__(entity_id, self._drain())

    def _drain(self) -> Iterator[ReadyJob | None]:
        behind = self.behind
        while True:
            yield behind.popleft() if behind else None

    def append(self, job: ReadyJob) -> None:
        """Add a job behind all others."""
        if self.head is None:
            self.head, self.rank = job, job.rank
        else:
            self.behind.append(job)

    def put_first(self, job: ReadyJob) -> None:
        """Put a job back before all others."""
        if self.head is not None:
            self.behind.appendleft(self.head)
        self.head, self.rank = job, job.rank


class KeyNodes:
    """The nodes of one tenant; ``ready`` counts those with jobs, ``virtual_time`` is the clock that they share."""

    __slots__ = ("_heap", "_is_fifo", "_only", "_ranks", "all", "ready", "virtual_time")

    def __init__(self, lines: Sequence[KeyNode], *, virtual_time: int = 0, is_fifo: bool = False) -> None:
        self.all = lines
        self.virtual_time = virtual_time
        self.ready = sum(line.head is not None for line in lines)
        self._is_fifo = is_fifo
        # One line needs no choice, and no heap.
        self._only = lines[0] if len(lines) == 1 else None
        ready = [] if self._only else [line for line in lines if line.head is not None]
        self._heap = [self._stand(line) for line in ready]
        heapify(self._heap)
        self._ranks = [(line.rank, line.entity_id, line) for line in ready]
        heapify(self._ranks)

    def next(self) -> KeyNode:
        """Return the node whose job is next in order; at least one node must have jobs."""
        if self._only is not None:
            return self._only
        heap = self._heap
        while (place := heap[0])[4].place is not place:
            heappop(heap)
        return place[4]

    def tag_after_next(self) -> int | None:
        """Return the virtual time of the node after the next one; None without one, or in order of rank.

        No entry of the heap may be stale when it is called.
        """
        return None if self._is_fifo else min((place[0] for place in self._heap[1:3]), default=None)

    def least_rank(self) -> int:
        """Return the rank of the job that has waited longest; at least one node must have jobs.

        Stale entries found on the way are corrected.
        """
        if self._only is not None:
            return self._only.rank
        ranks = self._ranks
        while True:
            rank, entity_id, line = ranks[0]
            if line.head is None:
                heappop(ranks)
            elif line.rank != rank:
                heapreplace(ranks, (line.rank, entity_id, line))
            else:
                return rank

    def charge(self, line: KeyNode, service: int, *, messages: int) -> None:
        """Take the first job of ``line``, which must be the next in order, and charge ``service`` of virtual time.

        ``messages`` is the number of new messages that the job needs.
        """
        if line.vruntime > self.virtual_time:  # noqa: PLR1730 - `max` costs more than the rest
            self.virtual_time = line.vruntime
        line.vruntime += service
        line.in_flight += messages
        line.taken += 1
        line.advance()
        if line.head is None:
            self.ready -= 1
            if self._only is None:
                heappop(self._heap)
                line.place = None
        elif self._only is None:
            heapreplace(self._heap, self._stand(line))

    def append(self, line: GrowingKeyNode, job: ReadyJob) -> bool:
        """Add a job to its node; return whether it is the node's only job, so that the tenant's place may change."""
        is_first = line.head is None
        line.append(job)
        if is_first:
            self._return(line)
        return is_first

    def put_first(self, line: GrowingKeyNode, job: ReadyJob) -> None:
        """Put a job back before the other jobs of its node."""
        was_empty = line.head is None
        line.put_first(job)
        if was_empty:
            self._return(line)
        elif self._only is None:
            heappush(self._heap, self._stand(line))
            heappush(self._ranks, (line.rank, line.entity_id, line))

    def reposition(self, line: KeyNode) -> None:
        """Update the node's place in the heap after its virtual time or counts changed."""
        if self._only is None and line.head is not None:
            heappush(self._heap, self._stand(line))

    def advance_clock(self, vruntime: int) -> None:
        """Advance the clock after a node was served at ``vruntime`` out of order, but not beyond a node with jobs."""
        ready = (line.vruntime for line in self.all if line.head is not None)
        self.virtual_time = max(self.virtual_time, min([vruntime, *ready]))

    def hold_back(self, line: KeyNode) -> None:
        """Lower the clock if it is ahead of this node and the node has jobs."""
        if line.head is not None and line.vruntime < self.virtual_time:
            self.virtual_time = line.vruntime

    def _return(self, line: KeyNode) -> None:
        """Make a line ready again: time without jobs earns no credit."""
        self.ready += 1
        line.vruntime = rejoined(line.vruntime, self.virtual_time)
        if self._only is None:
            heappush(self._heap, self._stand(line))
            heappush(self._ranks, (line.rank, line.entity_id, line))

    def _stand(self, line: KeyNode) -> tuple[int, int, int, int, KeyNode]:
        order = line.rank if self._is_fifo else line.vruntime
        line.place = place = (order, line.in_flight, line.rank, line.entity_id, line)
        return place
