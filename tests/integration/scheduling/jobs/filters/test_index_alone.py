"""Index-only reads: rare states are read from their small table, whatever the planner estimates."""

from __future__ import annotations

import pytest
from django.db import connection
from django.utils import timezone

from scheduling.jobs.filters import parse
from scheduling.jobs.planner_hints import force_index_scans
from scheduling.models import Job
from tenants.context import all_tenants

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("text", ["state:discarded", "state:discarded,quarantined error:absent", "state:executing"])
def test_page_of_rare_jobs_is_read_from_the_small_table(text: str) -> None:
    with all_tenants(), force_index_scans():
        plan = parse(text).apply(Job.objects.order_by("-pk"), now=timezone.now())[:26].explain()
    assert "Seq Scan" not in plan, plan
    assert "Sort" not in plan, plan
    assert "Bitmap" not in plan, plan


def test_planner_settings_are_restored_afterwards() -> None:
    settings = ("enable_seqscan", "enable_bitmapscan", "enable_sort")
    with all_tenants(), connection.cursor() as cursor:
        with force_index_scans():
            pass
        for name in settings:
            cursor.execute(f"SHOW {name}")
            assert cursor.fetchone() == ("on",), name


def test_filter_is_served_by_a_state_or_dead_letter_table() -> None:
    assert parse("state:discarded error:x").is_found_by_table
    assert parse("state:scheduled,retryable").is_found_by_table
    assert not parse("state:discarded,completed").is_found_by_table
    assert not parse("error:x").is_found_by_table
    assert parse("fingerprint:x kind:noop").is_found_by_table
    assert not parse("-fingerprint:x kind:noop").is_found_by_table
