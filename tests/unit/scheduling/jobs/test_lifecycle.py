"""Invariants of the table of states."""

from __future__ import annotations

import re

import pytest

from scheduling.execution import settlement
from scheduling.jobs.lifecycle import (
    ALLOWED_TRANSITIONS,
    IN_FLIGHT_STATES,
    TERMINAL_STATES,
    WAITING_STATES,
    JobState,
    is_allowed,
)
from tenants.database.sql import load_sql
from workloads.workflows import queries as selectors


def test_every_state_is_in_the_table() -> None:
    assert set(ALLOWED_TRANSITIONS) == set(JobState)


@pytest.mark.parametrize("state", sorted(TERMINAL_STATES))
def test_terminal_state_has_no_transition(state: JobState) -> None:
    assert not ALLOWED_TRANSITIONS[state]


@pytest.mark.parametrize("state", sorted(set(JobState) - TERMINAL_STATES))
def test_every_other_state_can_end(state: JobState) -> None:
    assert ALLOWED_TRANSITIONS[state] & TERMINAL_STATES


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        ("available", "dispatched", True),
        ("available", "executing", False),  # no execution without a claim
        ("dispatched", "completed", False),  # no completion without a start
        ("executing", "available", True),  # yielded, shut down, rescued
        ("executing", "quarantined", True),
        ("retryable", "executing", False),
        ("completed", "available", False),
    ],
)
def test_transition_is_allowed_or_refused(before: str, after: str, allowed: bool) -> None:
    assert is_allowed(JobState(before), JobState(after)) is allowed


def test_only_a_dispatched_job_starts() -> None:
    before = [state for state in JobState if is_allowed(state, JobState.EXECUTING)]
    assert before == [JobState.DISPATCHED]


def test_groups_of_states_do_not_overlap() -> None:
    assert not TERMINAL_STATES & IN_FLIGHT_STATES
    assert not TERMINAL_STATES & WAITING_STATES


def test_terminal_states_of_sql_and_workflows_equal_the_model() -> None:
    fragment = load_sql(settlement.__file__)["in_terminal_states"]
    assert sorted(re.findall(r"'(\w+)'", fragment)) == sorted(TERMINAL_STATES)
    assert sorted(selectors.TERMINAL_STATES) == sorted(TERMINAL_STATES)
