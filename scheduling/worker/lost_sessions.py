"""The verdict on a job under which its database session ended."""

from __future__ import annotations

from django.db import Error
from psycopg.errors import DiskFull

from scheduling.exceptions import JobLockedError
from scheduling.models import Execution
from scheduling.services import verdicts
from scheduling.services.execution import StartedExecution
from scheduling.services.settlement import Settlement
from tenants.context import tenant_context
from tenants.database.errors import ConnectionLostError

# A job that ends its session itself, or its server, or keeps its transaction open for too long, would run for ever
# without a count.
MOST_UNCOUNTED = 20


def verdict_on_lost_session(started: StartedExecution, error: BaseException) -> Settlement | None:
    """Return the job to its queue without counting an attempt; None if the error is the job's own.

    A job's row that another session has locked at a checkpoint is no error of its own either. So is a session that
    timed out in a transaction: a step of the server's clock ends transactions that have just begun. So is a server
    whose disk is full. The error is the job's own once it was returned MOST_UNCOUNTED times before.
    """
    is_of_server = isinstance(error, (ConnectionLostError, JobLockedError)) or isinstance(error.__cause__, DiskFull)
    if not is_of_server:
        return None
    if count_returns(started) >= MOST_UNCOUNTED:
        return None
    return verdicts.shut_down(started.execution_id, started.fence)


def count_returns(started: StartedExecution) -> int:
    """Count the executions of the job that ended without an attempt; 0 while the database does not answer."""
    try:
        with tenant_context(started.tenant_id):
            return Execution.objects.filter(job_id=started.job_id, outcome=Execution.Outcome.SHUTDOWN).count()
    except Error:
        return 0
