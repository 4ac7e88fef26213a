"""Commands that do one thing to all the rows of a filter: in chunks by key, each its own transaction."""

from __future__ import annotations

import json
from abc import abstractmethod
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet

from scheduling.lifecycle import JobState
from scheduling.management.selection import add_job_arguments, read_job_filter
from scheduling.selectors.jobs import COUNT_LIMIT, CappedCount, find_jobs
from scheduling.services.retries import BulkRetry
from tenants.context import acting_as, command_actor, tenant_context
from tenants.exceptions import DomainError
from tenants.ids import uuid7
from tenants.models import Tenant
from tenants.selectors.tenants import find_tenant

CHUNK_ROWS = 1_000
SAMPLE_ROWS = 5


class BulkCommand(BaseCommand):
    """What was there at the start is acted on, oldest first; what is made meanwhile is not.

    Exit status 1 where something was refused, after the rest was done.
    """

    row_name: str

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", action="append", required=True, metavar="SLUG", help="may be repeated")
        parser.add_argument("--reason", default="", help="why, for the audit log")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be acted on")
        parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
        self.add_filter_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        newest_id = uuid7()
        outcomes: dict[str, Any] = {}
        for slug in dict.fromkeys(options["tenant"]):
            tenant = _find(slug)
            with acting_as(command_actor(self._name())):
                if options["dry_run"]:
                    outcomes[slug] = self._preview(tenant, newest_id, options)
                else:
                    outcomes[slug] = self._act_in_chunks(tenant, newest_id, options)
        self._print(outcomes, options)
        refused = sum(sum(outcome.get("refused", {}).values()) for outcome in outcomes.values())
        if refused:
            raise CommandError(f"{refused:,} {self.row_name} were refused.")

    def _preview(self, tenant: Tenant, newest_id: UUID, options: dict[str, Any]) -> dict[str, Any]:
        with tenant_context(tenant):
            rows = self.find_rows(options).filter(id__lte=newest_id).order_by("id").values_list("id", flat=True)
            counted = rows.order_by()[: COUNT_LIMIT + 1].count()
            count, sample = CappedCount(min(counted, COUNT_LIMIT), counted > COUNT_LIMIT), list(rows[:SAMPLE_ROWS])
        return {"would_act_on": count.value, "or_more": count.is_capped, "sample": [str(row_id) for row_id in sample]}

    def _act_in_chunks(self, tenant: Tenant, newest_id: UUID, options: dict[str, Any]) -> dict[str, Any]:
        done: Counter[str] = Counter()
        refused: Counter[str] = Counter()
        after: UUID | None = None
        while True:
            with tenant_context(tenant):
                rows = self.find_rows(options).filter(id__lte=newest_id, id__gt=after or UUID(int=0))
                ids = list(rows.order_by("id").values_list("id", flat=True)[:CHUNK_ROWS])
                if ids:
                    self.act(ids, options["reason"], done, refused)
            if len(ids) < CHUNK_ROWS:
                return {**done, "refused": dict(refused)}
            after = ids[-1]

    def _print(self, outcomes: dict[str, Any], options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(outcomes, ensure_ascii=False))
            return
        for slug, outcome in outcomes.items():
            self.stdout.write(f"{slug}: {self._describe(outcome)}")

    def _describe(self, outcome: dict[str, Any]) -> str:
        if "sample" in outcome:
            count = CappedCount(outcome["would_act_on"], outcome["or_more"])
            ids = "".join(f"\n  {row_id}" for row_id in outcome["sample"])
            return f"would act on {count} {self.row_name}{', such as' if ids else ''}{ids}"
        refused = [f"{count:,} refused ({code})" for code, count in outcome["refused"].items()]
        done = [f"{count:,} {what}" for what, count in outcome.items() if what != "refused"]
        return ", ".join([*done, *refused]) or f"no {self.row_name} to act on"

    def _name(self) -> str:
        return type(self).__module__.rpartition(".")[2]

    @abstractmethod
    def add_filter_arguments(self, parser: ArgumentParser) -> None:
        """The options by which rows are chosen."""

    @abstractmethod
    def find_rows(self, options: dict[str, Any]) -> QuerySet[Any]:
        """Return the matching rows of the current tenant."""

    @abstractmethod
    def act(self, ids: Sequence[UUID], reason: str, done: Counter[str], refused: Counter[str]) -> None:
        """Do it to these rows and add up what became of them."""


class JobBulkCommand(BulkCommand):
    """The rows are jobs in one of ``states``, unless the options name others among them."""

    row_name = "jobs"
    states: tuple[JobState, ...]

    def add_filter_arguments(self, parser: ArgumentParser) -> None:
        add_job_arguments(parser, self.states)

    def find_rows(self, options: dict[str, Any]) -> QuerySet[Any]:
        return find_jobs(read_job_filter(options, self.states)).select_related(None)


def add_up(bulk: BulkRetry, done: Counter[str], refused: Counter[str]) -> None:
    """The outcome of retries in words."""
    done.update({"hastened": len(bulk.hastened), "replayed": len(bulk.replayed)})
    refused.update(error.code for error in bulk.refused.values())


def _find(slug: str) -> Tenant:
    try:
        return find_tenant(slug)
    except DomainError as error:
        raise CommandError(error.detail) from error
