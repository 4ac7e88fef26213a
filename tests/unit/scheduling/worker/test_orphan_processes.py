"""The end of processes that jobs leave behind."""

from __future__ import annotations

import subprocess
from uuid import UUID

import pytest

from scheduling.execution.logs.job_log import JobLogWriter
from scheduling.worker.orphan_processes import end_processes_of_job


@pytest.mark.process
def test_process_that_adopts_no_orphans_ends_none_of_its_children() -> None:
    nil = UUID(int=0)
    log = JobLogWriter(tenant_id=nil, job_id=nil, execution_id=nil, attempt=1)
    with subprocess.Popen(["sleep", "60"]) as child:
        end_processes_of_job(log)
        assert child.poll() is None
        child.kill()
