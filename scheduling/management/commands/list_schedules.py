"""Command that lists schedules with their next times and last outcomes."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scheduling.models import Schedule
from scheduling.schedules.queries import find_schedules, sentence_of
from tenants.context import all_tenants
from tenants.management.base import PlatformCommand
from tenants.tenancy.queries import find_tenant


class Command(PlatformCommand):
    help = "List the schedules of all tenants, or of one, with their next times and last outcomes."
    json_help = "print one JSON object a line"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", metavar="SLUG", help="only this tenant's schedules (default: all)")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = find_tenant(options["tenant"]) if options["tenant"] else None
        with all_tenants():
            schedules = find_schedules().order_by("tenant__slug", "name")
            if tenant is not None:
                schedules = schedules.filter(tenant=tenant)
            for schedule in schedules.iterator():
                facts = _facts(schedule)
                self.show(options, facts, _line(facts))


def _facts(schedule: Any) -> dict[str, Any]:
    return {
        "id": str(schedule.pk),
        "tenant": schedule.tenant.slug,
        "name": schedule.name,
        "kind": schedule.kind,
        "template": schedule.template.name if schedule.template else None,
        "cron": schedule.cron,
        "interval_seconds": schedule.interval_seconds,
        "once_at": _iso(schedule, "once_at"),
        "words": sentence_of(schedule),
        "timezone": schedule.timezone,
        "is_enabled": schedule.is_enabled,
        "pause_reason": schedule.pause_reason,
        "next_fire_at": _iso(schedule, "next_fire_at"),
        "last_fire_at": _iso(schedule, "last_fire_at"),
        "last_outcome": schedule.last_outcome,
    }


def _iso(schedule: Schedule, name: str) -> str | None:
    moment = getattr(schedule, name)
    return None if moment is None else moment.isoformat()


def _line(facts: dict[str, Any]) -> str:
    following = facts["next_fire_at"] or ("ended" if facts["is_enabled"] else f"paused: {facts['pause_reason']}")
    return (
        f"{facts['id']} {facts['tenant']} “{facts['name']}” {facts['kind']}: {facts['words']} ({facts['timezone']}),"
        f" next {following}, last {facts['last_outcome'] or 'none'}"
    )
