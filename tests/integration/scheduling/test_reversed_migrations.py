"""Migrations whose reversal would lose what cannot be computed again."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.exceptions import IrreversibleError
from django.db.migrations.loader import MigrationLoader

from scheduling.dispatch.tick import run_tick
from scheduling.execution.settlement import Settlement, settle
from scheduling.models import Execution, LiveExecution, WorkerPool
from scheduling.topology.service import update_worker_pool
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import submit

pytestmark = pytest.mark.django_db

RATES = "0005_pool_classes_and_rates"


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("is_settled", [False, True])
def test_rates_of_executions_are_not_dropped(acme: Tenant, pool: WorkerPool, *, is_settled: bool) -> None:
    editor: Any = SimpleNamespace(connection=connection)
    apps = MigrationLoader(connection).project_state([("scheduling", RATES)]).apps
    refuse = import_module(f"scheduling.migrations.{RATES}").refuse_other_rates
    refuse(apps, editor)
    update_worker_pool(pool=pool, changes={"rate_milli": 10})
    submit(acme)
    assert run_tick(pool.pk).dispatched == 1
    if is_settled:
        with all_tenants():
            live = LiveExecution.objects.get()
        settle([Settlement.completed(live.pk, live.fence, None)])
        with all_tenants():
            assert Execution.objects.get().rate_milli == 10
    with pytest.raises(IrreversibleError, match="another rate"):
        refuse(apps, editor)
