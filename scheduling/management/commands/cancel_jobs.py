"""Command that cancels the jobs of a filter."""

from scheduling.bulk.commands import BulkCommand
from scheduling.models import BulkOperation


class Command(BulkCommand):
    help = "Cancel all jobs of a filter: at once if they wait, at their next safe point if they run."
    operation = BulkOperation.Operation.CANCEL
