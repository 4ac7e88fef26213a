"""Groups of many dead letters: found by an index, and only shown letters are read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.db import connection
from psycopg.rows import namedtuple_row

from scheduling.jobs.dead_letters import groups as dead_letter_groups
from scheduling.jobs.dead_letters.groups import count_limit, group_dead_letters
from scheduling.jobs.dead_letters.queries import find_dead_letters
from scheduling.jobs.filters import JobFilter
from scheduling.jobs.planner_hints import force_index_scans
from scheduling.models import DeadLetter
from tenants.context import all_tenants, tenant_context
from tenants.database.prepared import planned_cursor
from tenants.models import Tenant
from tests.databases import connect_as_owner
from tests.integration.scheduling.job_helpers import submit

pytestmark = pytest.mark.django_db(transaction=True)
LETTERS, CAUSES = 12_000, 6
# One probe for each cause of each tenant, and two that find no more.
MOST_PROBED = 2 * CAUSES + 2

_FILL = """
WITH made AS (
    INSERT INTO scheduling_job SELECT (t.r).* FROM (
        SELECT jsonb_populate_record(j, jsonb_build_object('id', uuidv7(), 'state', 'discarded')) AS r
        FROM scheduling_job j, generate_series(1, %(letters)s) AS n WHERE j.id = %(like)s
    ) t RETURNING id, tenant_id, kind
)
INSERT INTO scheduling_deadletter
    (id, tenant_id, job_id, kind, reason, error_type, error_message, error_fingerprint, created_at, requeued_at)
SELECT uuidv7(), tenant_id, id, kind, 'permanent_error', 'ValueError', 'row ' || n || ' is bad',
    lpad(to_hex(n %% %(causes)s), 16, '0'), now(), CASE WHEN n %% 10 = 0 THEN now() END
FROM (SELECT *, row_number() OVER () AS n FROM made) m
"""


@pytest.fixture
def many(transactional_db: None, acme: Tenant, globex: Tenant, django_db_setup: Any) -> None:
    """Store twelve thousand letters of six causes for each of two tenants, a tenth of them requeued."""
    for tenant in (acme, globex):
        (job,) = submit(tenant)
        with all_tenants(), connection.cursor() as cursor:
            cursor.execute(_FILL, {"letters": LETTERS, "causes": CAUSES, "like": job.pk})
    with connect_as_owner(django_db_setup.name) as owner:
        # As autovacuum does; without statistics a plan is a guess.
        owner.execute("ANALYZE scheduling_deadletter")


def scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from scans(child)


def explain(statement: str, parameters: Any) -> list[dict[str, Any]]:
    """Return the nodes of the executed plan that read dead letters."""
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + statement, parameters)
        (answer,) = cursor.fetchone()
    root = (json.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"]
    return [
        scan
        for scan in scans(root)
        if scan.get("Relation Name") == "scheduling_deadletter" or scan["Node Type"] == "Bitmap Index Scan"
    ]


def indexes_of(found: list[dict[str, Any]]) -> set[str]:
    """Return the indexes that are used; a bitmap names its own beneath it."""
    return {scan.get("Index Name", scan["Node Type"]) for scan in found} - {"Bitmap Heap Scan"}


def scopes(acme: Tenant) -> list[AbstractContextManager[None]]:
    return [tenant_context(acme), all_tenants()]


def test_groups_are_found_by_index_for_a_tenant_and_for_all(acme: Tenant, many: None) -> None:
    for scope, tenant_id in zip(scopes(acme), (acme.pk, None), strict=True):
        with scope, planned_cursor(namedtuple_row) as cursor:
            cursor.execute(dead_letter_groups._PARTS, {"tenant_id": tenant_id, "parts": 100})
            parts = cursor.fetchall()
            probes = explain(dead_letter_groups._PARTS, {"tenant_id": tenant_id, "parts": 100})
            columns = dead_letter_groups._columns(parts) | dead_letter_groups._ranges(None, None)
            with force_index_scans():
                described = explain(dead_letter_groups._DESCRIBED, columns | {"counted": 500})
        assert len(parts) == CAUSES * (2 if tenant_id is None else 1)
        assert indexes_of(probes) == {"dead_letter_group"}, probes
        assert sum(scan["Actual Rows"] * scan["Actual Loops"] for scan in probes) <= MOST_PROBED
        assert indexes_of(described) == {"dead_letter_group"}, described
        # The two ends of each cause are one row each, read by a probe.
        ends = [scan for scan in described if scan["Node Type"] == "Index Scan"]
        assert [scan["Actual Rows"] for scan in ends] == [1, 1]
        assert [scan.get("Rows Removed by Filter", 0) for scan in ends] == [0, 0]


@pytest.mark.parametrize(("parts", "counted"), [(0, 10_000), (1, 10_000), (10, 10_000), (100, 1_000), (2_000, 100)])
def test_counts_of_all_causes_are_within_a_budget(parts: int, counted: int) -> None:
    assert count_limit(parts) == counted


def test_counts_are_capped_and_the_first_and_last_are_exact(
    acme: Tenant, many: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tenant_context(acme):
        waiting = DeadLetter.objects.filter(requeued_at__isnull=True)
        exact = {
            fingerprint: (waiting.filter(error_fingerprint=fingerprint).count())
            for fingerprint in {f"{n:016x}" for n in range(CAUSES)}
        }
        groups = group_dead_letters().groups
        assert {group.fingerprint: group.count.value for group in groups} == exact
        newest = waiting.filter(error_fingerprint=groups[0].fingerprint).latest("id")
        assert (groups[0].last_id, groups[0].job_id, groups[0].pattern) == (newest.pk, newest.job_id, "row # is bad")
        monkeypatch.setattr(dead_letter_groups, "COUNT_LIMIT", 100)
        capped = group_dead_letters().groups[0].count
    assert (capped.value, capped.is_capped) == (100, True)


def test_next_letters_of_a_cause_are_found_by_an_index(acme: Tenant, many: None) -> None:
    cause = JobFilter.of(kind="noop", fingerprint=f"{1:016x}", requeued="no")
    with tenant_context(acme):
        rows = find_dead_letters(cause).order_by("id")
        first = list(rows.values_list("id", flat=True)[:10])
        statement, parameters = rows.filter(id__gt=first[-1])[:10].query.sql_with_params()
        found = explain(str(statement), parameters)
    assert indexes_of(found) <= {"dead_letter_group", "dead_letter_by_fingerprint"}
    assert len(first) == 10


def test_groups_beyond_the_limit_are_marked_as_capped(
    acme: Tenant, many: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letter_groups, "MAX_PARTS", 3)
    with tenant_context(acme):
        found = group_dead_letters()
    assert (len(found.groups), found.is_capped) == (3, True)
