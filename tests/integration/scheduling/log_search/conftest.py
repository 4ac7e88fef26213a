"""Log lines of jobs, indexed or not."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from scheduling.execution.logs.lines import make_line
from scheduling.execution.logs.service import LogWrite, append_job_logs
from scheduling.log_search.segments import index_lines
from scheduling.models import Job
from tenants.database.ids import uuid7
from tenants.encryption.data_keys import forget_keys
from tests.platform_settings import ChangePlatformSettings

type Log = Callable[..., None]


@pytest.fixture
def log() -> Log:
    """Return a function that writes lines of a job as a worker does."""

    def write(job: Job, *messages: str, level: str = "info", **fields: object) -> None:
        lines = [make_line(message, level, fields) for message in messages]
        append_job_logs([LogWrite(job.tenant_id, job.pk, uuid7(), attempt=1, lines=lines)])

    return write


@pytest.fixture
def index() -> Callable[[], int]:
    """Return a function that indexes all lines at once."""
    return lambda: index_lines(most=100_000, settled_after=timedelta(seconds=-1))


@pytest.fixture
def sealing(change_platform_settings: ChangePlatformSettings) -> Iterator[None]:
    """Encrypt tenants' values."""
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[base64.b64encode(b"a" * 32).decode()])
    yield
    forget_keys()
