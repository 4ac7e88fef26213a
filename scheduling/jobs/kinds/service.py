"""Descriptions of the job kinds that may be submitted: what each does, accepts and needs, and its queues.

The list of a tier is cached until the routing rules are read again, so that a changed rule shows at once then.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from scheduling.exceptions import KindNotFoundError, KindUnknownError
from scheduling.jobs.routing.service import Routes, RouteTable, cached_routes
from scheduling.kit import registry
from scheduling.kit.base import Json, TaskProcessor
from scheduling.regions.queries import residency_of
from scheduling.regions.rules import Residency
from tenants.cache.bounded_cache import BoundedCache
from tenants.models import Tenant

type _Processors = tuple[type[TaskProcessor], ...]

# Tiers are few; lists of other processor sets only occur in tests.
_MOST_LISTS: Final = 100
_KEPT_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class JobKind:
    """A job kind as clients see it. ``package`` is the distribution that provides it, empty for the platform itself."""

    kind: str
    title: str
    description: str
    payload_schema: Json
    timeout_seconds: float
    max_retries: int
    retry_delays_seconds: Sequence[float]
    memory_class: str
    needs: Sequence[str]
    concurrency_limit: int
    settings: Sequence[str]
    dependencies: Sequence[str]
    queues: Sequence[str]
    is_internal: bool
    package: str
    package_version: str


_kept: BoundedCache[tuple[str, Residency, _Processors], tuple[RouteTable, Sequence[JobKind]]] = BoundedCache(
    _MOST_LISTS, _KEPT_SECONDS
)


def list_job_kinds(*, tenant: Tenant | None) -> Sequence[JobKind]:
    """Return all job kinds by name.

    ``queues`` are those to which routing may send jobs of the tenant's tier, or of any tier if ``tenant`` is None.
    """
    if tenant is None:
        return _described(list(Routes.load_all().values()))
    tier_id, known, residency = tenant.plan.tier_id, cached_routes(), residency_of(tenant)
    key = (tier_id, residency, tuple(registry.get(kind) for kind in registry.kinds()))
    kept = _kept.get(key)
    if kept is not None and kept[0] is known:
        return kept[1]
    kinds = _described([Routes.of(known, tier_id).within(residency)])
    # Whether a kind's default queue exists is not part of the routes.
    if not any(registry.default_queue(kind.kind) for kind in kinds):
        _kept.put(key, (known, kinds))
    return kinds


def get_job_kind(kind: str, *, tenant: Tenant | None) -> JobKind:
    """Return one job kind; raise KindNotFoundError if there is none of that name."""
    try:
        registry.get(kind)
    except KindUnknownError as error:
        raise KindNotFoundError(error.detail) from error
    return next(each for each in list_job_kinds(tenant=tenant) if each.kind == kind)


def _described(routes: Sequence[Routes]) -> tuple[JobKind, ...]:
    return tuple(
        replace(
            _describe(kind, registry.get(kind), *registry.package_of(kind)),
            queues=sorted({queue for route in routes for queue in route.choices(kind, {})}),
        )
        for kind in registry.kinds()
    )


@cache
def _describe(kind: str, processor: type[TaskProcessor], package: str, version: str) -> JobKind:
    """Return the description that the class declares, without the queues."""
    return JobKind(
        kind=kind,
        title=processor.title or kind.replace("_", " ").capitalize(),
        description=_description_of(processor),
        payload_schema=processor.payload_schema,
        timeout_seconds=processor.timeout_seconds,
        max_retries=processor.max_retries,
        retry_delays_seconds=list(processor.retry_delays_seconds),
        memory_class=processor.memory_class,
        needs=sorted(registry.needs(kind)),
        concurrency_limit=processor.concurrency_limit,
        settings=list(processor.settings),
        dependencies=[dependency.name for dependency in processor.dependencies],
        queues=(),
        is_internal=processor.is_internal,
        package=package,
        package_version=version,
    )


def _description_of(processor: type[TaskProcessor]) -> str:
    """Return the description, or else the docstring of the class itself, never that of a base."""
    return processor.description or inspect.cleandoc(processor.__dict__.get("__doc__") or "")
