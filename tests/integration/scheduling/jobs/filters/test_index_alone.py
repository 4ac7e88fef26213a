"""Rare states are read from the small table that knows them, however the planner counts."""

from __future__ import annotations

import pytest
from django.db import connection
from django.utils import timezone

from scheduling.jobs.filters import parse
from scheduling.jobs.index_alone import by_index_alone
from scheduling.models import Job
from tenants.context import all_tenants

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("text", ["state:discarded", "state:discarded,quarantined error:absent", "state:executing"])
def test_a_page_of_rare_jobs_walks_from_the_few_to_their_rows(text: str) -> None:
    with all_tenants(), by_index_alone():
        plan = parse(text).apply(Job.objects.order_by("-pk"), now=timezone.now())[:26].explain()
    assert "Seq Scan" not in plan, plan
    assert "Sort" not in plan, plan
    assert "Bitmap" not in plan, plan


def test_statements_after_it_are_planned_as_ever() -> None:
    settings = ("enable_seqscan", "enable_bitmapscan", "enable_sort")
    with all_tenants(), connection.cursor() as cursor:
        with by_index_alone():
            pass
        for name in settings:
            cursor.execute(f"SHOW {name}")
            assert cursor.fetchone() == ("on",), name


def test_filter_is_found_by_table_of_its_states_or_of_dead_letters() -> None:
    assert parse("state:discarded error:x").is_found_by_table
    assert parse("state:scheduled,retryable").is_found_by_table
    assert not parse("state:discarded,completed").is_found_by_table
    assert not parse("error:x").is_found_by_table
    assert parse("fingerprint:x kind:noop").is_found_by_table
    assert not parse("-fingerprint:x kind:noop").is_found_by_table
