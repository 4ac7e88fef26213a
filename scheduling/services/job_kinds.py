"""Which kinds of job may be submitted, as people read it: what each does, takes and needs, and where it goes."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

from scheduling.exceptions import KindNotFoundError, KindUnknownError
from scheduling.processors import registry
from scheduling.processors.base import Json, TaskProcessor
from scheduling.services.routing import Routes
from tenants.models import Tenant


@dataclass(frozen=True, slots=True)
class JobKind:
    """One kind. ``package`` is the distribution that brings it, empty where the platform does itself."""

    kind: str
    title: str
    description: str
    payload_schema: Json
    timeout_seconds: float
    max_retries: int
    retry_delays_seconds: Sequence[float]
    memory_class: str
    settings: Sequence[str]
    dependencies: Sequence[str]
    queues: Sequence[str]
    is_internal: bool
    package: str
    package_version: str


def list_job_kinds(*, tenant: Tenant | None) -> list[JobKind]:
    """All kinds, by name; ``queues`` are those of the tenant's tier, or without a tenant of every tier."""
    routes = _routes(tenant)
    return [_describe(kind, routes) for kind in registry.kinds()]


def get_job_kind(kind: str, *, tenant: Tenant | None) -> JobKind:
    """One kind; KindNotFoundError for what there is not."""
    try:
        return _describe(kind, _routes(tenant))
    except KindUnknownError as error:
        raise KindNotFoundError(error.detail) from error


def _routes(tenant: Tenant | None) -> list[Routes]:
    return list(Routes.load_all().values()) if tenant is None else [Routes.load(tenant.plan.tier_id)]


def _describe(kind: str, routes: Sequence[Routes]) -> JobKind:
    processor = registry.get(kind)
    package, version = registry.package_of(kind)
    return JobKind(
        kind=kind,
        title=processor.title or kind.replace("_", " ").capitalize(),
        description=description_of(processor),
        payload_schema=processor.payload_schema,
        timeout_seconds=processor.timeout_seconds,
        max_retries=processor.max_retries,
        retry_delays_seconds=list(processor.retry_delays_seconds),
        memory_class=processor.memory_class,
        settings=list(processor.settings),
        dependencies=[dependency.name for dependency in processor.dependencies],
        queues=sorted({queue for route in routes for queue in route.choices(kind, {})}),
        is_internal=processor.is_internal,
        package=package,
        package_version=version,
    )


def description_of(processor: type[TaskProcessor]) -> str:
    """The class's docstring; never that of a base."""
    return inspect.cleandoc(processor.__dict__.get("__doc__") or "")
