"""What the commands about schedules share: finding one by its id, whoever's it is."""

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
    """The id of a schedule as an argument."""
    try:
        return UUID(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is no id of a schedule; list_schedules shows them.") from error


@contextmanager
def schedule_scope(wanted: UUID, *, command: str) -> Iterator[Schedule]:
    """One transaction for the schedule's tenant, with what is refused as the command's own error."""
    try:
        with all_tenants():
            schedule = get_schedule(wanted)
        with acting_as(command_actor(command)), tenant_context(schedule.tenant_id):
            yield schedule
    except DomainError as error:
        raise CommandError(f"{error.code}: {error.detail}") from error
