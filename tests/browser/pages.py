"""Every page of the console, found from what is registered: a new page is walked without a line here."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from django.contrib import admin
from django.urls import reverse

from tests.access import routes, table
from tests.access.routes import CONSOLE_PREFIX
from tests.browser.conftest import Console
from tests.integration.access.test_table import NamedRows
from tests.integration.access.world import World, make_world

# Pages of this server beside the console that people read.
BESIDE_THE_CONSOLE = ("/api/v1/docs/",)
# Whose rows come and go with what the platform does, or that nobody makes here; their lists are walked all the same.
NOTHING_BEHIND = frozenset(
    {
        "django_celery_beat.ClockedSchedule",
        "django_celery_beat.CrontabSchedule",
        "django_celery_beat.SolarSchedule",
        "retrieval.Chunk",
        "scheduling.Circuit",
        "scheduling.KindCost",
        "scheduling.KindPause",
        "scheduling.LiveExecution",
        "scheduling.ScheduleFire",
        "scheduling.UpkeepRun",
        "tenants.TenantErasure",
        "tenants.TenantLimit",
        "tenants.TenantSettings",
    }
)


@cache
def world() -> World:
    """A row behind every page, once for the processes' database."""
    return make_world()


def paths() -> list[str]:
    """The address of every list, form, row and page of its own; parts that these ask for among them."""
    return [*dict.fromkeys([*_pages_of_models(), *_pages_of_their_own(), *BESIDE_THE_CONSOLE])]


def is_page(console: Console, path: str) -> bool:
    """Whether a whole page is there: a part of one, a file and a redirect are met where they belong."""
    answer = console.page.request.get(f"{console.url}{path}", max_redirects=0)
    return answer.status == 200 and "text/html" in answer.headers["content-type"] and "</html>" in answer.text()


def without_rows() -> frozenset[str]:
    """The models of the console that no row is there of."""
    return frozenset(model._meta.label for model in admin.site._registry if newest(model) is None)


def newest(model: Any) -> Any:
    """The key of a row: acme's of the world where rows have a tenant."""
    rows: Any = model._base_manager.all()
    if any(field.attname == "tenant_id" for field in model._meta.concrete_fields):
        rows = rows.filter(tenant_id=world().own["tenant"])
    return rows.order_by("-pk").values_list("pk", flat=True).first()


def _pages_of_models() -> Iterator[str]:
    for model, page in admin.site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"{name}_changelist")
        if getattr(page, "add_permission", None) is not None:
            yield reverse(f"{name}_add")
        key = newest(model)
        if key is not None:
            yield reverse(f"{name}_change", args=[key])


def _pages_of_their_own() -> Iterator[str]:
    """What the table of rights lists beside the models; another test holds it against the resolver."""
    for line in routes.lines(table.CONSOLE):
        if line.method in {"GET", "ANY"} and line.status is None:
            yield CONSOLE_PREFIX + line.path.format_map(NamedRows(world().own))
