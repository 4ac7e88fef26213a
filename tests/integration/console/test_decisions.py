"""Decisions: a tenant's last dispatches with the numbers that decided them."""

from __future__ import annotations

import pytest
from django.db import connection

from scheduling.models import (
    Execution,
)
from scheduling.shares.decisions import DecisionFacts, read_decisions
from tenants.context import all_tenants, tenant_context
from tests.integration.console.conftest import Work
from tests.integration.console.shares import FACTS, dispatched

pytestmark = pytest.mark.django_db


def test_decision_contains_the_numbers_that_decided_it(acme_work: Work, globex_work: Work) -> None:
    with all_tenants():
        dispatched(acme_work, **FACTS)
        [decision] = read_decisions(acme_work.tenant.pk)
    assert decision.job_id == acme_work.failed.pk
    assert (decision.predicted_us, decision.measured_us) == (1_000_000, 2_000_000)
    assert (decision.state, decision.has_job) == (Execution.Outcome.FAILED, True)
    facts = decision.facts
    assert (facts.reason, facts.start_tag, facts.in_flight) == ("least_virtual_time", 5_000_000, 3)
    assert (facts.level, facts.queue_start_tag, facts.key_start_tag) == ("tenant", 1_000_000, 2_000_000)
    assert (facts.runner_up_us, facts.queue_runner_up_us, facts.key_runner_up_us) == (4_000, 7_000, 0)


@pytest.mark.parametrize("reason", ["least_virtual_time", "only_candidate"])
def test_decision_hides_from_a_tenant_whether_others_compete(acme_work: Work, globex_work: Work, reason: str) -> None:
    with tenant_context(acme_work.tenant):
        dispatched(acme_work, **FACTS | {"reason": reason})
        [decision] = read_decisions(acme_work.tenant.pk)
    assert decision.facts == DecisionFacts(in_flight=3)


def test_decisions_are_visible_only_to_their_tenant(acme_work: Work, globex_work: Work) -> None:
    with tenant_context(acme_work.tenant):
        dispatched(acme_work, **FACTS)
        assert len(read_decisions(acme_work.tenant.pk)) == 1
        assert read_decisions(globex_work.tenant.pk) == []


def test_decisions_are_read_by_an_index_of_every_partition(acme_work: Work) -> None:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT bool_and(x.indisvalid), count(*) FROM pg_index x
            WHERE x.indexrelid = 'execution_by_tenant'::regclass OR x.indexrelid IN
                (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'execution_by_tenant'::regclass)
            """
        )
        is_valid, indexes = cursor.fetchone()
        cursor.execute("SELECT count(*) FROM pg_inherits WHERE inhparent = 'scheduling_execution'::regclass")
        partitions = cursor.fetchone()[0]
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(
            "EXPLAIN SELECT id FROM scheduling_execution WHERE tenant_id = %s ORDER BY id DESC LIMIT 500",
            [acme_work.tenant.pk],
        )
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert (is_valid, indexes) == (True, partitions + 1)
    assert "Index Cond: (tenant_id = " in plan, plan
