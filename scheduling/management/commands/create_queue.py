"""Command that creates a queue."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scheduling.models import Resource
from scheduling.topology.service import QUEUE_FIELDS, create_queue
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = "Create a queue in a worker pool; its running workers consume it from their next heartbeat on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="lower-case letters, digits, hyphens and underscores, 60 at most")
        parser.add_argument("--pool", required=True, help="worker pool that consumes it")
        parser.add_argument("--description", help="its purpose, in one line")
        parser.add_argument("--weight", type=int, help="share of the pool beside its other queues (default: 1)")
        parser.add_argument("--cap", type=int, help="maximum number of messages in flight (default: no cap)")
        parser.add_argument(
            "--dispatches-per-minute", type=int, help="maximum number of dispatched jobs a minute (default: no limit)"
        )
        parser.add_argument(
            "--dispatch-burst", type=int, help="maximum burst of dispatched jobs (default: the jobs of one second)"
        )
        parser.add_argument(
            "--needs",
            nargs="+",
            choices=Resource.values,
            help="what the pool must offer (default: the pool's resource class)",
        )
        parser.add_argument(
            "--expected-seconds", type=float, help="assumed cost of a kind that has not run yet (default: 1)"
        )
        parser.add_argument("--reason", default="", help="kept in the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        values = {name: options[name] for name in QUEUE_FIELDS if options[name] is not None}
        queue = create_queue(name=options["name"], pool=options["pool"], values=values, reason=options["reason"])
        facts = {"name": queue.name, "pool": queue.pool.name, **{name: getattr(queue, name) for name in QUEUE_FIELDS}}
        text = f"Created the queue {queue} in the pool {queue.pool}. Route jobs to it by a routing rule or a tier row."
        self.show(options, facts, text)
