"""Command that runs any bulk operation on the jobs of a filter."""

from __future__ import annotations

from argparse import ArgumentParser

from scheduling.bulk.commands import BulkCommand
from scheduling.bulk.parsing import OF_FILTERS


class Command(BulkCommand):
    help = (
        "Cancel, retry, requeue, discard, re-prioritise or move all jobs of a filter, such as"
        ' `bulk_jobs "state:discarded queue:pipeline age:>1h" requeue --tenant acme --reason "the API is back"`.'
    )
    parameter_names = ("priority", "queue")
    takes_patch = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("operation", choices=OF_FILTERS, help="operation on the jobs")
        parser.add_argument("--priority", type=int, help="for reprioritise")
        parser.add_argument("--queue", help="for move_queue")
