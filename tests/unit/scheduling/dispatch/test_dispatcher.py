"""The dispatcher's loop with unavailable servers; time passes only while the loop waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from uuid import UUID

import pytest
from django.db import DataError, IntegrityError, InternalError, OperationalError, ProgrammingError

from scheduling import signals
from scheduling.dispatch import duties
from scheduling.dispatch import loop as module
from scheduling.dispatch.broker import DispatchSignals
from scheduling.dispatch.claim import NextTickTrigger
from scheduling.dispatch.duties import Duty
from scheduling.dispatch.loop import DispatchLoop
from scheduling.dispatch.take_back import TakenBack
from scheduling.dispatch.tick import TickResult
from scheduling.exceptions import BrokerUnavailableError
from tenants.transactions import ConnectionLostError

POOL, OTHER = 1, 2
FILLED, ENDED = DispatchSignals(filled=frozenset({"q"})), DispatchSignals(queues=frozenset({"q"}))
ANNOUNCED = DispatchSignals(queues=frozenset({"q"}), endings=(UUID(int=9),))
ENDED_AS_ANNOUNCED = DispatchSignals(ended=frozenset({"q"}))
EVERYTHING = DispatchSignals(is_everything=True)


class World:
    """Clock, broker and database of the loop, and a record of its actions with their times."""

    def __init__(self, stopped: threading.Event, until: float) -> None:
        self.now = 1_000.0
        self._until = self.now + until
        self._began = self.now
        self._stopped = stopped
        self.done: list[tuple[float, str]] = []
        self.turned_at: list[float] = []
        self.is_broker_away: Callable[[float], bool] = lambda _: False
        self.is_database_away: Callable[[float], bool] = lambda _: False
        self.is_deadlocked: Callable[[float], bool] = lambda _: False
        self.statement_error: type[Exception] = OperationalError
        # Pools whose ticks fail, with the error, until their bad rows are set aside.
        self.failing: dict[int, Exception] = {}
        self.dispatched: Callable[[float], int] = lambda _: 0
        self.unpublished: Callable[[float], int] = lambda _: 0
        self.is_epoch_new: Callable[[float], bool] = lambda _: False
        # Length of the broker's outage so far, at each probe that failed.
        self.outages: list[float] = []
        # Messages of executions that no worker has started.
        self.unstarted = 0
        self.wakes_at: float | None = None
        self.endings: list[UUID] = []
        self.news = EVERYTHING
        self.types_looked_at: list[float] = []
        self.pools = [POOL]
        self.has_woken_others: Callable[[int, float], bool] = lambda _, at: False
        self.is_led_by_another: Callable[[World], bool] = lambda _: False
        self.awaited: Callable[[float], NextTickTrigger | None] = lambda _: NextTickTrigger.EITHER
        self.has_held: Callable[[float], bool] = lambda _: False
        self.has_more: Callable[[float], bool] = lambda _: False
        self.cut: list[UUID] = []

    @property
    def elapsed(self) -> float:
        return round(self.now - self._began, 3)

    def turn(self) -> None:
        self.turned_at.append(self.elapsed)

    def times(self, what: str) -> list[float]:
        return [at for at, done in self.done if done == what]

    def wait_for_wake(self, seconds: float) -> bool:
        if self.wakes_at is not None and self.elapsed <= self.wakes_at < self.elapsed + seconds:
            self.wait(self.wakes_at - self.elapsed)
            self.wakes_at = None
            return True
        return self.wait(seconds)

    def request_repeated_tick(self, _pool_id: int) -> None:
        self.done.append((self.elapsed, "leave a wake"))

    def wake(self, *_: object) -> None:
        self.done.append((self.elapsed, "wake"))

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        if self.now >= self._until:
            self._stopped.set()
        return False

    def drain_signals(self) -> DispatchSignals:
        taken, self.endings = self.endings, []
        return replace(self.news, endings=(*self.news.endings, *taken))

    def tick(self, pool_id: int, *, ending: Sequence[UUID]) -> TickResult:
        self._ask_database()
        if (error := self.failing.get(pool_id)) is not None:
            self.done.append((self.elapsed, f"failed tick {pool_id}"))
            raise error
        self.done.append((self.elapsed, "tick" if pool_id == POOL else f"tick {pool_id}"))
        self.done.extend((self.elapsed, f"ending {token}") for token in ending)
        return TickResult(
            not self.is_led_by_another(self),
            dispatched=self.dispatched(self.elapsed),
            unpublished=self.unpublished(self.elapsed),
            has_woken_others=self.has_woken_others(pool_id, self.elapsed),
            awaited=self.awaited(self.elapsed),
            has_more=self.has_more(self.elapsed),
            has_held=self.has_held(self.elapsed),
            has_lists=self.has_held(self.elapsed),
        )

    def take_back(self, pool_id: int) -> TakenBack:
        self.done.append((self.elapsed, f"take back {pool_id}"))
        return TakenBack(len(self.cut), [self.cut.pop()] if self.cut else [])

    def set_aside(self, pool_id: int) -> int:
        self.done.append((self.elapsed, f"set aside {pool_id}"))
        self.failing.pop(pool_id, None)
        return 1

    def republish(self, *, is_epoch_new: bool) -> int:
        assert is_epoch_new
        self.done.append((self.elapsed, "republish"))
        return self.unstarted

    def record_broker_outage(self, pool_ids: Sequence[int]) -> None:
        assert pool_ids == self.pools
        self.done.append((self.elapsed, "note"))

    def note_outage(self, since: float, _fault: str) -> None:
        self.outages.append(round(self.now - since, 3))

    def probe_epoch(self) -> bool:
        if self.is_broker_away(self.elapsed):
            raise BrokerUnavailableError
        return self.is_epoch_new(self.elapsed)

    def remove_wrong_types(self, queue_names: Sequence[str]) -> int:
        assert list(queue_names) == ([] if not self.elapsed else ["q", "r"])
        if self.is_broker_away(self.elapsed):
            raise BrokerUnavailableError
        self.types_looked_at.append(self.elapsed)
        return 0

    def broker(self) -> SimpleNamespace:
        return SimpleNamespace(
            wait_for_wake=self.wait_for_wake,
            drain_signals=self.drain_signals,
            DispatchSignals=DispatchSignals,
            request_repeated_tick=self.request_repeated_tick,
            wake_dispatcher=self.wake,
        )

    def _ask_database(self) -> None:
        if self.is_database_away(self.elapsed):
            raise ConnectionLostError
        if self.is_deadlocked(self.elapsed):
            raise self.statement_error


class Stopped(threading.Event):
    """Event whose wait advances the clock."""

    world: World

    def wait(self, timeout: float | None = None) -> bool:
        return self.world.wait(timeout or 0.0)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    """Run the loop for some seconds in a world that the caller configures."""

    def run_for(
        seconds: float,
        *,
        also: Sequence[Duty] = (),
        on_start: Callable[[World], None] | None = None,
        **world_settings: object,
    ) -> World:
        stopped = Stopped()
        world = stopped.world = World(stopped, seconds)
        if on_start is not None:
            on_start(world)
        for name, value in world_settings.items():
            setattr(world, name, value)
        pools = SimpleNamespace(order_by=lambda *_: SimpleNamespace(values_list=lambda *_, **__: world.pools))
        queues = SimpleNamespace(order_by=lambda: SimpleNamespace(values_list=lambda *_: [("q", POOL), ("r", OTHER)]))
        monkeypatch.setattr(module, "WorkerPool", SimpleNamespace(objects=pools))
        monkeypatch.setattr(module, "Queue", SimpleNamespace(objects=queues))
        monkeypatch.setattr(module, "connection", SimpleNamespace(connection=None, close=lambda: None))
        monkeypatch.setattr(module, "run_tick", world.tick)
        monkeypatch.setattr(module, "take_back_held", world.take_back)
        monkeypatch.setattr(module, "quarantine_rejected", world.set_aside)
        monkeypatch.setattr(module, "republish_unstarted", world.republish)
        monkeypatch.setattr(module, "record_broker_outage", world.record_broker_outage)
        monkeypatch.setattr(module, "broker", world.broker())
        probes = SimpleNamespace(is_epoch_new=world.probe_epoch, note_outage=world.note_outage)
        monkeypatch.setattr(module, "broker_probes", probes)
        monkeypatch.setattr(module, "remove_wrong_types", world.remove_wrong_types)
        for part in (module, duties):
            monkeypatch.setattr(part, "time", SimpleNamespace(monotonic=lambda: world.now))
        DispatchLoop(stopped, also, world.turn).run()
        return world

    return run_for


def test_pool_is_ticked_at_least_every_quarter_of_a_second(run: Callable[..., World]) -> None:
    assert run(1.0).times("tick") == [0.0, 0.25, 0.5, 0.75]


def test_ticks_resume_within_two_seconds_after_database_outage(run: Callable[..., World]) -> None:
    world = run(40.0, is_database_away=lambda at: 12.0 <= at < 20.0)
    assert not world.times("tick") or max(at for at in world.times("tick") if at < 20) < 12.0
    back = min(at for at in world.times("tick") if at >= 20.0)
    assert back <= 22.0


@pytest.mark.parametrize("fault", ["none", "is_database_away", "is_deadlocked", "is_broker_away"])
def test_loop_turns_during_outages_of_database_and_broker(run: Callable[..., World], fault: str) -> None:
    world = run(30.0, **({} if fault == "none" else {fault: lambda at: at > 1.0}))
    assert max(after - before for before, after in pairwise([*world.turned_at, 30.0])) <= 2.5


def test_turn_is_marked_before_each_duty(run: Callable[..., World]) -> None:
    turns: list[int] = []
    world: list[World] = []

    def note() -> None:
        turns.append(len(world[0].turned_at))

    run(0.1, on_start=world.append, also=[Duty("one", lambda: 1.0, note), Duty("other", lambda: 1.0, note)])
    assert turns[1] == turns[0] + 1


def test_deadlock_skips_one_round(run: Callable[..., World]) -> None:
    world = run(14.0, is_deadlocked=lambda at: at == 10.5)
    assert 10.6 in world.times("tick")


@pytest.mark.parametrize("error", [DataError(), IntegrityError(), OperationalError(), ProgrammingError(), ValueError()])
def test_failing_pool_backs_off_and_bad_rows_are_set_aside(
    run: Callable[..., World], error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING", module.__package__):
        world = run(12.0, pools=[POOL, OTHER], failing={POOL: error})
    failed = world.times(f"failed tick {POOL}")
    assert [round(later - at, 1) for at, later in pairwise(failed)] == [0.1, 0.2, 0.4, 0.8]
    assert world.times(f"set aside {POOL}") == failed[-1:]
    assert min(world.times("tick")) > failed[-1]
    # The other pool never waited.
    assert max(later - at for at, later in pairwise(world.times(f"tick {OTHER}"))) <= 0.25
    logged = [record for record in caplog.records if record.message.startswith("dispatcher.")]
    assert [(record.message, getattr(record, "failures", None)) for record in logged] == [
        ("dispatcher.failed", None),
        ("dispatcher.recovered", 5),
    ]


def test_wakes_do_not_shorten_the_backoff_of_a_failing_pool(run: Callable[..., World]) -> None:
    world = run(0.9, failing={POOL: DataError()}, is_woken_again=lambda _: True, wakes_at=0.35)
    assert [round(at, 1) for at in world.times(f"failed tick {POOL}")] == [0.0, 0.1, 0.3, 0.7]


def test_failure_without_bad_rows_is_searched_again_and_stops_nothing(
    run: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(World, "set_aside", lambda world, pool_id: world.done.append((world.elapsed, "looked")))
    duties_done: list[str] = []
    world = run(20.0, failing={POOL: DataError()}, also=[Duty("one", lambda: 1.0, lambda: duties_done.append("one"))])
    assert len(world.times("looked")) == 2
    assert len(duties_done) >= 16


def test_broker_outage_stops_claims_until_hints_are_republished(
    run: Callable[..., World],
) -> None:
    world = run(10.0, is_broker_away=lambda at: 2.0 <= at < 6.0)
    assert [at for at in world.times("tick") if 2.0 <= at < 6.0] == []
    assert world.times("republish") == [6.0]
    # Repeated each second, so that the state does not expire.
    assert world.times("note") == [2.0, 3.0, 4.0, 5.0]
    assert world.outages == [0.0, 1.0, 2.0, 3.0]
    assert min(at for at in world.times("tick") if at >= 6.0) == 6.0


def test_emptied_broker_triggers_republishing_at_once(run: Callable[..., World]) -> None:
    assert run(5.0, is_epoch_new=lambda at: at == 3.0).times("republish") == [3.0]


@pytest.mark.parametrize("unstarted", [0, 3])
def test_empty_broker_is_reported_only_if_it_has_lost_messages(run: Callable[..., World], unstarted: int) -> None:
    reported: list[object] = []

    def note(sender: object, **_: object) -> None:
        reported.append(sender)

    signals.broker_emptied.connect(note)
    try:
        run(2.0, is_epoch_new=lambda at: at == 0.0, unstarted=unstarted)
    finally:
        signals.broker_emptied.disconnect(note)
    assert len(reported) == int(unstarted > 0)


def test_types_of_broker_keys_are_checked_every_second(run: Callable[..., World]) -> None:
    assert run(3.5).types_looked_at == [0.0, 1.0, 2.0, 3.0]


def test_pool_with_unpublished_hints_stops_claiming_until_a_probe_succeeds(run: Callable[..., World]) -> None:
    world = run(4.0, unpublished=lambda at: int(at == 1.25))
    assert [at for at in world.times("tick") if 1.25 < at < 2.25] == []
    assert world.times("republish") == [2.25]
    assert 2.25 in world.times("tick")


def test_failing_duty_is_repeated_and_stops_nothing(run: Callable[..., World]) -> None:
    tries: list[str] = []

    def fail() -> None:
        tries.append("try")
        raise ValueError("broken")

    world = run(2.0, also=[Duty("broken", lambda: 1.0, fail)])
    assert len(tries) == 2
    assert len(world.times("tick")) == 8


def test_wake_for_another_leader_is_stored_and_the_lock_retried(
    run: Callable[..., World],
) -> None:
    world = run(0.4, wakes_at=0.1, is_led_by_another=lambda _: True)
    assert world.done == [
        (0.0, "tick"),
        (0.1, "tick"),
        (0.1, "leave a wake"),
        (0.1, "tick"),
        (0.35, "tick"),
    ]


def test_wake_is_served_here_if_the_other_leader_has_just_ended(run: Callable[..., World]) -> None:
    def leads_until_the_wake_is_left(world: World) -> bool:
        return not world.times("leave a wake")

    world = run(0.3, wakes_at=0.1, is_led_by_another=leads_until_the_wake_is_left)
    assert world.times("tick") == [0.0, 0.1, 0.1]


def test_round_without_wake_stores_no_wake(run: Callable[..., World]) -> None:
    assert run(1.0, is_led_by_another=lambda _: True).times("leave a wake") == []


def test_wake_outlives_a_failed_round(run: Callable[..., World]) -> None:
    world = run(0.5, wakes_at=0.1, is_deadlocked=lambda at: at == 0.1, is_led_by_another=lambda _: True)
    assert world.times("leave a wake") == [0.2]


def test_stopping_dispatcher_republishes_the_wake_it_has_taken(run: Callable[..., World]) -> None:
    assert run(0.1, wakes_at=0.1).times("wake") == [0.1]


def test_internal_error_of_the_database_skips_one_round(run: Callable[..., World]) -> None:
    world = run(3.0, is_deadlocked=lambda at: at < 0.2, statement_error=InternalError)
    assert world.times("tick")


def test_announced_end_is_passed_to_the_woken_tick_only(run: Callable[..., World]) -> None:
    token = UUID(int=7)
    world = run(0.6, wakes_at=0.1, endings=[token])
    assert world.times(f"ending {token}") == [0.1]
    assert world.times("tick") == [0.0, 0.1, 0.35]


@pytest.mark.parametrize(
    ("news", "ticked"),
    [
        (EVERYTHING, ["tick", "tick 2"]),
        # Another dispatcher has taken the message that it was about.
        (DispatchSignals(), []),
        (DispatchSignals(queues=frozenset({"r"})), ["tick 2"]),
        (DispatchSignals(filled=frozenset({"r"})), ["tick 2"]),
        (DispatchSignals(ended=frozenset({"r"})), ["tick 2"]),
        (DispatchSignals(queues=frozenset({"q"}), filled=frozenset({"r"})), ["tick", "tick 2"]),
        (DispatchSignals(queues=frozenset({"of a stranger"})), ["tick", "tick 2"]),
        (DispatchSignals(filled=frozenset({"of a stranger"})), ["tick", "tick 2"]),
    ],
)
def test_wake_ticks_the_pools_of_its_queues(
    run: Callable[..., World], news: DispatchSignals, ticked: list[str]
) -> None:
    world = run(0.2, wakes_at=0.1, news=news, pools=[POOL, OTHER])
    assert [what for at, what in world.done if at == 0.1] == ticked


def test_pool_without_wakes_keeps_its_tick_interval(run: Callable[..., World]) -> None:
    """Frequent wakes of other pools do not delay it."""

    def wake_again(world: World) -> None:
        wait = world.wait_for_wake

        def woken_each_tenth(seconds: float) -> bool:
            wait(min(seconds, 0.1))
            return True

        world.wait_for_wake = woken_each_tenth  # type: ignore[method-assign]

    world = run(1.0, on_start=wake_again, news=DispatchSignals(queues=frozenset({"q"})), pools=[POOL, OTHER])
    ticks = world.times("tick 2")
    assert ticks[0] == 0.0
    assert max(after - before for before, after in zip(ticks, [*ticks[1:], 1.0], strict=True)) <= 0.3
    assert len(ticks) < len(world.times("tick"))


def test_submissions_in_quick_succession_share_a_tick(run: Callable[..., World]) -> None:
    """Every other message is served at once."""
    assert run(0.2, on_start=in_turn((0.1, FILLED))).times("tick") == [0.0, 0.1]
    busy = in_turn((0.1, FILLED), (0.105, FILLED), (0.11, FILLED), (0.113, ENDED), (0.13, FILLED), (0.135, FILLED))
    # The tick for the freed slot has read them, too.
    assert run(0.2, on_start=busy).times("tick") == [0.0, 0.1, 0.113, 0.143]


def test_ends_share_a_tick_with_submissions_if_slots_are_free(run: Callable[..., World]) -> None:
    wakes = in_turn((0.1, FILLED), (0.105, ENDED), (0.11, FILLED), (0.17, ENDED))
    # An end long after the last submission is served at once.
    assert run(0.2, on_start=wakes, awaited=lambda _: NextTickTrigger.JOBS).times("tick") == [0.0, 0.1, 0.13, 0.17]


def test_ends_precede_submissions_if_every_slot_is_taken(run: Callable[..., World]) -> None:
    wakes = in_turn((0.1, FILLED), (0.11, FILLED), (0.115, ENDED), (0.12, FILLED), (0.14, FILLED))
    world = run(0.25, on_start=wakes, awaited=lambda _: NextTickTrigger.ENDS)
    # The tick for the end has read the jobs, too.
    assert world.times("tick") == [0.0, 0.1, 0.115, 0.215]


def test_submissions_are_served_sooner_if_lists_are_in_the_slots(run: Callable[..., World]) -> None:
    wakes = in_turn((0.1, FILLED), (0.102, FILLED), (0.103, FILLED), (0.12, FILLED))
    world = run(0.2, on_start=wakes, awaited=lambda _: NextTickTrigger.ENDS, has_held=lambda _: True)
    assert world.times("tick") == [0.0, 0.1, 0.105, 0.12]


def test_last_tick_of_a_pool_with_waiting_lists_takes_back(run: Callable[..., World]) -> None:
    more = iter([False, False, True])
    world = run(0.9, has_held=lambda at: at >= 0.25, has_more=lambda _: next(more, False))
    # The third tick is repeated at once.
    assert world.times("tick") == [0.0, 0.25, 0.5, 0.5, 0.75]
    assert world.times("take back 1") == [0.25, 0.5, 0.75]


def test_ends_alone_take_nothing_back(run: Callable[..., World]) -> None:
    wakes = in_turn((0.1, ENDED), (0.12, FILLED), (0.14, ENDED), (0.16, EVERYTHING))
    world = run(0.2, on_start=wakes, awaited=lambda _: NextTickTrigger.ENDS, has_held=lambda at: at > 0)
    assert world.times("tick") == [0.0, 0.1, 0.12, 0.14, 0.16]
    # The first look is due anyway.
    assert world.times("take back 1") == [0.1, 0.12, 0.16]


def test_slot_of_a_list_that_was_cut_is_claimed_by_the_next_tick(run: Callable[..., World]) -> None:
    token = UUID(int=7)
    wakes = in_turn((0.12, ENDED))
    world = run(0.2, on_start=wakes, has_held=lambda _: True, cut=[token])
    assert world.times(f"ending {token}") == [0.12]


def test_announced_end_is_folded_by_a_later_tick_if_its_slot_has_the_next_message(run: Callable[..., World]) -> None:
    """The tick for the announcement dispatched a message and left no slot free, so the end lets nothing start."""
    full = {"awaited": lambda _: NextTickTrigger.ENDS, "dispatched": lambda _: 1}
    wakes = in_turn((0.1, ANNOUNCED), (0.11, ENDED_AS_ANNOUNCED))
    assert run(0.2, on_start=wakes, **full).times("tick") == [0.0, 0.1, 0.14]
    wakes = in_turn((0.1, ANNOUNCED), (0.11, ENDED_AS_ANNOUNCED), (0.12, ANNOUNCED))
    assert run(0.2, on_start=wakes, **full).times("tick") == [0.0, 0.1, 0.12]


@pytest.mark.parametrize(
    ("awaited", "dispatched"),
    [(NextTickTrigger.ENDS, 0), (NextTickTrigger.EITHER, 1), (NextTickTrigger.JOBS, 1)],
    ids=["a cap kept the slot", "no job was left", "slots are free"],
)
def test_announced_end_is_served_at_once_if_its_slot_was_not_used(
    run: Callable[..., World], awaited: NextTickTrigger, dispatched: int
) -> None:
    wakes = in_turn((0.1, ANNOUNCED), (0.11, ENDED_AS_ANNOUNCED))
    world = run(0.2, on_start=wakes, awaited=lambda _: awaited, dispatched=lambda _: dispatched)
    assert world.times("tick") == [0.0, 0.1, 0.11]


def test_end_without_waiting_jobs_resets_what_the_pool_awaits(run: Callable[..., World]) -> None:
    wakes = in_turn((0.1, FILLED), (0.11, ENDED), (0.115, FILLED))
    world = run(0.2, on_start=wakes, awaited=lambda at: NextTickTrigger.ENDS if at < 0.11 else None)
    assert world.times("tick") == [0.0, 0.1, 0.11, 0.13]


def test_announced_end_is_passed_to_the_delayed_tick(run: Callable[..., World]) -> None:
    token = UUID(int=7)

    def begin(world: World) -> None:
        in_turn((0.1, FILLED), (0.105, ENDED))(world)
        take = world.drain_signals

        def drain_signals() -> DispatchSignals:
            world.endings = [token] if world.elapsed == 0.105 else []
            return take()

        world.drain_signals = drain_signals  # type: ignore[method-assign]

    world = run(0.5, on_start=begin, awaited=lambda _: NextTickTrigger.JOBS)
    assert world.times("tick")[:3] == [0.0, 0.1, 0.13]
    assert world.times(f"ending {token}") == [0.13]


def test_wake_for_all_pools_is_served_at_once(run: Callable[..., World]) -> None:
    for awaited in NextTickTrigger:
        wakes = in_turn((0.1, FILLED), (0.105, EVERYTHING))
        assert run(0.15, on_start=wakes, awaited=lambda _, what=awaited: what).times("tick") == [0.0, 0.1, 0.105]


def test_tick_without_result_keeps_what_the_pool_awaits(run: Callable[..., World]) -> None:
    wakes = in_turn((0.1, FILLED), (0.105, ENDED), (0.14, FILLED), (0.145, ENDED))
    world = run(0.2, on_start=wakes, awaited=lambda at: NextTickTrigger.JOBS if at < 0.11 else None)
    assert world.times("tick") == [0.0, 0.1, 0.13, 0.14, 0.17]


def test_awaited_state_of_pool_led_by_another_is_forgotten(run: Callable[..., World]) -> None:
    wakes = in_turn((0.1, FILLED), (0.14, FILLED), (0.145, ENDED), (0.16, ENDED))
    leads = {"is_led_by_another": lambda world: 0.13 < world.elapsed < 0.15, "awaited": lambda _: NextTickTrigger.JOBS}
    assert run(0.2, on_start=wakes, **leads).times("tick") == [0.0, 0.1, 0.14, 0.14, 0.145, 0.145, 0.16]


def test_delayed_wake_is_stored_for_the_new_leader(run: Callable[..., World]) -> None:
    wakes = in_turn((0.1, FILLED), (0.11, FILLED))
    world = run(0.2, on_start=wakes, is_led_by_another=lambda world: world.elapsed > 0.1)
    assert world.times("leave a wake") == [0.13]
    assert world.times("tick") == [0.0, 0.1, 0.13, 0.13]


def test_stopping_dispatcher_republishes_delayed_wakes(run: Callable[..., World]) -> None:
    assert run(0.115, on_start=in_turn((0.1, FILLED), (0.11, FILLED))).times("wake") != []
    assert run(0.2, on_start=in_turn((0.1, FILLED), (0.11, FILLED))).times("wake") == []


def test_pools_woken_by_a_tick_are_ticked_at_once(run: Callable[..., World]) -> None:
    ticked: list[int] = []

    def has_woken_others(pool_id: int, at: float) -> bool:
        ticked.append(pool_id)
        return at == 0.1 and ticked.count(POOL) == 2

    world = run(
        0.2,
        wakes_at=0.1,
        news=DispatchSignals(queues=frozenset({"q"})),
        pools=[POOL, OTHER],
        has_woken_others=has_woken_others,
    )
    assert [what for at, what in world.done if at == 0.1] == ["tick", "tick", "tick 2"]


def in_turn(*wakes: tuple[float, DispatchSignals]) -> Callable[[World], None]:
    """Return a start hook that wakes the loop at these times, each with its news."""
    left = list(wakes)

    def begin(world: World) -> None:
        def wait_for_wake(seconds: float) -> bool:
            if left and left[0][0] <= world.elapsed + seconds:
                at, world.news = left.pop(0)
                world.wait(max(0.0, at - world.elapsed))
                return True
            return world.wait(seconds)

        world.wait_for_wake = wait_for_wake  # type: ignore[method-assign]

    return begin
