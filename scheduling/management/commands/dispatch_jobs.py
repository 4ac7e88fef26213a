"""Command that runs the dispatcher."""

from __future__ import annotations

import gc
import threading
from typing import Any

from django.core.management.base import CommandError

from scheduling.alerts.sender import SENDING_DUTIES
from scheduling.bulk.runner import BulkRunner
from scheduling.conf import PROCESSOR_INVALID, SCHEMA_INVALID
from scheduling.dispatch.duties import ALERT_DUTIES, SITE_DUTIES, DutyRunner
from scheduling.dispatch.loop import DispatchLoop
from scheduling.fleet.serving import ServingCommand
from scheduling.fleet.supervisor import stop_event
from scheduling.models import ProcessHeartbeat
from scheduling.observability.exporter import export_counters
from scheduling.sites.duty import guard_site
from scheduling.sites.exceptions import SiteUnguardedError
from scheduling.worker.watchdog import Watchdog

# A turn changes a thousand jobs, in statements that may each take as long as the role's statement_timeout.
BULK_PATIENCE = 4.0
# A turn reads many measures, or sends messages to slow servers, each with a time limit of its own.
ALERT_PATIENCE = 4.0


class Command(ServingCommand):
    # It runs no processors: a broken one must not stop dispatching.
    bears = frozenset({PROCESSOR_INVALID, SCHEMA_INVALID})
    help = (
        "Dispatch jobs in fair order until stopped (SIGTERM, Ctrl-C). Any number may run; each tick is run by one of "
        "them."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            guard_site()
        except SiteUnguardedError as error:
            raise CommandError(f"{error.code}: {error.detail}") from error
        export_counters()
        stopped = stop_event()
        # A full collection traverses all loaded objects, which delays some tick by a tenth of a second.
        gc.freeze()
        watchdog = Watchdog(ProcessHeartbeat.Role.DISPATCHER)
        bulk = BulkRunner(stopped, watchdog.add("bulk operations", patience=BULK_PATIENCE).turn)
        duties = DutyRunner(stopped, turn=watchdog.add("duties").turn)
        alerts = DutyRunner(stopped, ALERT_DUTIES, watchdog.add("alerts", patience=ALERT_PATIENCE).turn)
        messages = DutyRunner(stopped, SENDING_DUTIES, watchdog.add("alert messages", patience=ALERT_PATIENCE).turn)
        site = DutyRunner(stopped, SITE_DUTIES, watchdog.add("site").turn)
        threads = [
            threading.Thread(target=bulk.run, name="bulk operations"),
            threading.Thread(target=duties.run, name="duties"),
            threading.Thread(target=alerts.run, name="alerts"),
            threading.Thread(target=messages.run, name="alert messages"),
            threading.Thread(target=site.run, name="site"),
        ]
        for thread in threads:
            thread.start()
        try:
            DispatchLoop(stopped, turn=watchdog.add("dispatcher").turn).run()
        finally:
            watchdog.stop()
            stopped.set()
            for thread in threads:
                thread.join()
