"""Requeue dead letters by filter."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from scheduling.management.bulk import BulkCommand, add_up
from scheduling.management.selection import add_dead_letter_arguments, read_dead_letter_filter
from scheduling.selectors.dead_letters import count_dead_letters, next_dead_letter_ids
from scheduling.selectors.jobs import CappedCount
from scheduling.services.dead_letters import requeue_dead_letters


class Command(BulkCommand):
    help = "Run the jobs of all dead letters of a filter anew, each once, as new jobs linked to the old ones."
    row_name = "dead letters"

    def add_filter_arguments(self, parser: ArgumentParser) -> None:
        add_dead_letter_arguments(parser)

    def count_rows(self, newest_id: UUID, options: dict[str, Any]) -> CappedCount:
        return count_dead_letters(read_dead_letter_filter(options, newest_id))

    def next_ids(self, newest_id: UUID, options: dict[str, Any], *, after: UUID | None, limit: int) -> list[UUID]:
        return next_dead_letter_ids(read_dead_letter_filter(options, newest_id), after=after, limit=limit)

    def act(self, ids: Sequence[UUID], reason: str, done: Counter[str], refused: Counter[str]) -> None:
        add_up(requeue_dead_letters(dead_letter_ids=ids, reason=reason), done, refused)
