"""Pages of the console for the browser: those of the shared world."""

from __future__ import annotations

from functools import cache

from django.contrib import admin

from tests.browser.conftest import Console
from tests.console_pages import newest, paths_of
from tests.integration.access.world import World, make_world

# Pages of this server outside the console.
BESIDE_THE_CONSOLE = ("/api/v1/docs/",)
# Models whose rows depend on running processes, or are not created here; their lists are opened all the same.
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
    """Create a row behind every page, once per database."""
    return make_world()


def paths() -> list[str]:
    """Return the address of every list, form, row and special page, including refreshed parts."""
    return [*paths_of(world()), *BESIDE_THE_CONSOLE]


def is_page(console: Console, path: str) -> bool:
    """Return whether the address is a whole page; parts, files and redirects are tested elsewhere."""
    answer = console.page.request.get(f"{console.url}{path}", max_redirects=0)
    return answer.status == 200 and "text/html" in answer.headers["content-type"] and "</html>" in answer.text()


def without_rows() -> frozenset[str]:
    """Return the models of the console without rows."""
    return frozenset(model._meta.label for model in admin.site._registry if newest(model, world()) is None)
