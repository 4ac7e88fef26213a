"""Command that requeues the dead letters of a filter."""

from scheduling.bulk.commands import BulkCommand
from scheduling.models import BulkOperation


class Command(BulkCommand):
    help = "Requeue all dead letters of a filter that were not requeued yet, as new jobs; an empty filter matches all."
    operation = BulkOperation.Operation.REQUEUE
    condition = "requeued:no"
    takes_patch = True
