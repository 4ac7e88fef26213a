"""Command that encrypts values stored before ENCRYPTION_MASTER_KEYS was set."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from scheduling.upkeep.stored_values import PAGE_ROWS, seal_page, sealed_models
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import all_tenants
from tenants.encryption.service import FIRST, TARGET, make_missing_keys, require_master_key
from tenants.management.arguments import positive
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = (
        "Create a data key for every tenant, and encrypt payloads, patches, results and checkpoints "
        "that are stored in plain. It works in small batches beside normal operation, skips encrypted "
        "values, and can be repeated."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--batch", type=positive, default=PAGE_ROWS, help=f"rows at once (default {PAGE_ROWS})")
        parser.add_argument(
            "--after",
            type=UUID,
            default=FIRST,
            help="skip the jobs up to this id, which an earlier run has printed",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        require_master_key()
        counts = self._seal(options["after"], options["batch"])
        self.show(options, counts, ", ".join(f"{number:,} {name}" for name, number in counts.items()) + " sealed.")

    def _seal(self, after: UUID, batch: int) -> dict[str, int]:
        """Encrypt the values batch by batch, and commit each batch.

        An audit entry is written before the first batch, and another with the counts at the end.
        """
        models = sealed_models()
        counts: dict[str, int] = {str(model._meta.verbose_name_plural): 0 for model in models}
        is_whole = False
        _record("encryption.sealing", {"after": str(after)})
        try:
            while make_missing_keys():
                pass
            for model in models:
                self._seal_table(model, after if model is models[0] else FIRST, batch, counts)
            is_whole = True
        finally:
            _record("encryption.sealed", {**counts, "is_whole": is_whole})
        return counts

    def _seal_table(self, model: type[Any], after: UUID, batch: int, counts: dict[str, int]) -> None:
        name = str(model._meta.verbose_name_plural)
        page = seal_page(model, after=after, most=batch)
        while page.last is not None:
            counts[name] += page.sealed
            if page.sealed:
                self.stderr.write(f"{name}: {counts[name]:,} sealed, up to {page.last}")
            page = seal_page(model, after=page.last, most=batch)


def _record(action: str, facts: dict[str, Any]) -> None:
    with all_tenants():
        record_audit(action=action, target=AuditTarget(TARGET), after=facts)
