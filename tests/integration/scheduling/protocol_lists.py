"""The moves of prefetch lists: their holds, joint statements, lost answers, deaths of children and take-backs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from scheduling.execution import holds, settlement_builders
from scheduling.execution.settlement import Settlement, settle
from scheduling.execution.start import StartedExecution
from tests.integration.scheduling.protocol_sides import PLANS, OwnedExecution, ProtocolSides, verdict_on
from tests.protocol_rows import HeldRow, Hint, Id, JobRow

LONGEST_LIST = 4
WAYS = ("completed", "completed", "failed", "yielded", "shut_down", "put_off", "suspended")

some = st.integers(0, 10**6)


@dataclass(frozen=True, slots=True)
class Hold:
    """A child's receipt of a message, which it can repeat, and what the child remembers of the executions."""

    id: UUID
    worker: Id
    hint: Hint
    members: dict[Id, StartedExecution]


class ListMoves(ProtocolSides):
    """The moves of children with lists, and of those that end holds."""

    def hold_of(self, number: int) -> Hold:
        return self.holds[-1 - number % len(self.holds)]

    def begin_both(self, hint: Hint, worker: int) -> None:
        self.hold_both(Hold(uuid4(), self.workers[worker], hint, {}))

    def hold_both(self, hold: Hold) -> None:
        started, lives = self.start_both(hold.hint, hold.worker, hold.id)
        if not started:
            return
        self.holds.append(Hold(hold.id, hold.worker, hold.hint, {one.execution_id: one for one in started}))
        for one, live in zip(started, lives, strict=True):
            if one.has_begun:
                self.own(one, hold, live.job)

    def own(self, one: StartedExecution, hold: Hold, job: JobRow) -> None:
        self.owned_executions.append(OwnedExecution(one, hold.worker, job, hold.id))

    def note_begun(self, hold: Hold, begun: holds.BegunExecution | None, expected: HeldRow | None) -> None:
        """Compare what both sides have begun, and let the child own it."""
        assert (begun and (begun.execution_id, begun.fence)) == (expected and (expected.id, expected.fence))
        if begun is not None:
            one = replace(hold.members[begun.execution_id], fence=begun.fence, has_begun=True)
            self.own(one, hold, self.model.live[begun.execution_id].job)

    # Moves ------------------------------------------------------------------------------------------------

    @rule(
        tenant=st.sampled_from(sorted(PLANS)),
        size=st.integers(2, LONGEST_LIST),
        worker=st.integers(0, 1),
        turns=st.lists(st.tuples(st.sampled_from(WAYS), st.booleans()), max_size=LONGEST_LIST),
    )
    def run_list(self, tenant: str, size: int, worker: int, turns: list[tuple[str, bool]]) -> None:
        """Let a child hold a list, and run some of it; after a lost answer it finds what has begun."""
        if not self.begin_list(tenant, size, worker):
            return
        for way, is_answered in turns:
            self.settle_and_begin(0, way, is_answered)
            self.agrees_with_the_model()
            if not is_answered:
                self.begin_here(0)

    def begin_list(self, tenant: str, size: int, worker: int) -> bool:
        """Let a tick make a list of a tenant that may use one slot only; return whether a child holds a message."""
        held = len(self.holds)
        self.set_cap(tenant, 1)
        for _ in range(size):
            self.submit(tenant, retries=1, is_late=False, is_small=True)
        self.tick()
        self.deliver(0, worker, is_first=False)
        return len(self.holds) > held

    @precondition(lambda self: self.holds)
    @rule(number=some)
    def hold_again(self, number: int) -> None:
        """Repeat a hold whose answer was lost, or that arrives late."""
        self.hold_both(self.hold_of(number))

    @precondition(lambda self: self.owned_executions)
    @rule(number=some, way=st.sampled_from(WAYS), is_answered=st.booleans())
    def settle_and_begin(self, number: int, way: str, is_answered: bool) -> None:
        """Settle an execution, perhaps again or late, and begin the next of its list; the answer may be lost."""
        owned = self.owned_executions[-1 - number % len(self.owned_executions)]
        hold = next(hold for hold in self.holds if hold.id == owned.hold)
        settlement = verdict_on(owned.execution, way)
        ids = [id_ for id_ in hold.members if id_ != owned.execution.execution_id]
        turnover = holds.settle_and_begin(settlement, ids, hold_id=hold.id)
        expected = self.model.settle_and_begin(settlement, hold.id, ids[:3])
        assert (turnover.settled is not None) is expected.is_settled
        if is_answered:
            self.note_begun(hold, turnover.begun, expected.begun)

    @precondition(lambda self: self.holds)
    @rule(number=some)
    def begin_here(self, number: int) -> None:
        """Begin the next of a list, or find the one that has begun and whose begin was not answered."""
        hold = self.hold_of(number)
        ids = list(hold.members)
        self.note_begun(hold, holds.begin_next_here(ids, hold_id=hold.id), self.model.begin_here(hold.id, ids))

    @precondition(lambda self: self.holds)
    @rule(number=some, has_run=st.booleans())
    def die(self, number: int, has_run: bool) -> None:
        """Let a parent end the hold of a dead child: what it ran crashed, the others are returned."""
        hold = self.hold_of(number)
        rows = [HeldRow(*row) for row in self._read_hold(hold)]
        assert rows == sorted(self.model.read_hold(hold.id))
        ends = [self._end_of(hold, row, has_run=has_run) for row in rows]
        assert len(settle(ends)) == sum(map(self.model.settle, ends))

    def _read_hold(self, hold: Hold) -> list[tuple[Id, int, bool]]:
        rows = holds.read_hold(hold_id=hold.id, worker_id=hold.worker)
        return [(row.execution_id, row.fence, row.has_begun) for row in rows]

    def _end_of(self, hold: Hold, row: HeldRow, *, has_run: bool) -> Settlement:
        if row.has_begun and has_run:
            return verdict_on(replace(hold.members[row.id], fence=row.fence), "crashed")
        return settlement_builders.returned(row.id, row.fence, cause="the process ended")

    @precondition(lambda self: self.holds)
    @rule(number=some, member=some)
    def take_back(self, number: int, member: int) -> None:
        """Return an execution under the fence of its dispatch, which has an effect until it begins."""
        hold = self.hold_of(number)
        one = list(hold.members.values())[member % len(hold.members)]
        fence = one.fence - one.has_begun
        job = self.model.jobs[one.job_id]
        self.settle_both(settlement_builders.returned(one.execution_id, fence, cause="another comes first"), job)
