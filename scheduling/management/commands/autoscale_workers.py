"""Command that scales the workers of a pool on this machine to its work."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from argparse import ArgumentParser
from tempfile import TemporaryDirectory
from typing import Any

from django.core.management.base import CommandError
from django.db import connection

from scheduling.fleet.autoscaling import Fleet, ScaleDownDelay, ScaleRule
from scheduling.fleet.serving import ServingCommand
from scheduling.fleet.supervisor import POLL_SECONDS, Service, stop_event
from scheduling.models import WorkerPool
from scheduling.observability.exporter import export_counters
from scheduling.observability.metrics import MULTIPROCESS_VARIABLE
from scheduling.observability.pool_load import read_pool_load
from scheduling.worker.process_state import CONNECTION_ERRORS
from tenants.checks import DATABASE_AWAY
from tenants.context import acting_as, command_actor
from tenants.management.arguments import positive

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0


class Command(ServingCommand):
    # While the database is unavailable the number of workers is unchanged.
    bears = frozenset({DATABASE_AWAY})
    help = (
        "Run between --min and --max workers of a pool on this machine, by the predicted slot time of "
        "the ready jobs. Surplus workers are drained and exit when their jobs have ended. SIGTERM and "
        "Ctrl-C stop all workers gracefully."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--pool", required=True, help="worker pool whose queues are served")
        parser.add_argument("--min", type=int, default=1, help="minimum number of workers (default: %(default)s)")
        parser.add_argument("--max", type=positive, required=True, help="maximum number of workers")
        parser.add_argument("--slots", type=positive, default=1, help="slots of each worker (default: %(default)s)")
        parser.add_argument(
            "--target-seconds",
            type=float,
            default=30.0,
            help="target time for the completion of ready jobs (default: %(default)s)",
        )
        parser.add_argument(
            "--patience-seconds",
            type=float,
            default=60.0,
            help="stop workers once fewer would have been enough for this time (default: %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            rule = ScaleRule(
                options["min"],
                options["max"],
                options["slots"],
                options["target_seconds"],
                options["patience_seconds"],
            )
        except ValueError as error:
            raise CommandError(str(error)) from error
        pool = options["pool"]
        if not WorkerPool.objects.filter(name=pool).exists():
            known = ", ".join(WorkerPool.objects.order_by("name").values_list("name", flat=True))
            raise CommandError(f"There is no worker pool {pool!r}; there are: {known}.")
        stopped = stop_event()
        with TemporaryDirectory(prefix="jobsplatform-metrics-") as shared:
            # This process serves the metrics of all its workers, which cannot share one port.
            os.environ.setdefault(MULTIPROCESS_VARIABLE, shared)
            export_counters()
            fleet = Fleet(lambda number: _worker(pool, rule.slots, number), pool_name=pool)
            try:
                self._serve(fleet, rule, pool, stopped)
            finally:
                fleet.stop()
                connection.close()

    def _serve(self, fleet: Fleet, rule: ScaleRule, pool: str, stopped: threading.Event) -> None:
        patience = ScaleDownDelay(rule.patience_seconds)
        look_at = 0.0
        while not stopped.is_set():
            fleet.tend()
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + LOOK_SECONDS
                try:
                    _look(fleet, rule, patience, pool)
                except CONNECTION_ERRORS:
                    logger.warning("autoscaler.database_away", exc_info=True)
                    connection.close()
            stopped.wait(POLL_SECONDS)


def _look(fleet: Fleet, rule: ScaleRule, patience: ScaleDownDelay, pool: str) -> None:
    load = read_pool_load(pool)
    wanted = rule.wanted(ready_seconds=load.ready_seconds, in_flight=load.in_flight)
    size, settled = fleet.size, patience.settle(wanted, now=time.monotonic())
    if settled == size:
        return
    logger.info(
        "autoscaler.scaling",
        extra={"pool": pool, "before": size, "after": settled, "ready_seconds": round(load.ready_seconds, 3)},
    )
    with acting_as(command_actor("autoscale_workers")):
        fleet.scale_to(settled)


def _worker(pool: str, slots: int, number: int) -> Service:
    arguments = ["run_worker", f"--pool={pool}", f"--slots={slots}", "--exit-when-drained"]
    return Service(f"worker {pool} {number}", [sys.executable, sys.argv[0], *arguments], {"METRICS_PORT": "0"})
