"""The pages of the console as the browser walks them: those of the world that all its tests share."""

from __future__ import annotations

from functools import cache

from django.contrib import admin

from tests.browser.conftest import Console
from tests.console_pages import newest, paths_of
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
    return [*paths_of(world()), *BESIDE_THE_CONSOLE]


def is_page(console: Console, path: str) -> bool:
    """Whether a whole page is there: a part of one, a file and a redirect are met where they belong."""
    answer = console.page.request.get(f"{console.url}{path}", max_redirects=0)
    return answer.status == 200 and "text/html" in answer.headers["content-type"] and "</html>" in answer.text()


def without_rows() -> frozenset[str]:
    """The models of the console that no row is there of."""
    return frozenset(model._meta.label for model in admin.site._registry if newest(model, world()) is None)
