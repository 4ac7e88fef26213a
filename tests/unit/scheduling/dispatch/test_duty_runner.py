"""The loop of the duties with an unavailable database; time passes only while the loop waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest
from django.db import InternalError, OperationalError

from scheduling.dispatch import duties
from scheduling.dispatch.duties import Duty, DutyRunner
from tenants.transactions import ConnectionLostError

LEASE_SECONDS = 10.0


class Stopped(threading.Event):
    """Event whose wait advances the clock, and which is set when the clock reaches ``until``."""

    def __init__(self, until: float) -> None:
        super().__init__()
        self.now = 0.0
        self._until = until

    def wait(self, timeout: float | None = None) -> bool:
        self.now += timeout or 0.0
        if self.now >= self._until:
            self.set()
        return self.is_set()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[float]]:
    """Return a function that runs the loop for some seconds and returns the times of the sweep."""

    def run_for(
        seconds: float, *, fails: Callable[[float], Exception | None] = lambda _: None, also: Sequence[Duty] = ()
    ) -> list[float]:
        stopped, swept = Stopped(seconds), []

        def sweep() -> None:
            if error := fails(stopped.now):
                raise error
            swept.append(round(stopped.now))

        def look() -> None:
            if error := fails(stopped.now):
                raise error

        monkeypatch.setattr(duties, "time", SimpleNamespace(monotonic=lambda: stopped.now))
        monkeypatch.setattr(duties, "connection", SimpleNamespace(connection=None, close=lambda: None))
        monkeypatch.setattr(duties, "platform_settings", SimpleNamespace(LEASE_SECONDS=LEASE_SECONDS))
        roster = [
            Duty("sweep", lambda: 1.0, sweep, waits_for_leases=True),
            Duty("look", lambda: 0.25, look),
            *also,
        ]
        DutyRunner(stopped, roster).run()
        return swept

    return run_for


def test_first_sweep_waits_one_lease_and_then_repeats_each_second(run: Callable[..., list[float]]) -> None:
    assert run(12.6) == [10, 11, 12]


def test_sweep_waits_one_lease_after_an_outage(run: Callable[..., list[float]]) -> None:
    def away(at: float) -> Exception | None:
        return ConnectionLostError() if 12.0 <= at < 20.0 else None

    swept = run(40.0, fails=away)
    # The last failed attempt came before the return, at most one backoff earlier.
    assert min(at for at in swept if at >= 12.0) >= 20.0 + LEASE_SECONDS - duties.MAX_BACK_OFF_SECONDS


@pytest.mark.parametrize("error", [OperationalError, InternalError])
def test_lock_timeout_skips_one_turn_and_delays_no_sweep(
    run: Callable[..., list[float]], error: type[Exception]
) -> None:
    assert run(14.5, fails=lambda at: error() if round(at) == 11 else None) == [10, 12, 13, 14]


def test_failing_duty_is_repeated_and_stops_no_other(run: Callable[..., list[float]]) -> None:
    tries: list[str] = []

    def fail() -> None:
        tries.append("try")
        raise ValueError("broken")

    assert run(12.6, also=[Duty("broken", lambda: 1.0, fail)]) == [10, 11, 12]
    assert len(tries) in {12, 13}
