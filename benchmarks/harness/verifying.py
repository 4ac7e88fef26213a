"""What has to be true of the platform's data when jobs ran: its own commands say so."""

from __future__ import annotations

from io import StringIO

from django.core.management import CommandError, call_command

from benchmarks.harness.parts import MeasureFailedError

COMMANDS = ("verify_ledger", "verify_state", "verify_audit")
SAID_AT_MOST = 2_000


def verify_platform() -> None:
    """Run them all. Raises MeasureFailedError, with what was said, at the first that finds a fault."""
    for name in COMMANDS:
        said = StringIO()
        try:
            call_command(name, stdout=said)
        except CommandError as error:
            raise MeasureFailedError(f"{name}: {error}\n{said.getvalue()[:SAID_AT_MOST]}") from error
