"""The periodic tasks ("duties") of a dispatcher, and the thread that runs them on its own connection."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db import connection

from scheduling import signals
from scheduling.alerts.evaluator import Evaluator
from scheduling.anomalies.duty import AnomalyWatch
from scheduling.breakers.state import prune_circuits
from scheduling.conf import FIRE_INTERVAL_SECONDS
from scheduling.dispatch.effects import EffectDuties
from scheduling.dispatch.slices import request_slice_yields
from scheduling.execution.rescue import run_sweep
from scheduling.fleet.announced_kinds import tend_announced_kinds
from scheduling.fleet.processes import ProcessPulse
from scheduling.fleet.queue_consumers import QueueMeasurer
from scheduling.jobs.batches.cancelling import tend_cancellations
from scheduling.jobs.batches.firing import fire_batches
from scheduling.jobs.batches.folding import fold_batches
from scheduling.limits.admission import expire_limits
from scheduling.load.duty import LoadWatch
from scheduling.models import ProcessHeartbeat
from scheduling.plans.due_versions import apply_due_versions
from scheduling.priority_rules.acting import READ_SECONDS, PriorityWatch
from scheduling.schedules.firing import fire_due_schedules
from scheduling.shares.samples import ShareSampler
from scheduling.sites.duty import SiteWatch
from scheduling.statistics.gauges import GaugeSampler
from scheduling.statistics.rollups import TallyFolder
from scheduling.statistics.series import SeriesFolder
from scheduling.stops.drains import note_drained
from scheduling.stops.expiry import expire_due_stops
from scheduling.subscriptions.relay import EventRelayer
from tenants.database.platform_settings import platform_settings
from tenants.transactions import ConnectionLostError, session_errors

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Duty:
    """A task that a dispatcher runs every ``interval_seconds()``.

    ``waits_for_leases``: after an outage it is delayed by the length of a lease.
    """

    name: str
    interval_seconds: Callable[[], float]
    run: Callable[[], object]
    waits_for_leases: bool = False


_measurer = QueueMeasurer()
_sampler = ShareSampler()
_gauges = GaugeSampler()
_folder = TallyFolder()
_series = SeriesFolder()
_relayer = EventRelayer()
_effects = EffectDuties()
alert_evaluator = Evaluator()
_anomalies = AnomalyWatch()
_load = LoadWatch()
_priority = PriorityWatch()
_site = SiteWatch()
_pulse = ProcessPulse(ProcessHeartbeat.Role.DISPATCHER)
# A pause ends at most a second late.
LIFT_SECONDS = 0.5
DRAIN_LOOK_SECONDS = 2.0
STANDING_SECONDS = 1.0
# A version takes effect at most a second late.
VERSION_SECONDS = 0.25
SLICE_LOOK_SECONDS = 1.0
CIRCUIT_LOOK_SECONDS = 5.0
# A worker announces its kinds when it registers; this refreshes the pools' kinds, and records unknown ones.
KINDS_SECONDS = 1.0
# A batch ends, and its waiters continue, at most half a second late.
BATCH_SECONDS = 0.5
CANCEL_SECONDS = 1.0

# Run by the ticking thread, so that the heartbeat shows that ticks continue.
HEARTBEAT = Duty("heartbeat", lambda: platform_settings.HEARTBEAT_SECONDS, _pulse.beat)
DUTIES: tuple[Duty, ...] = (
    Duty("sweep", lambda: platform_settings.SWEEP_SECONDS, run_sweep, waits_for_leases=True),
    Duty("limits", lambda: 1.0, expire_limits),
    Duty("rollups", _folder.interval_seconds, _folder.take_turn),
    Duty("series", _series.interval_seconds, _series.take_turn),
    Duty("batches", lambda: BATCH_SECONDS, fold_batches),
    Duty("completions", lambda: BATCH_SECONDS, fire_batches),
    Duty("cancelled_batches", lambda: CANCEL_SECONDS, tend_cancellations),
    Duty("relay", _relayer.interval_seconds, _relayer.take_turn),
    Duty("outbox", _effects.relay_seconds, _effects.relay),
    Duty("compensations", _effects.compensation_seconds, _effects.compensate),
    Duty("shares", _sampler.interval_seconds, _sampler.take_turn),
    Duty("gauges", _gauges.interval_seconds, _gauges.take_turn),
    Duty("schedules", lambda: FIRE_INTERVAL_SECONDS, fire_due_schedules),
    Duty("standings", lambda: STANDING_SECONDS, _measurer.take_turn),
    Duty("versions", lambda: VERSION_SECONDS, apply_due_versions),
    Duty("lift", lambda: LIFT_SECONDS, expire_due_stops),
    Duty("slices", lambda: SLICE_LOOK_SECONDS, request_slice_yields),
    Duty("circuits", lambda: CIRCUIT_LOOK_SECONDS, prune_circuits),
    Duty("kinds", lambda: KINDS_SECONDS, tend_announced_kinds),
    Duty("drained", lambda: DRAIN_LOOK_SECONDS, note_drained),
)
# Run by a thread of their own: a slow measure delays no other duty.
ALERT_DUTIES: tuple[Duty, ...] = (
    Duty("load", _load.interval_seconds, _load.take_turn),
    Duty("priority", lambda: READ_SECONDS, _priority.take_turn),
    Duty("alerts", alert_evaluator.interval_seconds, alert_evaluator.take_turn),
    Duty("anomalies", _anomalies.interval_seconds, _anomalies.take_turn),
)
# Run by a thread of its own, which may wait for the witness.
SITE_DUTIES: tuple[Duty, ...] = (Duty("site", _site.interval_seconds, _site.take_turn),)


class DutyRoster:
    """The duties of one thread, and when each is due."""

    def __init__(self, duties: Sequence[Duty], turn: Callable[[], None] = lambda: None) -> None:
        self._turn = turn
        self._due_at = dict.fromkeys(duties, 0.0)

    def run_due(self) -> None:
        """Run the duties that are due.

        Raise ConnectionLostError if the connection is lost; log other errors, such as lock time-outs.
        """
        for duty, due_at in self._due_at.items():
            now = time.monotonic()
            if now >= due_at:
                self._run(duty, now)

    def _run(self, duty: Duty, now: float) -> None:
        self._turn()
        is_failed = True
        try:
            with session_errors(connection):
                duty.run()
            is_failed = False
        except ConnectionLostError:
            raise
        except Exception:
            logger.exception("duty.failed", extra={"duty": duty.name})
        finally:
            # The interval is read afterwards: a duty that works in steps may have set its next one.
            self._due_at[duty] = now + duty.interval_seconds()
            seconds = time.monotonic() - now
            signals.duty_ended.send(None, duty=duty.name, seconds=seconds, is_failed=is_failed)

    def postpone_rescue(self, seconds: float) -> None:
        """Delay the rescue, so that workers can first renew the leases that an outage kept them from renewing."""
        for duty in self._due_at:
            if duty.waits_for_leases:
                self._due_at[duty] = time.monotonic() + seconds


# The loop alone delays no duty for longer than this.
LOOK_SECONDS = 0.05
MIN_BACK_OFF_SECONDS = 0.1
MAX_BACK_OFF_SECONDS = 2.0


class DutyRunner:
    """The loop that runs the duties; :meth:`run` returns after the current duty once ``stopped`` is set."""

    def __init__(
        self, stopped: threading.Event, duties: Sequence[Duty] = DUTIES, turn: Callable[[], None] = lambda: None
    ) -> None:
        self._stopped = stopped
        self._turn = turn
        self._duties = DutyRoster(duties, turn)
        self._back_off_seconds = MIN_BACK_OFF_SECONDS

    def run(self) -> None:
        """Run the duties until stopped; while the database is unavailable, wait and reconnect."""
        self._duties.postpone_rescue(platform_settings.LEASE_SECONDS)
        while not self._stopped.is_set():
            self._turn()
            try:
                self._duties.run_due()
                self._back_off_seconds = MIN_BACK_OFF_SECONDS
            except ConnectionLostError:
                logger.warning("duties.database_away", exc_info=True)
                self._reconnect_later()
            self._stopped.wait(LOOK_SECONDS)
        connection.close()

    def _reconnect_later(self) -> None:
        connection.close()
        self._stopped.wait(self._back_off_seconds)
        self._back_off_seconds = min(2 * self._back_off_seconds, MAX_BACK_OFF_SECONDS)
        self._duties.postpone_rescue(platform_settings.LEASE_SECONDS)
