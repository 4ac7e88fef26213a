"""Command that builds an approximate vector index for each large dataset, and drops those no longer needed."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections
from django.db.models import Count

from tenants.context import all_tenants
from tenants.database.conf import OWNER_ALIAS
from tenants.database.platform_settings import platform_settings
from workloads.documents.embedding_models import find_model, require_model
from workloads.documents.models import Chunk, Dataset
from workloads.documents.vector_index import create_index, drop_index, has_vector_index, index_name, list_indexes


class Command(BaseCommand):
    requires_system_checks = ()
    help = (
        "Build an HNSW index for each dataset beyond EXACT_SEARCH_MAX_CHUNKS, without blocking reads and writes, "
        "and drop those that are no longer needed. Run it periodically; without an index large datasets are "
        "searched exactly."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="print what would be built and dropped; change nothing"
        )
        parser.add_argument("--json", action="store_true", help="print each index as JSON, one object a line")

    def handle(self, *args: Any, **options: Any) -> None:
        if OWNER_ALIAS not in connections:
            raise CommandError("Indexes are built as the owner of the tables: set DATABASE_OWNER_URL.")
        wanted = {index_name(dataset): dataset for dataset in large_datasets()}
        with connections[OWNER_ALIAS].cursor() as cursor:
            existing = list_indexes(cursor)
            unusable = {name for name in existing & wanted.keys() if not has_vector_index(wanted[name])}
            for name in sorted((existing - wanted.keys()) | unusable):
                self._print("drop", name, options)
                if not options["dry_run"]:
                    drop_index(cursor, name)
            for name in sorted(wanted.keys() - (existing - unusable)):
                self._print("build", name, options)
                if not options["dry_run"]:
                    dataset = wanted[name]
                    create_index(cursor, dataset, require_model(dataset.tenant_id, dataset.embedding_model).dimensions)

    def _print(self, action: str, name: str, options: dict[str, Any]) -> None:
        self.stdout.write(json.dumps({"action": action, "index": name}) if options["json"] else f"{action} {name}")


def large_datasets() -> list[Dataset]:
    """Return the datasets that have too many chunks for an exact search, of models that exist and whole vectors."""
    with all_tenants():
        sizes = Chunk.objects.values("dataset_id").annotate(chunks=Count("id"))
        large = sizes.filter(chunks__gt=platform_settings.EXACT_SEARCH_MAX_CHUNKS).values_list("dataset_id", flat=True)
        datasets: list[Dataset] = list(Dataset.objects.filter(pk__in=list(large)))
        return [one for one in datasets if not one.is_moving and find_model(one.tenant_id, one.embedding_model)]
