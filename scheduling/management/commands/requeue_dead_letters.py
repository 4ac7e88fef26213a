"""Requeue dead letters by filter."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from scheduling.management.bulk import BulkCommand, add_up
from scheduling.management.selection import add_dead_letter_arguments, read_dead_letter_filter
from scheduling.selectors.dead_letters import find_dead_letters
from scheduling.services.dead_letters import requeue_dead_letters
from tenants.api.parsers import parse_json
from tenants.exceptions import JsonInvalidError


class Command(BulkCommand):
    help = "Run the jobs of all dead letters of a filter anew, each once, as new jobs linked to the old ones."
    row_name = "dead letters"

    # Merged into each payload; one command runs once.
    patch: dict[str, Any] | None = None

    def add_filter_arguments(self, parser: ArgumentParser) -> None:
        add_dead_letter_arguments(parser)
        parser.add_argument(
            "--payload-patch",
            type=_read_patch,
            metavar="JSON",
            help="merged into each payload (RFC 7396: null removes a member); checked by the kind's schema",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.patch = options["payload_patch"]
        super().handle(*args, **options)

    def find_rows(self, options: dict[str, Any]) -> QuerySet[Any]:
        return find_dead_letters(read_dead_letter_filter(options))

    def act(self, ids: Sequence[UUID], reason: str, done: Counter[str], refused: Counter[str]) -> None:
        bulk = requeue_dead_letters(dead_letter_ids=ids, reason=reason, payload_patch=self.patch)
        add_up(bulk, done, refused)


def _read_patch(text: str) -> dict[str, Any]:
    try:
        patch = parse_json(text.encode("utf-8", "surrogateescape"))
    except JsonInvalidError as error:
        raise ArgumentTypeError(error.detail) from error
    if not isinstance(patch, dict):
        raise ArgumentTypeError("It must be a JSON object.")
    return patch
