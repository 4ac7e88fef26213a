"""Acts of workers' parents: they give messages to children, renew leases, and end the holds of dead children."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from scheduling.execution import settlement_builders
from scheduling.execution.settlement import Settlement
from scheduling.kit.retry import RetryPolicy
from tests.protocol_actors import WORKING, Child, Hand, Phase, Worker
from tests.protocol_children import ChildActs, returned
from tests.protocol_rows import HeldRow, Hint

POOLS = ("default", "other")
SLOTS = 2
TIMED_OUT = settlement_builders.Failure("timed_out", "", "")


class ParentActs(ChildActs):
    """Acts of workers, one of which is chosen at random."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Hint] = []
        self.is_broker_away = False
        self.workers: list[Worker] = []
        self._numbers = count(1)

    def child(self, is_wanted: Callable[[Child], bool]) -> Child | None:
        """Return a child of a worker that is not frozen."""
        wanted = [one for worker in self.workers if worker.is_well for one in worker.children if is_wanted(one)]
        return self.random.choice(wanted) if wanted else None

    def work(self) -> bool:
        if (child := self.child(lambda one: not one.is_dead and one.phase is not Phase.IDLE)) is None:
            return False
        self.advance(child)
        return True

    def pop(self) -> bool:
        pools = {hint.pool for hint in self.messages}
        idle = self.child(lambda one: one.phase is Phase.IDLE and one.worker.pool in pools and one.worker.is_online)
        return idle is not None and self.receive_one(idle)

    def receive_one(self, child: Child) -> bool:
        """Take a message out of order; from then on it is only in this worker's memory."""
        own = [number for number, hint in enumerate(self.messages) if hint.pool == child.worker.pool]
        if not own or self.is_broker_away or child.is_dead:
            return False
        self.receive(child, self.messages.pop(self.random.choice(own)))
        return True

    def lose_child(self) -> None:
        if (child := self.child(lambda one: not one.is_dead and one.phase is not Phase.IDLE)) is not None:
            self.die(child)

    def kill_child(self) -> None:
        """Let a parent kill a child whose job exceeds its time."""
        if (child := self.child(lambda one: one.worker.beats and one.phase is Phase.RUNNING)) is not None:
            self.die(child, was_killed=True)

    def abandon(self) -> None:
        """Let a child give up a statement that the database did not accept for long."""
        unanswered = {Phase.UNSURE}
        if self.random.random() < 0.4:
            unanswered |= {Phase.HOLDING, Phase.BETWEEN, Phase.OVER}
        if (child := self.child(lambda one: not one.is_dead and one.phase in unanswered)) is not None:
            self.give_up(child)

    def checkpoint(self) -> None:
        if (child := self.child(lambda one: not one.is_dead and one.phase is Phase.RUNNING)) is None:
            return
        hand = child.current
        assert hand is not None
        if self.store.checkpoint(hand.id, hand.fence, hand.job, hand.step):
            hand.step += 1
        else:
            self.stop_current(child)

    def stop_current(self, child: Child) -> None:
        """Stop the current execution, which is no longer the child's; the list goes on."""
        if child.is_list:
            child.current, child.phase = None, Phase.BETWEEN

    def land(self) -> bool:
        """Let a statement arrive that its child sent before it died, or before its connection broke."""
        if not self.under_way:
            return False
        statement = self.under_way.pop(self.random.randrange(len(self.under_way)))
        if self.random.random() < 0.8:
            statement()
        return True

    # The parent and its dead children ------------------------------------------------------------------------

    def bury(self) -> bool:
        if (child := self.child(lambda one: one.is_dead and one.worker.beats)) is None:
            return False
        self.end_hold(child)
        return True

    def end_hold(self, child: Child) -> None:
        """Read what is left of a dead child's hold, or settle it as read; free the seat once nothing is left."""
        if child.found is None:
            child.found = [] if child.nonce is None else self.store.read_hold(child.nonce)
            if not child.found:
                self.vacate(child)
            return
        self.settle_all([self.end_of(child, row) for row in child.found])
        self.note_parent_settled(child)

    def note_parent_settled(self, child: Child) -> None:
        """Read again: the last statement of the child may still be running."""
        child.found = None

    def end_of(self, child: Child, row: HeldRow) -> Settlement:
        """Return the settlement of a dead child's execution: only the one that ran is to blame."""
        hand = child.current
        if hand is not None and hand.id == row.id and self.is_to_blame(child):
            return self.end_of_culprit(child, row, hand)
        if not child.is_list and child.phase in WORKING and not child.was_killed:
            return self.crashed(row, hand, was_alone=False)
        return returned(row)

    def is_to_blame(self, child: Child) -> bool:
        """Return whether the work of the child's current execution has begun, by its memory."""
        return child.phase in WORKING

    def end_of_culprit(self, child: Child, row: HeldRow, hand: Hand) -> Settlement:
        if child.was_killed:
            policy = RetryPolicy(hand.job.max_retries)
            attempts = hand.job.attempt + 1
            return settlement_builders.failed(row.id, row.fence, TIMED_OUT, failed_attempts=attempts, policy=policy)
        return self.crashed(row, hand, was_alone=child.is_list or len(child.ids()) == 1)

    def crashed(self, row: HeldRow, hand: Hand | None, *, was_alone: bool) -> Settlement:
        crashes = 0 if hand is None else hand.job.crash_count
        return settlement_builders.crashed(
            row.id,
            row.fence,
            crash_count=crashes,
            was_alone=was_alone,
            cause="died",
            is_lost=False,
            was_merged=not was_alone,
        )

    # Workers as a whole -------------------------------------------------------------------------------------

    def beat(self, worker: Worker) -> None:
        """Renew the leases of what living children have; of some, learn that their execution is lost."""
        living = [child for child in worker.children if not child.is_dead and child.hint is not None]
        ids = [id_ for child in living for id_ in child.ids()]
        ours = self.store.heartbeat(worker.name, ids, skew=worker.skew)
        for child in living:
            child.renewed_at = self.store.now
            hand = child.current
            is_working = child.phase in {Phase.BEGUN, Phase.RUNNING} and hand is not None
            if is_working and hand.id not in ours and self.random.random() < 0.5:
                self.stop_current(child)

    def freeze(self) -> None:
        if (worker := self.well()) is not None:
            worker.is_frozen = True

    def thaw(self) -> None:
        for worker in self.workers:
            worker.is_frozen = False

    def well(self) -> Worker | None:
        return self.random.choice([worker for worker in self.workers if worker.is_well] or [None])

    def kill(self) -> None:
        """Kill a worker, whose memory is lost, and start another."""
        worker = self.random.choice(self.workers)
        if not worker.is_dead:
            worker.is_dead = True
            self.add_worker()

    def orphan(self) -> None:
        """Kill the parent of a worker alone, and start another worker."""
        if (worker := self.well()) is not None and not worker.is_orphaned:
            worker.is_orphaned = True
            self.add_worker()

    def stop(self) -> None:
        """Stop a worker, and start another."""
        if (worker := self.well()) is not None and not worker.is_stopping:
            worker.is_stopping = True
            self.add_worker()

    def add_worker(self) -> None:
        number = next(self._numbers)
        skew = self.random.choice([0.0, 0.0, 7_200.0, -7_200.0])
        self.enlist(Worker(f"worker {number}", POOLS[number % len(POOLS)], skew))

    def enlist(self, worker: Worker) -> None:
        """Let a worker register, which counts as a heartbeat."""
        worker.children = [Child(worker) for _ in range(SLOTS)]
        self.store.beats[worker.name] = self.store.now
        self.workers.append(worker)
