"""Attacks on the platform's cache in Redis."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import PeriodicTask
from redis import Redis

from scheduling.jobs.routing import service as routes
from scheduling.limits.declared import MAX_WAITING_JOBS
from scheduling.overview import page as overview
from tenants.cache.shared_cache import SharedCache
from tenants.context import tenant_context
from tenants.limits import usage as limits
from tenants.settings import schema as tenant_settings
from tenants.settings.service import change_settings
from tests.platform_settings import override_platform_settings
from tests.security.table import Attack
from tests.security.world import World


@contextmanager
def _kept(of: SharedCache[Any]) -> Iterator[Redis]:
    """Enable the cache without values in memory; yield a connection that writes into Redis."""
    of._kept.clear()
    with override_platform_settings(CONFIGURATION_CACHE_SECONDS=60.0), _redis() as client:
        yield client
    of._kept.clear()


def _redis() -> Redis:
    return Redis.from_url(str(settings.CACHES["default"]["LOCATION"]))


def _planted(of: SharedCache[Any], key: str, document: Any, read: Callable[[], Any]) -> Any:
    """Return what the platform reads after its document was replaced."""
    with _kept(of) as client:
        name = of._name_of(key)
        client.set(name, json.dumps(document), px=60_000)
        try:
            return read()
        finally:
            client.delete(name)


def forged_limits(world: World) -> str:
    document = [[MAX_WAITING_JOBS.key, 10**9, "override", None]]
    kept = limits.CachedLimits("attacked", [MAX_WAITING_JOBS])

    def read() -> Any:
        with tenant_context(world.aaa):
            return kept.get(world.aaa.pk)[MAX_WAITING_JOBS.key].allowed

    allowed = _planted(kept._kept, str(world.aaa.pk), document, read)
    return "the plan's limit" if allowed == read() else f"{allowed} allowed"


def forged_settings(world: World) -> str:
    read = lambda: tenant_settings.settings_of(world.zeta.pk)["timezone"]  # noqa: E731
    return str(_planted(tenant_settings._kept, str(world.zeta.pk), {"timezone": "Asia/Tokyo"}, read))


def forged_routes(world: World) -> str:
    document = {"pools": [], "queues": [], "rules": [], "targets": [], "tiers": {}}
    found = _planted(routes._kept, "all", document, routes.cached_routes)
    return "routes of the database" if found.tier_queues else "no routes"


def settings_of_another_tenant(world: World) -> str:
    change_settings(tenant=world.aaa, values={"timezone": "Asia/Tokyo"})
    kept = tenant_settings._kept
    with _kept(kept) as client:
        tenant_settings.settings_of(world.aaa.pk)
        names = [kept._name_of(str(tenant.pk)) for tenant in (world.aaa, world.zeta)]
        client.set(names[1], client.get(names[0]) or b"", px=60_000)
        try:
            return str(tenant_settings.settings_of(world.zeta.pk)["timezone"])
        finally:
            client.delete(*names)


def forged_page(world: World) -> str:
    User.objects.create_superuser("stella", password="a password of the world")
    client = Client()
    client.force_login(User.objects.get(username="stella"))
    prefix, name = settings.CACHES["default"]["KEY_PREFIX"], overview._kept_body.name
    database = PeriodicTask.objects.db
    place = f"{prefix}:kept:{_database(database)}:{name}:all:en:bulk"
    with override_platform_settings(CONFIGURATION_CACHE_SECONDS=60.0), _redis() as planted:
        planted.set(place, json.dumps("<script>attack()</script>"), px=60_000)
        try:
            page = client.get(reverse("admin:overview_fragment")).content
        finally:
            planted.delete(place)
            overview._kept_body.__init__(name)  # type: ignore[misc]
    return "the attacker's page" if b"attack()" in page else "the platform's own page"


def _database(alias: str) -> str:
    from django.db import connections

    return str(connections[alias].settings_dict["NAME"])


class _Payload:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.file,))


def pickled_value(world: World) -> str:
    with TemporaryDirectory() as folder, _redis() as client:
        ran = Path(folder) / "ran"
        client.set(cache.make_key("attack"), pickle.dumps(_Payload(ran)))
        try:
            answer = repr(cache.get("attack"))
        except ValueError:
            answer = "ValueError"
        finally:
            client.delete(cache.make_key("attack"))
        return "code ran" if ran.exists() else f"{answer}, no code ran"


ATTACKS: tuple[Attack, ...] = (
    Attack("forged limits", "a limit of a thousand million in Redis", "the plan's limit", forged_limits),
    Attack("forged settings", "another tenant's settings in Redis", "UTC", forged_settings),
    Attack("forged routes", "no routes at all in Redis", "routes of the database", forged_routes),
    Attack(
        "settings moved to another tenant", "a signed document under another key", "UTC", settings_of_another_tenant
    ),
    Attack("forged page", "a script in the place of the console's kept HTML", "the platform's own page", forged_page),
    Attack("pickled value", "a pickle in Django's cache", "ValueError, no code ran", pickled_value),
)
