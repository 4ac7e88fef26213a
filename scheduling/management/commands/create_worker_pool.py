"""Command that creates a worker pool."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scheduling.models import MemoryClass, Resource, WorkerPool
from scheduling.topology.service import POOL_FIELDS, create_worker_pool
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = "Create a worker pool; “run_worker --pool NAME” starts a worker of it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="lower-case letters, digits, hyphens and underscores, 40 at most")
        parser.add_argument("--description", help="its machines and queues, in one line")
        parser.add_argument("--region", help="where its workers run, such as eu (default: unknown)")
        parser.add_argument(
            "--memory-mib", type=int, choices=MemoryClass.values, help="memory of each child (default: 1024)"
        )
        parser.add_argument(
            "--resource-class", choices=WorkerPool.ResourceClass.values, help="io runs asynchronous kinds as coroutines"
        )
        parser.add_argument(
            "--offers",
            nargs="+",
            choices=Resource.values,
            help="what its queues and their kinds may need (default: cpu and memory, or io, by the resource class)",
        )
        parser.add_argument("--rate-milli", type=int, help="share of slot time charged, in thousandths (default: 1000)")
        parser.add_argument("--reason", default="", help="kept in the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        values = {name: options[name] for name in POOL_FIELDS if options[name] is not None}
        pool = create_worker_pool(name=options["name"], values=values, reason=options["reason"])
        facts = {"name": pool.name, **{name: getattr(pool, name) for name in POOL_FIELDS}}
        text = f"Created the worker pool {pool}. Start a worker of it with “run_worker --pool {pool}”."
        self.show(options, facts, text)
