"""Command that runs a worker of a pool."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from scheduling.fleet.serving import ServingCommand
from scheduling.fleet.workers import WorkerPoolNotFoundError, WorkerPoolUnfitError
from scheduling.observability.exporter import export_counters
from scheduling.worker.celery_worker import restart_with_soft_sigterm, run_worker
from scheduling.worker.io.process import MOST_PROCESSES
from tenants.database.platform_settings import platform_settings
from tenants.management.arguments import positive


class Command(ServingCommand):
    help = (
        "Run the jobs of a pool's queues until stopped. On SIGTERM and Ctrl-C, running jobs stop at "
        "their next safe point; those that do not stop in time are returned."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--pool", required=True, help="worker pool whose queues are served")
        parser.add_argument(
            "--slots",
            type=positive,
            help="slots (default: one a processor, as far as the memory of the machine is enough; 100 in an I/O pool)",
        )
        parser.add_argument(
            "--processes",
            type=int,
            choices=range(1, MOST_PROCESSES + 1),
            help="number of processes that share the slots; only for an I/O pool (default: 1)",
        )
        parser.add_argument(
            "--region",
            default=platform_settings.WORKER_REGION,
            help="region of this machine; a pool of another one is refused (default: JOBS_PLATFORM_WORKER_REGION)",
        )
        parser.add_argument(
            "--exit-when-drained",
            action="store_true",
            help="exit with status 0 once the worker is drained and idle, for scaling in; otherwise it waits",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        restart_with_soft_sigterm()
        export_counters()
        try:
            status = run_worker(
                pool_name=options["pool"],
                slots=options["slots"],
                processes=options["processes"],
                exits_when_drained=options["exit_when_drained"],
                region=options["region"],
            )
        except (WorkerPoolNotFoundError, WorkerPoolUnfitError) as error:
            raise CommandError(error.detail) from error
        if status:
            sys.exit(status)
