"""Pages of the console for the browser: those of the shared world."""

from __future__ import annotations

import re
from functools import cache
from zlib import crc32

from django.contrib import admin
from django.urls import reverse

from scheduling.kit import registry
from tests.browser.conftest import Console
from tests.console_pages import newest, paths_of
from tests.integration.access.world import World, make_world

# So that several test processes share the pages.
PARTS = 4
_ROW = re.compile(r"/[^/]*\d[^/]*/")
_is_page: dict[str, bool] = {}
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


def paths_in_part(part: int) -> list[str]:
    """Return the addresses of one of PARTS parts: lists, forms, rows and special pages, including refreshed parts.

    The running platform adds rows between the calls: the part of an address depends on neither ids nor other addresses.
    """
    found = [*paths_of(world()), *submit_forms(), *BESIDE_THE_CONSOLE]
    return [path for path in found if (crc32(_ROW.sub("/", path).encode()) >> 8) % PARTS == part]


def submit_forms() -> list[str]:
    """Return the address of the form that submits a job of each kind."""
    kinds = [kind for kind in registry.kinds() if not registry.get(kind).is_internal]
    return [f"{reverse('admin:scheduling_job_submit')}?kind={kind}" for kind in kinds]


def is_page(console: Console, path: str) -> bool:
    """Return whether the address is a whole page; parts, files and redirects are tested elsewhere."""
    if path not in _is_page:
        answer = console.page.request.get(f"{console.url}{path}", max_redirects=0)
        is_html = answer.status == 200 and "text/html" in answer.headers["content-type"]
        _is_page[path] = is_html and "</html>" in answer.text()
    return _is_page[path]


def without_rows() -> frozenset[str]:
    """Return the models of the console without rows."""
    return frozenset(model._meta.label for model in admin.site._registry if newest(model, world()) is None)
