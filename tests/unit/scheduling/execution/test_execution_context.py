"""What the code of an execution finds in its context."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from scheduling.execution.message import execution_context
from scheduling.kit.runtime import running_tenant


def test_execution_runs_for_its_tenant_until_its_end() -> None:
    ids = {"tenant_id": uuid4(), "job_id": uuid4(), "execution_id": uuid4()}
    started: Any = SimpleNamespace(**ids, kind="x", traceparent="", queue="q", attempt=1)
    with execution_context(started):
        assert running_tenant.get() == started.tenant_id
    assert running_tenant.get() is None
