"""Argument type and tenant context of the management commands about schedules."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.core.management.base import CommandError

from scheduling.models import Schedule
from scheduling.schedules.queries import get_schedule
from tenants.context import acting_as, all_tenants, command_actor, tenant_context
from tenants.exceptions import DomainError


def schedule_id(text: str) -> UUID:
    """Return the id in a command-line argument; raise ArgumentTypeError if it is not a UUID."""
    try:
        return UUID(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not the id of a schedule; list_schedules shows the ids.") from error


@contextmanager
def schedule_scope(wanted: UUID, *, command: str) -> Iterator[Schedule]:
    """Run the block in the schedule's tenant context, as the command's actor. Raise CommandError for a DomainError."""
    try:
        with all_tenants():
            schedule = get_schedule(wanted)
        with acting_as(command_actor(command)), tenant_context(schedule.tenant_id):
            yield schedule
    except DomainError as error:
        raise CommandError(f"{error.code}: {error.detail}") from error
