"""Filters of parameters, joined filters, and terms with an index of dead letters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from scheduling.jobs.filters import JobFilter, parse
from scheduling.jobs.filters.fields import LETTER_REASONS
from scheduling.jobs.lifecycle import JobState
from scheduling.models import DeadLetter

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
ID = UUID("0199c0de-0000-7000-8000-000000000000")


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("fingerprint:f kind:noop requeued:no", "fingerprint:f"),
        ("died:>2026-01-01 tenant:acme", "died:>2026-01-01 tenant:acme"),
        ("created:>2026-01-01 -died:>2026-01-01 fingerprint:e,f", ""),
    ],
)
def test_letter_bounds_are_the_terms_with_an_index(text: str, bounds: str) -> None:
    assert parse(text).letter_bounds.text == bounds


def test_reasons_of_the_grammar_equal_those_of_the_model() -> None:
    assert list(LETTER_REASONS) == DeadLetter.Reason.values


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({}, ""),
        ({"kind": [], "fair_key": None, "batch": None, "error": ""}, ""),
        ({"state": [JobState.DISCARDED, JobState.CANCELLED]}, "state:discarded,cancelled"),
        ({"kind": ["a", "b", "a"], "queue": "x"}, "kind:a,b queue:x"),
        ({"tag": ["a", "b"]}, "tag:a tag:b"),
        ({"fair_key": ""}, 'fair_key:""'),
        ({"batch": ID, "requeued": "no"}, f"batch:{ID} requeued:no"),
        ({"created_after": NOW}, "created:>=2026-03-01T12:30:15.123456Z"),
        ({"died_before": NOW.astimezone(timezone(timedelta(hours=2)))}, "died:<2026-03-01T12:30:15.123456Z"),
        ({"created_after": None, "died_before": None}, ""),
    ],
)
def test_filter_of_parameters_has_a_term_for_each_given_one(values: dict[str, Any], text: str) -> None:
    job_filter = JobFilter.of(**values)
    assert job_filter.text == text
    assert parse(text) == job_filter


def test_filters_are_joined_without_duplicates() -> None:
    assert (parse("kind:a tag:x") & parse("tag:x -tag:y")).text == "kind:a tag:x -tag:y"
