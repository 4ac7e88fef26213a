"""Addresses of the console's pages with hostile parameters, drawn without end."""

from __future__ import annotations

import random
from collections.abc import Iterator
from urllib.parse import urlencode

from django.contrib import admin

from tests.console_pages import paths_of
from tests.integration.access.world import World

LOOKUPS = ("", "__exact", "__in", "__gt", "__lte", "__range", "__isnull", "__contains", "__regex", "__year", "__x")
NAMES = ("q", "o", "p", "e", "all", "tenant", "until", "after", "since", "window", "page", "next", "lang", "_popup")
WORDS = """
1 -1 0 1e309 NaN null true [] {} {"a": 2026-02-30 9999-99-99T99:99:99Z 0001-01-01 P1D not-a-uuid % %25 ' " \\ ';--
00000000-0000-0000-0000-000000000000 ../../etc/passwd <script> kind: (((( created:<2026-13-01 meta.a.b.c:1
tenant:zeta - , 1,2,3 1.2.3.4.5
"""
VALUES = (
    *WORDS.split(),
    "",
    "9" * 400,
    "a" * 3_000,
    "[" * 300,
    "\x00",
    "a\x00b",
    "\ud7ff",
    "\u202e",
    "١٢٣",
    "😀" * 100,
    "kind:noop state:(",
    "state:failed " * 50,
)


def addresses(world: World, source: random.Random) -> Iterator[str]:
    """Yield paths with one to four parameters: each page in turn, names and values at random from `source`."""
    admin.autodiscover()
    pages = paths_of(world)
    fields = sorted({field.name for model in admin.site._registry for field in model._meta.get_fields()})
    while True:
        for page in pages:
            parameters = [
                (source.choice([*NAMES, *fields]) + source.choice(LOOKUPS), source.choice(VALUES))
                for _ in range(source.randint(1, 4))
            ]
            yield f"{page}?{urlencode(parameters)}"
