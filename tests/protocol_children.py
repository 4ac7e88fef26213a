"""Acts of children: each holds a message, and runs its executions one after another.

An act ends with a statement at most. Its answer may be lost, committed or not, and it may arrive at the database late.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from itertools import count

from scheduling.execution import settlement_builders
from scheduling.execution.settlement import Settlement
from scheduling.jobs.lifecycle import JobState
from scheduling.kit.retry import RetryPolicy
from tests.protocol_actors import WORKING, Child, Hand, Phase, Worker
from tests.protocol_rows import HeldRow, Hint, Id, LiveRow
from tests.protocol_store import Store

FAILURE = settlement_builders.Failure("ValueError", "no", "")
PERMANENT = settlement_builders.Failure("ValueError", "never", "", is_permanent=True)
# The executions of which a joint statement may begin one.
NEXT = 3
LOST = object()


class ChildActs:
    """Acts of children; ``problems`` are violations of the protocol's own rules."""

    random: random.Random
    store: Store

    def __init__(self) -> None:
        self._nonces = count(1)
        self.problems: list[str] = []
        self.is_draining = False
        # Jobs that kill their children.
        self.poison: set[Id] = set()
        # Statements that were sent and have not arrived.
        self.under_way: list[Callable[[], object]] = []
        # Executions that ran, whose child died meanwhile, and that a sweep ended, also of silent workers; ended jobs.
        self.ran: set[Id] = set()
        self.died: set[Id] = set()
        self.rescued: set[Id] = set()
        self.lost: set[Id] = set()
        self.ended_jobs: set[Id] = set()

    def advance(self, child: Child) -> None:
        """Let a living child take its next step."""
        match child.phase:
            case Phase.HOLDING:
                self._hold(child)
            case Phase.BEGUN:
                self._run(child)
            case Phase.RUNNING:
                self._end_work(child)
            case Phase.ENDED if child.is_list and self.random.random() < 0.8:
                self._settle_and_begin(child)
            case Phase.ENDED if not child.is_list:
                self._keep(child)
            case Phase.ENDED | Phase.UNSURE:
                self._settle(child)
            case Phase.BETWEEN:
                self._begin_here(child)
            case Phase.OVER:
                self._finish(child)

    def ask[T](self, child: Child, statement: Callable[[], T]) -> T | object:
        """Send a statement; return its result, or LOST if the child gets no answer, perhaps because it dies."""
        fate = 1.0 if self.is_draining else self.random.random()
        if fate > 0.15:
            return statement()
        if fate < 0.05:
            self.under_way.append(statement)
        elif fate < 0.1:
            statement()
        if self.random.random() < 0.3:
            self.die(child)
        return LOST

    # Steps ------------------------------------------------------------------------------------------------

    def nonce(self, child: Child) -> Id | str:
        """Return the nonce of a receipt."""
        del child
        return f"hold {next(self._nonces)}"

    def receive(self, child: Child, hint: Hint) -> None:
        """Write the receipt to shared memory, before any statement."""
        child.hint, child.nonce, child.phase = hint, self.nonce(child), Phase.HOLDING

    def _hold(self, child: Child) -> None:
        hint, nonce = child.hint, child.nonce
        assert hint is not None
        assert nonce is not None
        rows = self.ask(child, partial(self.held, hint, child.worker, nonce))
        if not isinstance(rows, list):
            return
        child.renewed_at = self.store.now
        hands = [Hand(live.id, live.fence, live.job, live.job.step, hint.executions.index(live.id)) for live in rows]
        if not hands:
            self.vacate(child)
            return
        child.is_list = rows[0].is_list
        child.waiting = hands
        if rows[0].has_begun:
            self.take(child, HeldRow(rows[0].id, rows[0].fence, True))
        else:
            child.phase = Phase.BETWEEN

    def held(self, hint: Hint, worker: Worker, nonce: Id | str) -> list[LiveRow]:
        rows = self.store.hold(hint, worker.name, nonce, skew=worker.skew)
        for live in rows:
            if hint.token != self.store.last_token[live.id]:
                self.problems.append(f"a message that was superseded began execution {live.id}")
        return rows

    def take(self, child: Child, begun: HeldRow) -> None:
        """Make the execution that has begun the current one; those before it were passed over."""
        hand = next(one for one in [*child.waiting, *child.doubtful] if one.id == begun.id)
        if hand in child.doubtful:
            child.doubtful.remove(hand)
        else:
            place = child.waiting.index(hand)
            self._check_order(child, child.waiting[:place])
            child.doubtful += child.waiting[:place]
            del child.waiting[: place + 1]
        hand.fence = begun.fence
        child.current, child.phase = hand, Phase.BEGUN

    def _check_order(self, child: Child, passed_over: list[Hand]) -> None:
        for hand in passed_over:
            live = self.store.live.get(hand.id)
            is_free = live is not None and hand.id not in self.store.locked and not child.is_unsure
            if is_free and self.store.may_begin(live, child.nonce):
                self.problems.append(f"L7: execution {hand.id} was passed over")

    def _run(self, child: Child) -> None:
        hand = child.current
        assert hand is not None
        # A sweep may have taken it from a worker that was silent.
        if hand.id not in self.rescued:
            live = self.store.live.get(hand.id)
            if live is None or live.fence != hand.fence:
                self.problems.append(f"L1: execution {hand.id} runs without its row")
            if hand.job.id in self.ended_jobs:
                self.problems.append(f"L1: job {hand.job.id} runs again after its end was committed")
        self.ran.add(hand.id)
        child.phase = Phase.RUNNING

    def _end_work(self, child: Child) -> None:
        hand = child.current
        assert hand is not None
        if hand.job.id in self.poison and not self.is_draining:
            self.die(child)
            return
        child.verdict, child.phase = self.verdict_on(hand), Phase.ENDED

    def _settle_and_begin(self, child: Child) -> None:
        assert child.verdict is not None
        assert child.nonce is not None
        is_last = self.ends_list(child)
        ids = [] if is_last else [hand.id for hand in child.waiting[:NEXT]]
        turnover = self.ask(
            child, partial(self.store.settle_and_begin, child.verdict, child.nonce, ids, skew=child.worker.skew)
        )
        if not isinstance(turnover, tuple):
            child.phase, child.is_unsure = self.after_lost_answer(), True
            return
        self._note_settled(child, is_settled=turnover.is_settled)
        self._go_on(child, turnover.begun, is_last=is_last)

    def after_lost_answer(self) -> Phase:
        """Return the phase after a joint statement without an answer: it is never repeated."""
        return Phase.UNSURE

    def _go_on(self, child: Child, begun: HeldRow | None, *, is_last: bool) -> None:
        child.current = child.verdict = None
        if begun is not None:
            self.take(child, begun)
        else:
            is_over = is_last or not (child.waiting or child.doubtful)
            child.phase = Phase.OVER if is_over else Phase.BETWEEN

    def ends_list(self, child: Child) -> bool:
        """Return whether the child begins no other execution: it stops, or the last one has spoiled it."""
        return child.worker.is_stopping or (self.random.random() < 0.08 and not self.is_draining)

    def _settle(self, child: Child) -> None:
        assert child.verdict is not None
        assert child.current is not None
        is_settled = self.ask(child, partial(self.store.settle, child.verdict, child.current.job))
        if is_settled is LOST:
            child.phase = Phase.UNSURE
            return
        # Found by the first of several statements.
        self._note_settled(child, is_settled=bool(is_settled) or child.phase is Phase.UNSURE)
        self._go_on(child, None, is_last=self.ends_list(child))

    def _note_settled(self, child: Child, *, is_settled: bool) -> None:
        hand, verdict = child.current, child.verdict
        assert hand is not None
        assert verdict is not None
        if (not is_settled and hand.id not in self.rescued) or hand.id in self.store.live:
            self.problems.append(f"L1: the work of execution {hand.id} was not accepted")
        if is_settled and verdict.state == JobState.COMPLETED and hand.id not in self.rescued:
            self.ended_jobs.add(hand.job.id)

    def _keep(self, child: Child) -> None:
        """Keep the end of an execution that shares its settlement; take the next."""
        assert child.verdict is not None
        child.done.append(child.verdict)
        child.current = child.verdict = None
        if child.waiting and not self.ends_list(child):
            hand = child.waiting[0]
            self.take(child, HeldRow(hand.id, hand.fence, True))
        else:
            child.phase = Phase.OVER

    def _begin_here(self, child: Child) -> None:
        assert child.nonce is not None
        ids = [hand.id for hand in [*child.waiting, *child.doubtful]]
        if child.worker.is_stopping or not ids:
            child.phase = Phase.OVER
            return
        begun = self.ask(child, partial(self.store.begin_here, child.nonce, ids, skew=child.worker.skew))
        if begun is LOST:
            child.is_unsure = True
        elif isinstance(begun, tuple):
            self.take(child, begun)
        else:
            child.phase = Phase.OVER

    def _finish(self, child: Child) -> None:
        """Return what is left: by the child's memory, or by the database if an answer to a beginning was lost."""
        assert child.nonce is not None
        if self.is_sure(child):
            ends = [*child.done, *map(returned, self.left_of(child))]
            if self.ask(child, partial(self.settle_all, ends)) is not LOST:
                self.vacate(child)
        elif child.found is None:
            found = self.ask(child, partial(self.store.read_hold, child.nonce))
            child.found = found if isinstance(found, list) else None
            if child.found == []:
                self.vacate(child)
        elif self.ask(child, partial(self.settle_all, [returned(row) for row in child.found])) is not LOST:
            child.found = None

    def is_sure(self, child: Child) -> bool:
        """Return whether the child has had an answer to every beginning of its hold."""
        return not child.is_unsure

    def left_of(self, child: Child) -> list[HeldRow]:
        return [HeldRow(hand.id, hand.fence, False) for hand in [*child.waiting, *child.doubtful]]

    def settle_all(self, settlements: list[Settlement]) -> None:
        for settlement in settlements:
            self.store.settle(settlement)

    # Ends -------------------------------------------------------------------------------------------------

    def give_up(self, child: Child) -> None:
        """Leave a message after an outage of the database: nothing is returned."""
        self.vacate(child, leaves_rows=True)

    def vacate(self, child: Child, *, leaves_rows: bool = False) -> None:
        """Free the seat: the message is over, or was never held."""
        if not leaves_rows and child.nonce is not None and self.store.read_hold(child.nonce):
            self.problems.append(f"L6: {child.nonce} is over and has executions")
        child.worker.replace(child)

    def die(self, child: Child, *, was_killed: bool = False) -> None:
        child.is_dead, child.was_killed, child.found = True, was_killed, None
        if child.current is not None and child.phase in WORKING and not was_killed:
            self.died.add(child.current.id)

    def verdict_on(self, hand: Hand) -> Settlement:
        execution = (hand.id, hand.fence)
        attempts, policy = hand.job.attempt + 1, RetryPolicy(hand.job.max_retries)
        completed = Settlement.completed(*execution, None)
        if self.is_draining:
            return completed
        fail = self.random.choice([FAILURE, FAILURE, PERMANENT])
        failed = settlement_builders.failed(
            *execution, fail, failed_attempts=attempts, policy=policy, uniform=self.random.uniform
        )
        yielded, back = settlement_builders.yielded(*execution, None), settlement_builders.shut_down(*execution)
        waiting = [
            settlement_builders.put_off(*execution, None, seconds=5.0),
            settlement_builders.suspended(*execution, None, seconds=None),
        ]
        return self.random.choice([*[completed, completed, failed, failed, yielded, back] * 3, *waiting])


def returned(row: HeldRow) -> Settlement:
    return settlement_builders.returned(row.id, row.fence, cause="")
