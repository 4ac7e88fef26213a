"""Queries of controls; the cached ones cost a look-up in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from scheduling.controls.models import ControlRule
from scheduling.controls.rules import Checkpoint, Terms
from scheduling.topology.models import Queue
from tenants.cache.shared_cache import SharedCache
from tenants.context import all_tenants


@dataclass(frozen=True, slots=True)
class Controls:
    """The enabled controls by checkpoint, and the regions of queues by their ids."""

    by_checkpoint: Mapping[str, Sequence[Terms]]
    regions: Mapping[int, str]

    def covering(self, checkpoint: Checkpoint, kind: str, tenant_id: UUID) -> list[Terms]:
        """Return the controls of a checkpoint that are about jobs of this kind and tenant."""
        return [terms for terms in self.by_checkpoint.get(checkpoint, ()) if terms.covers(kind, tenant_id)]


NO_CONTROLS: Final = Controls({}, {})


def controls_at(checkpoint: Checkpoint) -> Controls | None:
    """Return the enabled controls; None if there are none of this checkpoint, as nearly always."""
    controls = current_controls()
    return controls if controls.by_checkpoint.get(checkpoint) else None


def current_controls() -> Controls:
    """Return the enabled controls, at most two cache periods old."""
    return _kept.get("", _read_document)


def terms_of(row: ControlRule) -> Terms:
    """Return the terms of a control."""
    tenant_id = str(row.tenant_id) if row.tenant_id else None
    return Terms(str(row.pk), row.name, row.checkpoint, row.rule, row.parameters, tenant_id, row.kind)


def _read_document() -> dict[str, Any]:
    with all_tenants(has_savepoint=False):
        rows = [terms_of(row) for row in ControlRule.objects.filter(is_enabled=True).order_by("pk")]
        # Without controls nothing needs a region.
        regions = list(Queue.objects.values_list("pk", "pool__region")) if rows else []
    return {"controls": rows, "regions": regions}


def _decode(document: Mapping[str, Any]) -> Controls:
    found: dict[str, list[Terms]] = defaultdict(list)
    for facts in document["controls"]:
        terms = Terms(*facts)
        found[terms.checkpoint].append(terms)
    return Controls(found, dict(document["regions"])) if found else NO_CONTROLS


_kept: SharedCache[Controls] = SharedCache("controls", _decode)
