"""Command that creates a queue."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from scheduling.models import Queue
from scheduling.topology.service import QUEUE_FIELDS, create_queue
from tenants.context import acting_as, command_actor
from tenants.exceptions import DomainError


class Command(BaseCommand):
    help = "Create a queue in a worker pool; its running workers read it from their next heartbeat on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="lower-case letters, digits, hyphens and underscores, 60 at most")
        parser.add_argument("--pool", required=True, help="the worker pool whose workers read it")
        parser.add_argument("--description", help="what it is for, in one line")
        parser.add_argument("--weight", type=int, help="share of the pool beside its other queues (default: 1)")
        parser.add_argument("--cap", type=int, help="messages in flight at most (default: no cap)")
        parser.add_argument("--dispatches-per-minute", type=int, help="jobs handed out at most (default: no rate)")
        parser.add_argument("--dispatch-burst", type=int, help="of them at once (default: those of a second)")
        parser.add_argument("--resource-class", choices=Queue.ResourceClass.values, help="what its jobs use most")
        parser.add_argument("--expected-seconds", type=float, help="cost of a kind that has not run yet (default: 1)")
        parser.add_argument("--reason", default="", help="kept in the audit log")
        parser.add_argument("--json", action="store_true", help="print the queue as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        values = {name: options[name] for name in QUEUE_FIELDS if options[name] is not None}
        try:
            with acting_as(command_actor("create_queue")):
                queue = create_queue(
                    name=options["name"], pool=options["pool"], values=values, reason=options["reason"]
                )
        except DomainError as error:
            raise CommandError(error.detail) from error
        if options["json"]:
            facts = {
                "name": queue.name,
                "pool": queue.pool.name,
                **{name: getattr(queue, name) for name in QUEUE_FIELDS},
            }
            self.stdout.write(json.dumps(facts, ensure_ascii=False))
        else:
            self.stdout.write(
                f"Queue {queue} is in the pool {queue.pool}; a routing rule or tier row sends jobs to it."
            )
