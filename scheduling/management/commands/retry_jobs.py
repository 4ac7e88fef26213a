"""Command that retries the jobs of a filter."""

from scheduling.bulk.commands import BulkCommand
from scheduling.models import BulkOperation


class Command(BulkCommand):
    help = "Retry all jobs of a filter: at once if they are backing off, as new jobs if they ended without success."
    operation = BulkOperation.Operation.RETRY
    takes_patch = True
