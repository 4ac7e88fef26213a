"""A filter applied to one job equals the filter on rows; terms that one job cannot answer are refused."""

from __future__ import annotations

from uuid import UUID

import pytest

from scheduling.jobs.filters.matching import FilterNotMatchableError, JobFacts, matches_filter, parse_matchable

BATCH = UUID("0199c0de-0000-7000-8000-000000000000")
JOB = JobFacts(
    kind="noop",
    queue="default",
    tags=("night", "eu"),
    fair_key="user-7",
    batch=BATCH,
    priority=7,
    error_type="ConnectTimeout",
    error_fingerprint="f" * 16,
)


@pytest.mark.parametrize(
    ("text", "is_met"),
    [
        ("", True),
        ("kind:noop", True),
        ("kind:sleep,noop", True),
        ("-kind:noop", False),
        ("kind:Noop", False),
        ("queue:default", True),
        ("tag:eu tag:night", True),
        ("tag:day,night", True),
        ("tag:day", False),
        ("-tag:day", True),
        ("error:timeout", True),
        ("error:ffffffffffffffff", True),
        ("-error:timeout", False),
        ("error:100%", False),
        ("fair_key:user-7", True),
        ('fair_key:""', False),
        ("key:order", False),
        ("-key:order", True),
        (f"batch:{BATCH}", True),
        (f"parent:{BATCH}", False),
        (f"-parent:{BATCH}", True),
        ("priority:7", True),
        ("priority:>6 priority:<8", True),
        ("priority:>=7 priority:<=7", True),
        ("priority:>7", False),
        ("-priority:<7", True),
        ("kind:noop tag:day", False),
    ],
)
def test_job_is_matched_against_a_filter(text: str, is_met: bool) -> None:
    assert matches_filter(JOB, parse_matchable(text)) is is_met


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("state:discarded", "state"),
        ("kind:noop age:>1h", "age"),
        ("created:>2026-01-01", "created"),
        ("tenant:acme", "tenant"),
        ("failed_attempts:>1", "failed_attempts"),
        (f"id:{BATCH}", "id"),
        ("fingerprint:f dead_letter:discarded", "dead_letter, fingerprint"),
        ("died:>2026-01-01 requeued:no", "died, requeued"),
        ("words", "free words"),
        ("-words", "free words"),
    ],
)
def test_term_that_one_job_cannot_answer_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(FilterNotMatchableError) as refused:
        parse_matchable(text)
    assert refused.value.detail.startswith(f"These fields cannot be used here: {named}.")
