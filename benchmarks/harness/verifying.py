"""Consistency of the platform's data after a measurement, by its own command."""

from __future__ import annotations

from io import StringIO

from django.core.management import CommandError, call_command

from benchmarks.harness.parts import MeasureFailedError

COMMAND = "verify"
SAID_AT_MOST = 2_000


def verify_platform() -> None:
    """Run all checks; raise MeasureFailedError with their output if one finds a fault."""
    said = StringIO()
    try:
        call_command(COMMAND, stdout=said)
    except CommandError as error:
        raise MeasureFailedError(f"{COMMAND}: {error}\n{said.getvalue()[:SAID_AT_MOST]}") from error
