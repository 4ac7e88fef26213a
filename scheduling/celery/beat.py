"""Celery beat with a heartbeat, so that a missing or stuck beat process is visible."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from celery.beat import ScheduleEntry, Service
from celery.signals import beat_init
from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, InterfaceError, close_old_connections, connection
from django_celery_beat.schedulers import DatabaseScheduler

from scheduling.conf import PROCESSOR_INVALID, SCHEMA_INVALID
from scheduling.fleet.processes import ProcessPulse
from scheduling.models import ProcessHeartbeat
from scheduling.worker.process_state import CONNECTION_ERRORS
from scheduling.worker.watchdog import Watchdog
from tenants.database.platform_settings import platform_settings
from tenants.startup_checks import StartupCheckError, run_startup_checks

logger = logging.getLogger(__name__)


class BeatingScheduler(DatabaseScheduler):
    """A database scheduler of Celery beat that survives a database outage and records a heartbeat."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._known: dict[str, ScheduleEntry] | None = None
        self._unsaved: dict[str, ScheduleEntry] = {}
        self._is_outdated = False
        self._pulse = ProcessPulse(ProcessHeartbeat.Role.BEAT)
        self._next_beat = 0.0
        self._turn: Callable[[], None] = lambda: None
        # Celery creates a second, lazy instance for its banner; it reads nothing.
        if not kwargs.get("lazy"):
            _require_fit_start()
        super().__init__(*args, **kwargs)

    def watch(self) -> None:
        """Start a watchdog that ends the process if the schedule is no longer polled."""
        self._turn = Watchdog(ProcessHeartbeat.Role.BEAT).add("beat").turn

    def all_as_schedule(self) -> dict[str, ScheduleEntry]:
        """Return the schedule's entries from the database; while it is unavailable, those read last."""
        try:
            self._known = self._with_unsaved_runs(super().all_as_schedule())
            self._is_outdated = False
        except CONNECTION_ERRORS:
            if self._known is None:
                raise
            logger.warning("beat.database_away", exc_info=True)
            connection.close()
            self._is_outdated = True
        return self._known

    def reserve(self, entry: ScheduleEntry) -> ScheduleEntry:
        """Return the entry after its next run; a schedule that cannot be read again continues from it."""
        following: ScheduleEntry = next(entry)
        self._unsaved[following.name] = following
        if self._known is not None:
            self._known[following.name] = following
        return following

    def sync(self) -> None:
        """Store the last runs. Those that cannot be stored now are stored later; the base class would forget them."""
        close_old_connections()
        try:
            for name, entry in list(self._unsaved.items()):
                with suppress(ObjectDoesNotExist):
                    entry.save()
                del self._unsaved[name]
        except (DatabaseError, InterfaceError):
            logger.warning("beat.database_away", exc_info=True)
            connection.close()

    def _with_unsaved_runs(self, entries: dict[str, ScheduleEntry]) -> dict[str, ScheduleEntry]:
        """Return the entries as read, each with its last run if that is not stored yet."""
        for name in self._unsaved.keys() & entries.keys():
            entry, run = entries[name], self._unsaved[name]
            entry.last_run_at = entry.model.last_run_at = run.last_run_at
            entry.total_run_count = entry.model.total_run_count = run.total_run_count
            self._unsaved[name] = entry
        return entries

    def schedule_changed(self) -> bool:
        """Return whether beat must read the entries again: they have changed, or the last read failed."""
        return bool(super().schedule_changed()) or self._is_outdated

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send the tasks that are due, and record a heartbeat whether or not sending succeeds."""
        self._turn()
        now = time.monotonic()
        if now >= self._next_beat:
            self._next_beat = now + platform_settings.HEARTBEAT_SECONDS
            try:
                self._pulse.beat()
            except (DatabaseError, InterfaceError):
                logger.warning("beat.database_away", exc_info=True)
                connection.close()
        return float(super().tick(*args, **kwargs))


@beat_init.connect(dispatch_uid="scheduling.celery.beat.watch")
def _watch(sender: Service, **_: object) -> None:
    if isinstance(sender.scheduler, BeatingScheduler):
        sender.scheduler.watch()


def _require_fit_start() -> None:
    try:
        run_startup_checks(ignored={PROCESSOR_INVALID, SCHEMA_INVALID})
    except StartupCheckError as error:
        raise SystemExit(str(error)) from error
