"""Every page of the console, found in the registry: a new page is tested without a new line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.urls import reverse

from tenants.console.polled_parts import STOP_POLLING
from tests.access import routes, table
from tests.access.routes import CONSOLE_PREFIX
from tests.integration.access.test_table import NamedRows
from tests.integration.access.world import World


def paths_of(world: World) -> list[str]:
    """Return the address of every list, form, row and special page, including refreshed parts."""
    return [*dict.fromkeys([*_pages_of_models(world), *_pages_of_their_own(world)])]


def newest(model: Any, world: World) -> Any:
    """Return the key of a row; if rows have a tenant, of one of acme's, or else of one without a tenant."""
    rows: Any = model._base_manager.order_by("-pk").values_list("pk", flat=True)
    if all(field.attname != "tenant_id" for field in model._meta.concrete_fields):
        return rows.first()
    return rows.filter(tenant_id=world.own["tenant"]).first() or rows.filter(tenant_id=None).first()


def _pages_of_models(world: World) -> Iterator[str]:
    for model, page in admin.site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"{name}_changelist")
        if getattr(page, "add_permission", None) is not None:
            yield reverse(f"{name}_add")
        key = newest(model, world)
        if key is not None:
            yield reverse(f"{name}_change", args=[key])


def _pages_of_their_own(world: World) -> Iterator[str]:
    """Yield the pages in the table of rights besides those of models; another test compares it with the resolver."""
    for line in routes.lines(table.CONSOLE):
        if line.method in {"GET", "ANY"} and line.status in {None, STOP_POLLING}:
            yield CONSOLE_PREFIX + line.path.format_map(NamedRows(world.own))
