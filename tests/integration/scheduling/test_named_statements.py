"""Each named SQL statement of the product is planned against the migrated schema."""

from __future__ import annotations

import re
from contextlib import nullcontext
from itertools import count

import pytest
from django.db import connection

from scheduling.conf import BY_INDEX
from scheduling.execution.models import HistoryRow
from tenants.audit.auditor import auditor_login
from tenants.context import all_tenants
from tests.named_sql import named_statements

pytestmark = pytest.mark.django_db

STATEMENTS = named_statements()
PARAMETER = re.compile(r"%\((\w+)\)s|%%")
# Statements that run at every tick or beside ticks. Tables with as many rows as slots, and those that each
# tick empties, may be scanned.
HOT = ("scheduling/dispatch/", "scheduling/bulk/moves.sql:move_")
# Statements that only the auditor's login may run.
OF_THE_AUDITOR = ("tenants/audit/pruning.sql", "tenants/audit/sealing.sql")
GROWING = {
    "scheduling_concurrency_key",
    "scheduling_job",
    "scheduling_job_due",
    "scheduling_job_held",
    "scheduling_job_ready",
    "scheduling_schedulingentity",
    "scheduling_tenant_capacity",
    "scheduling_tenant_kind_cost",
    "scheduling_unique_key",
    "tenants_tenant",
    "tenants_tenantusage",
}
SCANNED = re.compile(r"\bSeq Scan on (\w+)")


def numbered(statement: str) -> str:
    """Return the statement with numbered parameters, as the server receives it."""
    numbers = count(1)
    known: dict[str, int] = {}

    def number_of(match: re.Match[str]) -> str:
        if match[1] is None:
            return "%"
        if match[1] not in known:
            known[match[1]] = next(numbers)
        return f"${known[match[1]]}"

    return PARAMETER.sub(number_of, statement)


def plan_of(statement: str) -> list[str]:
    """Return the lines of the plan for any values."""
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (GENERIC_PLAN) " + numbered(statement))
        return [line for (line,) in cursor.fetchall()]


def test_parameters_are_numbered() -> None:
    assert numbered("SELECT %(a)s, %(b)s, %(a)s LIKE 'x %%'") == "SELECT $1, $2, $1 LIKE 'x %'"


@pytest.mark.parametrize("name", STATEMENTS)
def test_statement_is_valid_in_the_migrated_schema(name: str) -> None:
    login = auditor_login() if name.startswith(OF_THE_AUDITOR) else nullcontext()
    with login, all_tenants():
        assert plan_of(STATEMENTS[name])


@pytest.mark.parametrize("name", [name for name in STATEMENTS if name.startswith(HOT)])
def test_hot_statement_scans_no_table_that_grows(name: str) -> None:
    with all_tenants(BY_INDEX):
        plan = plan_of(STATEMENTS[name])
    assert {table for line in plan for table in SCANNED.findall(line)} & GROWING == set()


def test_ghosts_are_looked_for_in_all_history() -> None:
    statement = STATEMENTS["scheduling/consistency/history.sql:find_ghosts"]
    tables = {model._meta.db_table for model in HistoryRow.__subclasses__()}
    assert {name for name in tables if f"AS name FROM {name}\n" in statement} == tables
