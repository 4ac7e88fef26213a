"""Argument type and tenant context of the management commands about schedules."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from scheduling.models import Schedule
from scheduling.schedules.queries import get_schedule
from tenants.context import all_tenants, tenant_context


def schedule_id(text: str) -> UUID:
    """Return the id in a command-line argument; raise ArgumentTypeError if it is not a UUID."""
    try:
        return UUID(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not the id of a schedule; list_schedules shows the ids.") from error


@contextmanager
def schedule_scope(wanted: UUID) -> Iterator[Schedule]:
    """Run the block in the schedule's tenant context."""
    with all_tenants():
        schedule = get_schedule(wanted)
    with tenant_context(schedule.tenant_id):
        yield schedule
