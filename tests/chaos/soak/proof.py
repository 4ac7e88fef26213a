"""Final checks after the drain, by the database and by an operator's commands."""

from __future__ import annotations

import io
import time
from collections.abc import Collection, Iterator, Sequence

from django.core.management import CommandError, call_command
from django.db import connection

from scheduling.jobs.lifecycle import TERMINAL_STATES
from tenants.context import all_tenants
from tests.chaos.soak.stack import SoakStack

# Long enough for backoffs of one, two and four minutes.
DRAIN_SECONDS = 900.0
POLL_SECONDS = 1.0
COMMANDS = ("verify ledger", "verify audit", "verify usage", "verify")

_OPEN = "SELECT state, count(*) FROM scheduling_job WHERE state <> ALL(%s) GROUP BY 1 ORDER BY 1"
_KNOWN = "SELECT count(*) FROM scheduling_job WHERE id = ANY(%s::uuid[]) AND state = ANY(%s)"
_TWICE = """
SELECT count(*) FROM (
    SELECT job_id FROM scheduling_execution WHERE outcome = 'completed' GROUP BY 1 HAVING count(*) > 1
) AS twice
"""
_STATES = "SELECT state, count(*) FROM scheduling_job GROUP BY 1 ORDER BY 1"
_OUTCOMES = "SELECT outcome, count(*) FROM scheduling_execution GROUP BY 1 ORDER BY 1"


def drain(stack: SoakStack) -> float | None:
    """Return the seconds until no job was open, or None if some remained."""
    began = time.monotonic()
    while open_jobs():
        if time.monotonic() - began > DRAIN_SECONDS:
            return None
        stack.keep()
        time.sleep(POLL_SECONDS)
    return time.monotonic() - began


def open_jobs() -> dict[str, int]:
    """Return the numbers of jobs that have not ended, by state."""
    return dict(_ask(_OPEN, [list(TERMINAL_STATES)]))


def find_losses(accepted: Collection[str]) -> Iterator[str]:
    """Yield accepted jobs that have not ended, or that count twice."""
    ((ended,),) = _ask(_KNOWN, [list(accepted), list(TERMINAL_STATES)])
    if ended != len(accepted):
        yield f"{len(accepted) - ended} of {len(accepted)} accepted jobs are in no final state"
    if still := open_jobs():
        yield f"open to the end: {', '.join(f'{count} {state}' for state, count in still.items())}"
    ((twice,),) = _ask(_TWICE, [])
    if twice:
        yield f"{twice} jobs completed more than once"


def verify() -> Iterator[tuple[str, str]]:
    """Yield each command that checks consistency with its findings, or an empty text."""
    for name in COMMANDS:
        try:
            call_command(*name.split(), stdout=io.StringIO())
        except CommandError as error:
            yield name, str(error)
        else:
            yield name, ""


def count_states() -> dict[str, int]:
    return dict(_ask(_STATES, []))


def count_outcomes() -> dict[str, int]:
    return dict(_ask(_OUTCOMES, []))


def _ask(statement: str, parameters: Sequence[object]) -> list[tuple]:  # type: ignore[type-arg]
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(statement, list(parameters))
        return list(cursor.fetchall())
