"""What must hold when everything has drained, asked of the database and of the commands that an operator has."""

from __future__ import annotations

import io
import time
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime

from django.core.management import CommandError, call_command, get_commands
from django.db import connection

from benchmarks.soak.faults import Healed
from benchmarks.soak.stack import Stack
from scheduling.lifecycle import TERMINAL_STATES
from tenants.context import all_tenants

# Back-offs of one, two and four minutes are waited for.
DRAIN_SECONDS = 900.0
POLL_SECONDS = 1.0
# `verify_state` where the platform has it.
COMMANDS = ("verify_ledger", "verify_audit", "verify_usage", "verify_state")

_OPEN = "SELECT state, count(*) FROM scheduling_job WHERE state <> ALL(%s) GROUP BY 1 ORDER BY 1"
_KNOWN = "SELECT count(*) FROM scheduling_job WHERE id = ANY(%s::uuid[]) AND state = ANY(%s)"
_TWICE = """
SELECT count(*) FROM (
    SELECT job_id FROM scheduling_execution WHERE outcome = 'completed' GROUP BY 1 HAVING count(*) > 1
) AS twice
"""
_STATES = "SELECT state, count(*) FROM scheduling_job GROUP BY 1 ORDER BY 1"
_OUTCOMES = "SELECT outcome, count(*) FROM scheduling_execution GROUP BY 1 ORDER BY 1"
_NEXT_STARTS = """
SELECT extract(epoch FROM (SELECT min(started_at) FROM scheduling_execution WHERE started_at > healed.at) - healed.at)
FROM unnest(%s::timestamptz[]) WITH ORDINALITY AS healed(at, n) ORDER BY n
"""


def drain(stack: Stack) -> float | None:
    """Seconds until no job was open; None if some were to the end."""
    began = time.monotonic()
    while open_jobs():
        if time.monotonic() - began > DRAIN_SECONDS:
            return None
        stack.keep_running()
        time.sleep(POLL_SECONDS)
    return time.monotonic() - began


def open_jobs() -> dict[str, int]:
    """Jobs that have not ended, by state."""
    return dict(_ask(_OPEN, [list(TERMINAL_STATES)]))


def find_losses(accepted: Collection[str]) -> Iterator[str]:
    """Jobs that were accepted and have not ended, or that count twice."""
    ((ended,),) = _ask(_KNOWN, [list(accepted), list(TERMINAL_STATES)])
    if ended != len(accepted):
        yield f"{len(accepted) - ended} of {len(accepted)} accepted jobs are in no final state"
    if still := open_jobs():
        yield f"open to the end: {', '.join(f'{count} {state}' for state, count in still.items())}"
    ((twice,),) = _ask(_TWICE, [])
    if twice:
        yield f"{twice} jobs completed more than once"


def verify() -> Iterator[tuple[str, str]]:
    """Each command of proof that there is with what it objects to; nothing if it is content."""
    for name in COMMANDS:
        if name not in get_commands():
            continue
        try:
            call_command(name, stdout=io.StringIO())
        except CommandError as error:
            yield name, str(error)
        else:
            yield name, ""


def count_states() -> dict[str, int]:
    return dict(_ask(_STATES, []))


def count_outcomes() -> dict[str, int]:
    return dict(_ask(_OUTCOMES, []))


def next_starts(healed: Sequence[Healed]) -> list[float | None]:
    """Seconds from the end of each fault to the next start of a job."""
    moments = [datetime.fromtimestamp(fault.at, UTC) for fault in healed]
    return [None if seconds is None else float(seconds) for (seconds,) in _ask(_NEXT_STARTS, [moments])]


def _ask(statement: str, parameters: Sequence[object]) -> list[tuple]:  # type: ignore[type-arg]
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(statement, list(parameters))
        return list(cursor.fetchall())
