"""The tables in docs/concepts/job_lifecycle.md equal those of scheduling/jobs/lifecycle.py."""

import re
from pathlib import Path

from scheduling.jobs.lifecycle import ALLOWED_TRANSITIONS, TERMINAL_STATES

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "concepts" / "job_lifecycle.md").read_text(encoding="utf-8")


def rows(heading):
    """Return the body rows of the table under a heading, as lists of cells."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_state_is_described_and_marked_if_terminal():
    described = {re.sub("`", "", state): terminal == "yes" for state, terminal, _ in rows("States")}
    assert described == {state.value: state in TERMINAL_STATES for state in ALLOWED_TRANSITIONS}


def test_documented_transitions_equal_the_code():
    documented = {re.sub("`", "", state): set(after.split(", ")) for state, after in rows("From → to")}
    assert documented == {
        state.value: {after.value for after in allowed} for state, allowed in ALLOWED_TRANSITIONS.items() if allowed
    }
